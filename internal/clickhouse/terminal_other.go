//go:build !linux

package clickhouse

import (
	"errors"
	"os"
)

// takeTerminal is for Linux only so far.
func takeTerminal() (*os.File, error) {
	return nil, errors.New("open a terminal: not done on this system")
}

func forbidCoreDumps() {}

// confine is for Linux only so far.
func confine(string) error {
	return errors.New("confine the engine to its folder: not done on this system")
}

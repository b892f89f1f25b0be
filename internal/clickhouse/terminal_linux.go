package clickhouse

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// takeTerminal puts a terminal of our own in place of standard input, and
// returns the input that was there. The terminal's other end stays open for as
// long as the process lives.
func takeTerminal() (*os.File, error) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	slave, err := otherEnd(master)
	if err != nil {
		return nil, err
	}
	input, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("keep the standard input: %w", err)
	}
	if err := unix.Dup3(slave, 0, 0); err != nil {
		return nil, fmt.Errorf("put a terminal in place of the standard input: %w", err)
	}
	return os.NewFile(uintptr(input), "input"), nil
}

func otherEnd(master int) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return 0, fmt.Errorf("unlock a terminal: %w", err)
	}
	number, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return 0, fmt.Errorf("find a terminal's name: %w", err)
	}
	slave, err := unix.Open(fmt.Sprintf("/dev/pts/%d", number), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open a terminal: %w", err)
	}
	return slave, nil
}

// forbidCoreDumps: a dump would hold the tables' content.
func forbidCoreDumps() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}

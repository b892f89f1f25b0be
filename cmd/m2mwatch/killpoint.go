package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// killPoint makes the hook that crash tests use: M2MWATCH_KILL_AT=point:n ends
// the process with SIGKILL when it reaches the named point for the nth time.
// Without it the hook is nil and the points cost nothing.
func killPoint(environ []string) (func(point string), error) {
	value := lookup(environ, "M2MWATCH_KILL_AT")
	if value == "" {
		return nil, nil
	}
	name, count, _ := strings.Cut(value, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if name == "" || err != nil || n < 1 {
		return nil, fmt.Errorf("%w: M2MWATCH_KILL_AT: want point:n", errUsage)
	}
	var left atomic.Int64
	left.Store(n)
	return func(point string) {
		if point == name && left.Add(-1) == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing runs past the point
		}
	}, nil
}

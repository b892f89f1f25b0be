//go:build !linux

package clickhouse

import "syscall"

// childAttributes: a process group of its own, so that a Ctrl-C in the terminal
// reaches us alone and the engine outlives the stages that still write.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

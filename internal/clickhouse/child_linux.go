package clickhouse

import "syscall"

// childAttributes: a process group of its own, so that a Ctrl-C in the terminal
// reaches us alone and the engine outlives the stages that still write; and a
// signal at our death, in case the child hangs and does not see its input end.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

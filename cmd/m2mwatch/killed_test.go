package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
)

// killAt is a request at which a command is killed: before it is served, or when it
// is and the answer is not out yet.
type killAt struct {
	method, path string // path is what the escaped one begins with
	skip         int    // how many of them go well first
	served       bool
}

// killed runs a command as a process of its own that gets SIGKILL at a request.
func (o *operator) killed(at killAt, args ...string) {
	o.t.Helper()
	cmd := exec.CommandContext(o.t.Context(), programPath(o.t), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var left atomic.Int64
	left.Store(int64(at.skip) + 1)
	started := make(chan struct{})
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != at.method || !strings.HasPrefix(r.URL.EscapedPath(), at.path) || left.Add(-1) != 0 {
			o.tenant.Handler().ServeHTTP(w, r)
			return
		}
		if at.served {
			o.tenant.Handler().ServeHTTP(httptest.NewRecorder(), r)
		}
		_, _ = io.Copy(io.Discard, r.Body) // or its end is not seen
		<-started
		_ = cmd.Process.Kill()
		<-r.Context().Done() // its connection ends with it
		panic(http.ErrAbortHandler)
	})
	o.instead.Store(&serve)
	defer o.instead.Store(nil)
	cmd.Env = append(cleanEnviron(), o.environ...)
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	close(started)
	err := cmd.Wait()
	o.seen.Write(out.Bytes())
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		o.t.Fatalf("%q was not killed at %s %s: %v\n%s", args, at.method, at.path, err, out.Bytes())
	}
}

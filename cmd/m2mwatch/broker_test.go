package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// broker is a NATS server that is a process of its own, built from its module,
// as somebody would run one outside.
type broker struct {
	tb     testing.TB
	path   string
	config string
	log    string
	addr   string
	cmd    *exec.Cmd
	exited chan struct{}
}

// startBroker starts one that syncs each message before it acks it.
func startBroker(tb testing.TB) *broker {
	tb.Helper()
	dir := tb.TempDir()
	b := &broker{tb: tb, path: filepath.Join(dir, "nats-server"), config: filepath.Join(dir, "nats.conf"), log: filepath.Join(dir, "nats.log"), addr: freeAddress(tb)}
	if out, err := exec.Command("go", "build", "-o", b.path, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		tb.Fatalf("build nats-server: %v\n%s", err, out)
	}
	text := fmt.Sprintf("listen: %q\nmax_payload: 1MB\njetstream { store_dir: %q, sync_interval: always }\n", b.addr, filepath.Join(dir, "js"))
	if err := os.WriteFile(b.config, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	b.start()
	tb.Cleanup(b.kill)
	return b
}

// freeAddress is one that nobody listens on: after each start it is the same.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (b *broker) url() string { return "nats://" + b.addr }

// start returns when the server listens.
func (b *broker) start() {
	b.tb.Helper()
	b.cmd = exec.Command(b.path, "--config", b.config, "--log", b.log)
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		b.tb.Fatal(err)
	}
	exited := make(chan struct{})
	b.exited = exited
	go func() {
		_ = b.cmd.Wait()
		close(exited)
	}()
	deadline := time.After(patience)
	for tick := time.Tick(10 * time.Millisecond); ; {
		if c, err := net.Dial("tcp", b.addr); err == nil {
			c.Close()
			return
		}
		select {
		case <-tick:
		case <-b.exited:
			b.tb.Fatalf("nats-server ended: %s\n%s", b.cmd.ProcessState, b.said())
		case <-deadline:
			b.tb.Fatalf("nats-server does not listen\n%s", b.said())
		}
	}
}

// kill ends the server with SIGKILL and waits until it is gone.
func (b *broker) kill() {
	_ = b.cmd.Process.Kill()
	<-b.exited
}

func (b *broker) said() string {
	text, _ := os.ReadFile(b.log)
	return string(text)
}

package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTailGoesOnOverARestart claims that `events tail` shows what is stored as it
// is stored, one JSON object a line, and that a restart of the instance in between
// costs it nothing.
func TestTailGoesOnOverARestart(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	i := startUp(t, data)
	tail := exec.Command(programPath(t), "events", "tail", "--data", data, "--since", "1h", "--type", "s*", "--json")
	tail.Env = cleanEnviron()
	tail.Stderr = os.Stderr
	tail.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	shown := make(chan string)
	go func() {
		defer close(shown)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			shown <- lines.Text()
		}
	}()
	await := func(logID string) {
		t.Helper()
		for {
			select {
			case line, more := <-shown:
				if !more {
					t.Fatalf("tail ended before it showed %s", logID)
				}
				if strings.Contains(line, `"log_id":"`+logID+`"`) {
					return
				}
			case <-time.After(patience):
				t.Fatalf("%s is not shown", logID)
			}
		}
	}
	send := func(n int) string {
		t.Helper()
		logID, raw := record(n, time.Now().Add(-time.Duration(n)*time.Hour), "seccft", "a", "192.0.2")
		_, other := record(n+1000, time.Now(), "feccft", "a", "192.0.2")
		if status, accepted, _ := i.post(lines(raw, other)); status != 200 || accepted != 2 {
			t.Fatalf("status %d, %d accepted", status, accepted)
		}
		return logID
	}
	await(send(1))
	i.interrupt()
	i = startUp(t, data)
	await(send(2))
	if err := tail.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for line := range shown {
		if strings.Contains(line, "feccft") {
			t.Errorf("shown although it does not fit: %s", line)
		}
	}
	if err := tail.Wait(); err != nil {
		t.Errorf("interrupted, tail ends with %v", err)
	}
}

package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// spoken hands over what a program prints, a line at a time, and waits for one that
// has some words.
type spoken struct {
	t    *testing.T
	from chan string
	seen bytes.Buffer
}

func (l *spoken) await(words string) string {
	l.t.Helper()
	timeout := time.After(2 * patience) // a whole story
	for {
		select {
		case line, open := <-l.from:
			if !open {
				l.t.Fatalf("the program ended, and never said %q:\n%s", words, &l.seen)
			}
			l.seen.WriteString(line + "\n")
			if strings.Contains(line, words) {
				return line
			}
		case <-timeout:
			l.t.Fatalf("it did not say %q:\n%s", words, &l.seen)
		}
	}
}

// The story's end is the reader's: what the demo tells them to type contains the
// client, and the demo sees it in the tenant's log.
func TestTheReaderEndsTheDemosStory(t *testing.T) {
	library := engineLibrary(t)
	program, data := programPath(t), filepath.Join(t.TempDir(), "demo")
	demo := exec.Command(program, "demo", "--data", data, "--events", "20000", "--listen", "127.0.0.1:0")
	demo.Env = append(cleanEnviron(), "M2MWATCH_ENGINE_LIBRARY="+library)
	demo.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	demo.Stderr = os.Stderr
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = demo.Process.Kill()
		_ = demo.Wait()
	})
	told := &spoken{t: t, from: make(chan string)}
	go func() {
		defer close(told.from)
		for s := bufio.NewScanner(out); s.Scan(); {
			told.from <- s.Text()
		}
	}()
	_, typed, _ := strings.Cut(told.await("   contain   "), "contain   ")
	told.await("   stop      ")
	reader := exec.Command("sh", "-c", typed+" --force --grants-file kept.json")
	reader.Dir, reader.Env = t.TempDir(), append(cleanEnviron(), "XDG_CACHE_HOME="+t.TempDir())
	if said, err := reader.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", typed, err, said)
	}
	told.await("invoice-sync is disabled, by you: DELETE /api/v2/client-grants/")
	told.await("apps enable FILE")
	for _, ask := range []struct{ args, want string }{
		{"inventory sync --tenant acme", "streams"},
		{"identities list --owner platform-team --from 7d --limit 10", "platform-team"},
		{"identities list --has inventory,!grants", "(disabled)"},
		{"inventory list streams", "active"},
	} {
		asked := exec.Command(program, append(strings.Fields(ask.args), "--data", data)...)
		asked.Env = cleanEnviron()
		if said, err := asked.CombinedOutput(); err != nil || !strings.Contains(string(said), ask.want) {
			t.Errorf("%s: %v, want %s in\n%s", ask.args, err, ask.want, said)
		}
	}
	if err := demo.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for line := range told.from { // until it has ended
		t.Logf("after the end: %s", line)
	}
	if err := demo.Wait(); err != nil {
		t.Errorf("the demo ended with %v", err)
	}
}

package clickhouse

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// errFolderInUse: another engine has the folder's files open.
var errFolderInUse = errors.New("another engine has the folder")

// errPortTaken: another process took the port that was free a moment ago.
var errPortTaken = errors.New("the port is taken")

// closeGrace is how long a child may take to end after its input has. It ends
// within milliseconds; one that does not hangs, and is killed.
const closeGrace = 2 * time.Second

// child is one run of the engine's process.
type child struct {
	command *exec.Cmd
	input   io.Closer // the child lives while this is open
	output  *tail
	gone    chan struct{} // closed when the process has been waited for
	err     error         // why it ended; read after gone
}

// startChild starts the process and returns at once. Its environment is empty
// but for the time zone: ours may hold secrets, and it needs nothing of it.
func startChild(executable, dir string, args []string) (*child, error) {
	c := &child{output: newTail(4 << 10), gone: make(chan struct{})}
	c.command = exec.Command(executable, args...)
	c.command.Dir = dir
	c.command.Env = []string{"TZ=UTC"}
	c.command.Stderr = c.output
	c.command.SysProcAttr = childAttributes()
	// A grandchild cannot hold the pipe open, but a hung copy must not hold us.
	c.command.WaitDelay = time.Second
	input, err := c.command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the ClickHouse engine: %w", err)
	}
	c.input = input
	started := make(chan error)
	go c.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start the ClickHouse engine: %w", err)
	}
	return c, nil
}

// run keeps to one thread from start to end: the signal that the kernel sends
// at the parent's death is sent at the death of the thread that started the
// child, and the runtime ends threads as it likes.
func (c *child) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := c.command.Start()
	started <- err
	if err != nil {
		return
	}
	c.err = c.command.Wait()
	close(c.gone)
}

func (c *child) pid() int { return c.command.Process.Pid }

// close ends the child and returns when it is gone.
func (c *child) close() {
	c.input.Close()
	select {
	case <-c.gone:
	case <-time.After(closeGrace):
		_ = c.command.Process.Kill()
		<-c.gone
	}
}

// warnings is the end of what the child wrote, without its word on where it
// logs.
func (c *child) warnings() string {
	var kept []string
	for line := range strings.Lines(c.output.String()) {
		if !strings.HasPrefix(line, "Logging ") {
			kept = append(kept, line)
		}
	}
	return strings.TrimSpace(strings.Join(kept, ""))
}

// said is warnings, for the end of a sentence.
func (c *child) said() string {
	return cmp.Or(c.warnings(), "nothing")
}

// deathError tells how the child ended; call it after gone.
func (c *child) deathError() error {
	said := c.said()
	if strings.Contains(said, "Address already in use") {
		return fmt.Errorf("start the ClickHouse engine: %w: %s", errPortTaken, said)
	}
	if strings.Contains(said, "Another server instance in same directory") {
		return fmt.Errorf("start the ClickHouse engine: %w: %s", errFolderInUse, said)
	}
	return fmt.Errorf("the ClickHouse engine ended (%v); it last said: %s", c.command.ProcessState, said)
}

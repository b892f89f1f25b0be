package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// The first write that fails, on a full disk, closes a stream for writing: the
// server answers nothing more that is published to it, whatever room is made,
// until it is started again. So the embedded server is, in this process, once
// there is room: what it has acked is on disk, and its clients connect again.

const (
	healEvery = time.Second // between two looks at the server
	// healPause is the least time between two starts. Each that does not last
	// doubles it, up to healPauseMost, but where it was for want of room: what
	// else is wrong may stay so, and a start takes the other streams away for a
	// moment.
	healPause     = 10 * time.Second
	healPauseMost = 10 * time.Minute
	// healRoom is what must be writable before it is worth the while.
	healRoom = 1 << 20
)

// Check returns nil while the server can store, on all of its streams.
func (s *Server) Check() error {
	_, err := s.ails()
	return err
}

// ails tells what the server finds wrong with itself, and whether another start
// would cure it. It would where a stream could not be written, which the server
// tells by these words alone, and where JetStream has shut itself down. A stream
// that could not be recovered has been through a start already.
func (s *Server) ails() (curable bool, err error) {
	return findings(s.current().Healthz, s.current().ReadyForConnections)
}

// findings are those of a look at a server. It waits a millisecond for what says
// that the server has started, and on a busy machine that is over before it looks,
// and nothing else is looked at then: where more time finds the server started, it
// looks again.
func findings(look func(*server.HealthzOptions) *server.HealthStatus, started func(time.Duration) bool) (curable bool, err error) {
	errs := look(&server.HealthzOptions{Details: true}).Errors
	unstarted := func(e server.HealthzError) bool { return e.Type == server.HealthzErrorConn }
	for again := 0; again < 3 && slices.ContainsFunc(errs, unstarted) && started(serverReadyPoll); again++ {
		errs = look(&server.HealthzOptions{Details: true}).Errors
	}
	for _, e := range errs {
		curable = curable || e.Type == server.HealthzErrorJetStream || strings.Contains(e.Error, "write error")
		err = errors.Join(err, fmt.Errorf("the embedded NATS server: %s", e.Error))
	}
	return curable, err
}

// healer looks after a server.
type healer struct {
	ails    func() (curable bool, err error)
	room    func() bool // whether a start is worth the while
	restart func(context.Context) error
	log     *slog.Logger
}

// run looks after the server until ctx ends.
func (h *healer) run(ctx context.Context) {
	var (
		told  bool
		began time.Time     // when it was last started here
		pause time.Duration // from then on
	)
	tick := time.NewTicker(healEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		curable, err := h.ails()
		if err != nil && !told {
			h.log.Error("the embedded NATS server cannot store everything; where another start helps it gets one, once there is room", "error", err)
		}
		told = err != nil
		if !curable || time.Since(began) < pause || !h.room() {
			continue
		}
		lasted := time.Since(began) > 2*pause // the last start, for as long again as nothing is done after it
		if pause = min(2*pause, healPauseMost); lasted || wantOfRoom(err) {
			pause = healPause
		}
		err = h.restart(ctx)
		began = time.Now()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			h.log.Error("start the embedded NATS server again", "error", err, "next_try", pause)
		default:
			h.log.Info("the embedded NATS server was started again")
		}
	}
}

// wantOfRoom goes by words, as the server hands no error on.
func wantOfRoom(err error) bool {
	return strings.Contains(err.Error(), syscall.ENOSPC.Error()) || strings.Contains(err.Error(), syscall.EDQUOT.Error())
}

// restart puts another server on the same files. Where it does not start, the
// old one stays, which answers nothing: the next look finds that out.
func (s *Server) restart(ctx context.Context) error {
	s.inner.Shutdown()
	s.inner.WaitForShutdown()
	inner, err := startInner(ctx, s.cfg)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.inner = inner
	s.mu.Unlock()
	return nil
}

// roomFile is what roomIn writes, and what a process that dies then leaves.
func roomFile(dir string) string { return filepath.Join(dir, "room") }

// roomIn reports whether something can be written to dir, to the disk: a quota
// tells of itself in no other way. A disk that says that it is full is believed,
// and not written to.
func roomIn(dir string) bool {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil || disk.Bavail*uint64(disk.Bsize) < healRoom {
		return false
	}
	path := roomFile(dir)
	f, err := os.Create(path)
	if err != nil {
		return false
	}
	_, err = f.Write(make([]byte, healRoom))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(path)) == nil
}

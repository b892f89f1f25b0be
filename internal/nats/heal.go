package nats

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// The first write that fails, on a full disk, closes a stream for writing: the
// server answers nothing more that is published to it, whatever room is made,
// until it is started again. So the embedded server is, in this process, once
// there is room: what it has acked is on disk, and its clients connect again.

const (
	healEvery = time.Second      // between two looks at the server
	healPause = 10 * time.Second // between two starts: what broke it may do so again
	// healRoom is what must be writable before it is worth the while.
	healRoom = 1 << 20
)

// Check returns nil while the server can store. Of what the server finds wrong
// with itself it takes what another start would cure: a stream that could not
// be written, which the server tells by these words alone, and JetStream that
// has shut itself down.
func (s *Server) Check() error {
	for _, e := range s.current().Healthz(&server.HealthzOptions{Details: true}).Errors {
		if e.Type == server.HealthzErrorJetStream || strings.Contains(e.Error, "write error") {
			return fmt.Errorf("the embedded NATS server: %s", e.Error)
		}
	}
	return nil
}

// heal looks after the server until stop is closed.
func (s *Server) heal(stop <-chan struct{}) {
	defer close(s.healed)
	log := orDiscard(s.cfg.Logger)
	broken := false
	for wait := healEvery; ; {
		select {
		case <-stop:
			return
		case <-time.After(wait):
			wait = healEvery
		}
		err := s.Check()
		if err == nil {
			broken = false
			continue
		}
		if !broken {
			log.Error("the embedded NATS server stores nothing until it is started again, for which there must be room", "error", err)
			broken = true
		}
		if !roomIn(s.cfg.Dir) {
			continue
		}
		wait = healPause
		s.restart(log)
	}
}

// restart puts another server on the same files. Where it does not start, the
// old one stays, which answers nothing: the next look finds that out.
func (s *Server) restart(log *slog.Logger) {
	s.inner.Shutdown()
	s.inner.WaitForShutdown()
	inner, err := startInner(s.cfg)
	if err != nil {
		log.Error("start the embedded NATS server again", "error", err, "next_try", healPause)
		return
	}
	s.mu.Lock()
	s.inner = inner
	s.mu.Unlock()
	log.Info("the embedded NATS server is back")
}

// roomIn reports whether something can be written to dir, to the disk: a quota
// tells of itself in no other way.
func roomIn(dir string) bool {
	path := filepath.Join(dir, "room")
	f, err := os.Create(path)
	if err != nil {
		return false
	}
	_, err = f.Write(make([]byte, healRoom))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(path)) == nil
}

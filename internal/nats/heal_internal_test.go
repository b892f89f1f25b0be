package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
)

// patient is a server that is looked after, on the clock of a bubble.
type patient struct {
	curable, full bool
	ill           error
	refuses       error // a start fails by this
	starts        []time.Duration
}

// lookAfter looks after p until the test ends.
func lookAfter(t *testing.T, p *patient) {
	t.Helper()
	began := time.Now()
	h := healer{
		ails: func() (bool, error) { return p.curable, p.ill },
		room: func() bool { return !p.full },
		restart: func(context.Context) error {
			p.starts = append(p.starts, time.Since(began))
			return p.refuses
		},
		log: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// pass lets time go by, and what is due then be done.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (p *patient) check(t *testing.T, when string, want ...time.Duration) {
	t.Helper()
	if diff := cmp.Diff(want, p.starts); diff != "" {
		t.Errorf("%s, starts (-want +got):\n%s", when, diff)
	}
	p.starts = nil
}

var errIll = errors.New("a write error")

// TestStartsThatDoNotLastGetRare claims that what no start cures costs one each
// ten minutes in the end, and that a server that was well gets the next at once.
func TestStartsThatDoNotLastGetRare(t *testing.T) {
	for _, refuses := range []error{nil, errors.New("no")} {
		synctest.Test(t, func(t *testing.T) {
			p := &patient{curable: true, ill: errIll, refuses: refuses}
			lookAfter(t, p)
			pass(45 * time.Minute)
			const s = time.Second
			p.check(t, "never well", 1*s, 11*s, 31*s, 71*s, 151*s, 311*s, 631*s, 1231*s, 1831*s, 2431*s)

			p.curable, p.ill = false, nil
			pass(20 * time.Minute)
			p.check(t, "well")

			p.curable, p.ill = true, errIll
			pass(15 * s)
			p.check(t, "ill again", 3901*s, 3911*s)
		})
	}
}

// TestStartWaitsForWhatItIsGoodFor claims that there is none on a full disk, nor
// for what it does not cure.
func TestStartWaitsForWhatItIsGoodFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patient{curable: true, ill: errIll, full: true}
		lookAfter(t, p)
		pass(time.Hour)
		p.check(t, "on a full disk")

		p.full = false
		pass(time.Second)
		p.check(t, "with room", time.Hour+time.Second)

		p.ill = fmt.Errorf("a write error: %w", syscall.ENOSPC)
		pass(40 * time.Second)
		p.check(t, "with room that is soon filled", time.Hour+11*time.Second, time.Hour+21*time.Second, time.Hour+31*time.Second, time.Hour+41*time.Second)

		p.curable, p.ill = false, errors.New("a stream could not be recovered")
		pass(time.Hour)
		p.check(t, "with what no start cures")
	})
}

// TestABusyMachineIsNoFault claims that a look which was over before it began is
// taken again, that what another look finds is told, and that a server that has
// not started is found out.
func TestABusyMachineIsNoFault(t *testing.T) {
	late := server.HealthzError{Type: server.HealthzErrorConn, Error: "startup did not complete"}
	shut := server.HealthzError{Type: server.HealthzErrorJetStream, Error: "JetStream is shut down"}
	for name, c := range map[string]struct {
		looks   [][]server.HealthzError
		started bool
		want    string
	}{
		"busy once":             {[][]server.HealthzError{{late}, nil}, true, ""},
		"busy, and shut behind": {[][]server.HealthzError{{late}, {late}, {shut}}, true, "JetStream is shut down"},
		"never started":         {[][]server.HealthzError{{late}}, false, "startup did not complete"},
	} {
		looks := 0
		curable, err := findings(func(*server.HealthzOptions) *server.HealthStatus {
			looks++
			return &server.HealthStatus{Errors: c.looks[min(looks, len(c.looks))-1]}
		}, func(time.Duration) bool { return c.started })
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if want := c.want == shut.Error; curable != want {
			t.Errorf("%s: curable is %t", name, curable)
		}
	}
}

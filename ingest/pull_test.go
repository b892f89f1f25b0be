package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// tenantLogs is what a tenant's Management API has, by log_id.
type tenantLogs struct {
	mu    sync.Mutex // guards all below
	ids   []string
	n     int
	fail  error // of each call
	calls int
}

// add logs one thing now, in a second of its own.
func (l *tenantLogs) add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		l.n++
		l.ids = append(l.ids, fmt.Sprintf("900%s%06d%033d", time.Now().UTC().Format("20060102150405"), 0, l.n))
	}
}

// called is how often the API was.
func (l *tenantLogs) called() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

func (l *tenantLogs) id(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ids[n]
}

func (l *tenantLogs) set(fail error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = fail
}

// forget drops what is older than a retention.
func (l *tenantLogs) forget(retention time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = slices.DeleteFunc(l.ids, func(id string) bool {
		at, _ := schemas.LogIDTime(id)
		return time.Since(at) > retention
	})
}

func (l *tenantLogs) Logs(_ context.Context, from string) (logs []json.RawMessage, next string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if l.fail != nil {
		return nil, "", l.fail
	}
	next = from
	for _, id := range l.ids {
		if id > from && len(logs) < 100 {
			logs, next = append(logs, json.RawMessage(`{"log_id":"`+id+`"}`)), id
		}
	}
	return logs, next, nil
}

func (l *tenantLogs) NewestLog(context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if l.fail != nil || len(l.ids) == 0 {
		return "", l.fail
	}
	return l.ids[len(l.ids)-1], nil
}

// memoryCursors keeps states as the bucket does.
type memoryCursors struct {
	mu       sync.Mutex // guards all below
	state    []byte
	revision uint64
	fail     error
	loseNext bool // the answer to the next save
}

func (c *memoryCursors) Load(context.Context, string) ([]byte, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.revision, c.fail
}

func (c *memoryCursors) Save(_ context.Context, _ string, state []byte, revision uint64) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return 0, c.fail
	}
	if revision != c.revision {
		return 0, schemas.ErrCursorMoved
	}
	c.state, c.revision = state, c.revision+1
	if c.loseNext {
		c.loseNext = false
		return 0, errors.New("the answer was lost")
	}
	return c.revision, nil
}

func (c *memoryCursors) saved(t *testing.T) (s schemas.PullState) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := json.Unmarshal(c.state, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// lockedText is a log that is read while it is written.
type lockedText struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// freeLease is held by whoever asks.
type freeLease struct{}

func (freeLease) Acquire(ctx context.Context, _ uint64) (context.Context, uint64, func(), error) {
	if ctx.Err() != nil {
		return nil, 0, nil, ctx.Err()
	}
	held, release := context.WithCancel(ctx)
	return held, 1, release, nil
}

// pulling is a tenant that is pulled, in a bubble of synctest.
type pulling struct {
	t       *testing.T
	pub     *memoryPublisher
	logs    *tenantLogs
	cursors *memoryCursors
	log     lockedText
	reg     *prometheus.Registry
	change  func(*PullConfig)
	stop    func() // what runs
}

func newPulling(t *testing.T) *pulling {
	t.Helper()
	return &pulling{
		t: t, pub: &memoryPublisher{max: 1 << 20, ids: map[string]bool{}}, logs: &tenantLogs{}, cursors: &memoryCursors{},
		reg: prometheus.NewRegistry(), change: func(*PullConfig) {},
	}
}

// start pulls until stop is called, in a process of its own as it were.
func (p *pulling) start() {
	p.t.Helper()
	in, err := New(Config{Publisher: p.pub, Tenants: new(TenantSet)})
	if err != nil {
		p.t.Fatal(err)
	}
	p.reg = prometheus.NewRegistry()
	cfg := PullConfig{
		Tenant: "acme", Domain: "acme.auth0.example", Live: true, Ingest: in, Logs: p.logs, Cursors: p.cursors, Lease: freeLease{},
		Metrics: NewPullMetrics(p.reg), Logger: slog.New(slog.NewTextHandler(&p.log, nil)),
	}
	p.change(&cfg)
	puller, err := NewPuller(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	go func() { done <- puller.Run(ctx) }()
	p.stop = func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	}
}

// pass lets time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// sources are how many logs were published by each source, each log once.
func (p *pulling) sources() map[string]int {
	p.t.Helper()
	seen, bySource := map[string]bool{}, map[string]int{}
	for _, l := range p.pub.logs(p.t) {
		if id := logIDOf(l.Raw); !seen[id] {
			seen[id] = true
			bySource[l.Source.String()]++
		}
	}
	return bySource
}

func TestPullImportsWhatWasThereAndFollowsWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.logs.add(250)
		pass(time.Minute)
		p.start()
		pass(2 * time.Second)
		p.logs.add(120)
		pass(30 * time.Second)
		diff(t, "published", map[string]int{"import": 250, "pull": 120}, p.sources())
		if n := len(p.pub.logs(t)); n != 370 {
			t.Errorf("%d logs were published, want each once: 370", n)
		}
		s := p.cursors.saved(t)
		if len(s.Spans) != 0 || s.Imported.IsZero() || s.Live != p.logs.id(369) {
			t.Errorf("cursor %+v", s)
		}
		p.stop()
	})
}

func TestPullGoesOnWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.start()
		pass(time.Minute)
		p.logs.add(3)
		pass(10 * time.Second)
		p.stop()
		pass(5 * time.Minute) // no gap yet
		p.logs.add(4)
		p.start()
		pass(10 * time.Second)
		diff(t, "published", map[string]int{"pull": 7}, p.sources())
		if n := len(p.pub.logs(t)); n != 7 {
			t.Errorf("%d logs were published, want 7", n)
		}
		p.stop()
	})
}

func TestPullRepairsAGapBesideWhatIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.logs.add(1)
		p.start()
		pass(time.Minute)
		p.stop()
		for range 300 {
			pass(12 * time.Second)
			p.logs.add(1)
		}
		pass(time.Second)
		p.start()
		pass(3 * time.Second) // the repair has begun and has not ended
		p.logs.add(5)
		pass(time.Minute)
		diff(t, "published", map[string]int{"import": 1, "repair": 300, "pull": 5}, p.sources())
		if !strings.Contains(p.log.String(), "brought in as a repair") {
			t.Errorf("the log does not tell: %s", p.log.String())
		}
		p.stop()
	})
}

// A tenant whose log stream delivers has its history imported, and no more.
func TestHistoryAloneIsPulledWhereAStreamDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.change = func(c *PullConfig) { c.Live = false }
		p.logs.add(150)
		pass(time.Second)
		p.start()
		pass(time.Minute)
		p.logs.add(10)
		pass(time.Hour)
		diff(t, "published", map[string]int{"import": 150}, p.sources())
		if p.logs.called() > 5 {
			t.Errorf("the Management API was called %d times for 150 logs", p.logs.called())
		}
		p.stop()

		p.change = func(*PullConfig) {} // pull: true
		p.start()
		pass(time.Minute)
		diff(t, "published once it is pulled", map[string]int{"import": 150, "repair": 10}, p.sources())
		p.stop()
	})
}

func TestAnotherDomainBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.logs.add(5)
		p.start()
		pass(time.Minute)
		p.stop()
		p.logs = &tenantLogs{n: 1000}
		p.logs.add(7)
		p.change = func(c *PullConfig) { c.Domain = "other.auth0.example" }
		p.start()
		pass(time.Minute)
		diff(t, "published", map[string]int{"import": 12}, p.sources())
		p.stop()
	})
}

func TestPullKeepsToItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.logs.add(10_000)
		p.start()
		pass(time.Minute)
		if p.logs.called() > 62 || p.logs.called() < 55 {
			t.Errorf("%d calls in a minute of catching up, want about 60", p.logs.called())
		}
		pass(2 * time.Minute)
		before := p.logs.called()
		pass(time.Minute)
		if n := p.logs.called() - before; n != 12 {
			t.Errorf("%d calls in a quiet minute, want 12", n)
		}
		p.stop()
	})
}

func TestErrorsOfPullAreToldOnceAndShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.logs.set(&PullError{schemas.PullReasonCredentials, errors.New("401 Unauthorized")})
		p.start()
		pass(time.Hour)
		s := p.cursors.saved(t)
		if s.Reason != schemas.PullReasonCredentials || s.Error == "" || time.Since(s.Since) < 59*time.Minute {
			t.Errorf("state %+v", s)
		}
		if n := strings.Count(p.log.String(), "logs are not pulled"); n != 1 {
			t.Errorf("told %d times: %s", n, p.log.String())
		}
		if p.logs.called() > 30 {
			t.Errorf("%d calls in an hour of errors", p.logs.called())
		}
		f := &fixture{reg: p.reg}
		m := f.metrics(t)
		if m["m2mwatch_ingest_pull_failing acme"] != 1 || m["m2mwatch_ingest_pull_errors_total credentials acme"]+m["m2mwatch_ingest_pull_errors_total acme credentials"] < 10 {
			t.Errorf("metrics %v", m)
		}
		p.logs.set(errors.New("connection refused"))
		pass(10 * time.Minute)
		if s := p.cursors.saved(t); s.Reason != schemas.PullReasonUnreachable {
			t.Errorf("state %+v", s)
		}
		p.logs.set(nil)
		p.logs.add(3)
		pass(10 * time.Minute)
		if s := p.cursors.saved(t); s.Reason != "" || s.Error != "" || len(p.sources()) == 0 {
			t.Errorf("state %+v, published %v", s, p.sources())
		}
		if n := strings.Count(p.log.String(), "logs are pulled again"); n != 1 {
			t.Errorf("its end was told %d times", n)
		}
		p.stop()
		if m := f.metrics(t); m["m2mwatch_ingest_pull_failing acme"] != 0 {
			t.Errorf("metrics of a tenant that nobody pulls: %v", m)
		}
	})
}

// The cursor is behind nothing that was not published, and what was published
// with it not moved comes again.
func TestCursorMovesBehindWhatIsOnDiskAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.start()
		pass(10 * time.Second)
		p.pub.setFail(func([]byte) error { return errors.New("disk full") })
		p.logs.add(3)
		pass(time.Minute)
		if s := p.cursors.saved(t); s.Live != "" {
			t.Errorf("the cursor is at %q and nothing is on disk", s.Live)
		}
		p.pub.setFail(nil)
		pass(10 * time.Minute)
		diff(t, "published", map[string]int{"pull": 3}, p.sources())

		p.cursors.mu.Lock()
		p.cursors.fail = errors.New("no broker")
		p.cursors.mu.Unlock()
		p.logs.add(2)
		pass(time.Minute)
		p.stop() // what was noted is all that is left
		p.cursors.mu.Lock()
		p.cursors.fail, p.cursors.loseNext = nil, true
		p.cursors.mu.Unlock()
		p.start()
		pass(10 * time.Minute)
		diff(t, "published", map[string]int{"pull": 5}, p.sources())
		if s := p.cursors.saved(t); s.Live != p.logs.id(4) {
			t.Errorf("the cursor is at %q, want %q", s.Live, p.logs.id(4))
		}
		p.stop()
	})
}

func TestTwoPullersLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.logs.add(500)
		pass(time.Second)
		p.start()
		stopFirst := p.stop
		p.start()
		for range 60 {
			pass(5 * time.Second)
			p.logs.add(7)
		}
		pass(time.Minute)
		got := p.sources()
		if got["import"]+got["pull"] != 500+420 {
			t.Errorf("published %v, want 920 in all", got)
		}
		stopFirst()
		p.stop()
	})
}

func TestWhatRetentionHasTakenIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.logs.add(2)
		p.start()
		pass(time.Minute)
		left := time.Now()
		p.stop()
		for range 72 {
			pass(time.Hour)
			p.logs.add(1)
		}
		p.logs.forget(24 * time.Hour)
		p.start()
		pass(time.Minute)
		diff(t, "published", map[string]int{"import": 2, "repair": 25}, p.sources())
		s := p.cursors.saved(t)
		if len(s.Missing) != 1 {
			t.Fatalf("missing %v, want one stretch", s.Missing)
		}
		if m := s.Missing[0]; m.From.After(left) || m.To.Sub(m.From) < 47*time.Hour || m.To.Sub(m.From) > 49*time.Hour {
			t.Errorf("missing %v, want the 2 days from %v", m, left)
		}
		if !strings.Contains(p.log.String(), "logs may be lost") {
			t.Errorf("the log does not tell: %s", p.log.String())
		}
		p.stop()
	})
}

func TestHistoryOfAQuietTenantIsNotMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		for range 250 {
			p.logs.add(1)
			pass(time.Hour)
		}
		p.start()
		pass(time.Minute)
		p.stop()
		diff(t, "published", map[string]int{"import": 250}, p.sources())
		if s := p.cursors.saved(t); len(s.Missing) != 0 {
			t.Errorf("missing %v", s.Missing)
		}
	})
}

// What the store would refuse as too old must not fill DEAD.
func TestHistoryIsAsLongAsTheStoreKeepsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.change = func(c *PullConfig) { c.Retention = 100 * time.Hour }
		for range 300 {
			p.logs.add(1)
			pass(time.Hour)
		}
		p.start()
		pass(time.Minute)
		p.stop()
		diff(t, "published", map[string]int{"import": 99}, p.sources())
		if s := p.cursors.saved(t); s.Imported.IsZero() || len(s.Spans) > 0 {
			t.Errorf("state %+v", s)
		}
	})
}

func TestABusyTenantIsPulledToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.start()
		for range 120 {
			pass(5 * time.Second)
			p.logs.add(400) // 80 a second
		}
		pass(time.Minute)
		diff(t, "published", map[string]int{"pull": 48_000}, p.sources())
		p.stop()
	})
}

func TestRecordThatIsTooLargeGoesToDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.pub.max = 2 << 10
		p.start()
		pass(10 * time.Second)
		p.logs.add(3)
		p.logs.mu.Lock()
		p.logs.ids[1] += strings.Repeat("x", 4<<10)
		p.logs.mu.Unlock()
		pass(time.Minute)
		if dead := p.pub.deadLogs(); len(dead) != 1 || dead[0].Source != schemas.SourcePull {
			t.Errorf("dead: %+v", dead)
		}
		diff(t, "published", map[string]int{"pull": 2}, p.sources())
		p.stop()
	})
}

// toStream has a tenant that was followed with 3 logs, of which 4 came while nobody
// read, in the hands of a log stream from now on.
func (p *pulling) toStream(change func(*PullConfig)) {
	p.t.Helper()
	p.start()
	pass(10 * time.Second)
	p.logs.add(3)
	pass(10 * time.Second)
	p.stop()
	p.logs.add(4)
	p.change = change
	p.start()
	pass(10 * time.Second)
	diff(p.t, "published", map[string]int{"pull": 3, "repair": 4}, p.sources())
}

// A log stream delivers nothing from before it was made.
func TestNothingIsLostWhereATenantGoesToAStream(t *testing.T) {
	for name, change := range map[string]func(*PullConfig){
		"history": func(c *PullConfig) { c.Live = false },
		"never":   func(c *PullConfig) { c.Live, c.Closing = false, true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPulling(t)
				p.toStream(change)
				if s := p.cursors.saved(t); s.Followed || s.Again.IsZero() {
					t.Errorf("state %+v, want it not followed, and when to look again", s)
				}
				p.logs.add(5) // before the stream is made
				pass(10 * time.Minute)
				p.stop() // when to look again outlives it
				p.start()
				diff(t, "published too early", map[string]int{"pull": 3, "repair": 4}, p.sources())
				pass(10 * time.Minute)
				diff(t, "published", map[string]int{"pull": 3, "repair": 9}, p.sources())
				calls := p.logs.called()
				p.logs.add(6) // the stream delivers
				pass(24 * time.Hour)
				if n := p.logs.called() - calls; n != 0 {
					t.Errorf("%d calls for what the stream delivers", n)
				}
				if s := p.cursors.saved(t); s.Followed || !s.Again.IsZero() || len(s.Spans) > 0 {
					t.Errorf("state %+v", s)
				}
				p.stop()

				p.change = func(*PullConfig) {} // and back
				p.start()
				pass(time.Minute)
				diff(t, "published once it is followed again", map[string]int{"pull": 3, "repair": 15}, p.sources())
				p.stop()
			})
		})
	}
}

func TestGoingToAStreamSurvivesErrorsAndALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.start()
		pass(10 * time.Second)
		p.stop()
		p.logs.add(4)
		p.logs.set(errors.New("connection refused"))
		p.cursors.loseNext = true // of what is told of the error
		p.change = func(c *PullConfig) { c.Live = false }
		p.start()
		pass(5 * time.Minute)
		if s := p.cursors.saved(t); !s.Followed {
			t.Errorf("state %+v: it counts as done and nothing was read", s)
		}
		p.logs.set(nil)
		p.cursors.mu.Lock()
		p.cursors.loseNext = true
		p.cursors.mu.Unlock()
		pass(10 * time.Minute)
		diff(t, "published", map[string]int{"repair": 4}, p.sources())
		p.stop()
	})
}

// Where nothing was followed, a tenant that is never pulled is not asked at all.
func TestClosingAsksNothingWhereNothingIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulling(t)
		p.logs.add(150)
		pass(time.Second)
		closing := func(c *PullConfig) { c.Live, c.Closing = false, true }
		p.change = closing
		p.start()
		pass(time.Hour)
		p.stop()
		if n := p.logs.called(); n != 0 || p.cursors.revision != 0 {
			t.Errorf("%d calls, and %d states of a tenant that is never pulled", n, p.cursors.revision)
		}

		p.change = func(c *PullConfig) { c.Live = false } // the history begins
		p.start()
		pass(500 * time.Millisecond)
		p.stop()
		calls := p.logs.called()
		p.change = closing
		p.start()
		pass(time.Hour)
		p.stop()
		if n := p.logs.called() - calls; n != 0 || len(p.cursors.saved(t).Spans) != 1 {
			t.Errorf("%d calls for a history that is not wanted; state %+v", n, p.cursors.saved(t))
		}
	})
}

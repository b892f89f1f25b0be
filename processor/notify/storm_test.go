package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor/notify"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// watch is a clock that a test sets.
type watch struct{ at atomic.Int64 }

// windowStart is the beginning of a window of summaries.
var windowStart = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func newWatch() *watch {
	w := &watch{}
	w.at.Store(windowStart.Add(time.Minute).UnixNano())
	return w
}

func (w *watch) now() time.Time        { return time.Unix(0, w.at.Load()) }
func (w *watch) pass(to time.Duration) { w.at.Store(windowStart.Add(to).UnixNano()) }

// stormy delivers to a webhook that gets so many pages in ten minutes.
func stormy(t *testing.T, broker *natstest.Harness, rows *ledger, url string, burst uint64, clock *watch) notify.Config {
	t.Helper()
	cfg := to(t, broker, rows, webhook(t, url))
	cfg.Lanes[0].Burst, cfg.Now, cfg.LookEvery = burst, clock.now, 20*time.Millisecond
	return cfg
}

func ends(n int) schemas.Alert {
	a := alert(n)
	a.ID, a.Finding.State = fmt.Sprintf("finding%d/withdrawn/2", n), schemas.StateWithdrawn
	return a
}

func alerts(from, to int) []schemas.Alert {
	var all []schemas.Alert
	for n := from; n <= to; n++ {
		all = append(all, alert(n))
	}
	return all
}

func ids(alerts []schemas.Alert) []string {
	var all []string
	for _, a := range alerts {
		all = append(all, a.ID)
	}
	return all
}

const firstSummary = "summary/webhook/20260501T1200Z"

// summarised are the alerts that were left to a summary, each once.
func summarised(rows *ledger, summary string) []string {
	var all []string
	for _, d := range rows.all() {
		if d.Summary == summary {
			all = append(all, d.AlertID)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// summariesOf are those that a receiver was sent, as it reads them.
func summariesOf(t *testing.T, r *receiver) []schemas.Summary {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []schemas.Summary
	for _, body := range r.bodies {
		var doc struct {
			Type string
			Data schemas.Summary
		}
		if err := json.Unmarshal([]byte(body), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.Type == "findings.summary" {
			all = append(all, doc.Data)
		}
	}
	return all
}

func TestStormIsToldInOneSummary(t *testing.T) {
	t.Parallel()
	broker, rows, r, clock := natstest.New(t), &ledger{}, newReceiver(t, 200), newWatch()
	publish(t, broker, alerts(1, 8)...)
	start(t, stormy(t, broker, rows, r.URL, 3, clock))
	empty(t, broker)
	if diff := cmp.Diff(ids(alerts(1, 3)), r.got()); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(ids(alerts(4, 8)), summarised(rows, firstSummary)); diff != "" {
		t.Errorf("left to the summary (-want +got):\n%s", diff)
	}
	clock.pass(10*time.Minute + 16*time.Second)
	natstest.Eventually(t, "the summary", func() bool { return len(r.got()) == 4 })
	want := []schemas.Summary{{ID: firstSummary, From: windowStart, To: windowStart.Add(10 * time.Minute), Findings: 5}}
	if diff := cmp.Diff(want, summariesOf(t, r)); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	// Now it has had no page for nine minutes and a half.
	clock.pass(11*time.Minute + 30*time.Second)
	publish(t, broker, alert(9))
	natstest.Eventually(t, "another page", func() bool { return len(r.got()) == 5 })
	if got := r.got(); got[3] != firstSummary || got[4] != "finding9/open/1" {
		t.Errorf("ids %q, want the summary and then a page", got)
	}
}

// What was paged is told to be over, however much storms; what was not is counted.
func TestEndsOfWhatWasPagedGoOutInAStorm(t *testing.T) {
	t.Parallel()
	broker, rows, r, clock := natstest.New(t), &ledger{}, newReceiver(t, 200), newWatch()
	publish(t, broker, alert(1), alert(2), ends(2), ends(1))
	start(t, stormy(t, broker, rows, r.URL, 1, clock))
	empty(t, broker)
	if diff := cmp.Diff([]string{"finding1/open/1", "finding1/withdrawn/2"}, r.got()); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	clock.pass(10*time.Minute + 16*time.Second)
	natstest.Eventually(t, "the summary", func() bool { return len(summariesOf(t, r)) == 1 })
	if got := summariesOf(t, r)[0]; got.Findings != 1 || got.Ended != 1 {
		t.Errorf("summary %+v, want one finding, which is over", got)
	}
}

// A process may die behind each step: what is left to a summary is told in one.
func TestNothingOfAStormIsLostInACrash(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"delivery_recorded", "alert_acked", "summary_queued", "alert_sent"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			limits := natstest.Limits()
			limits.AckWait = time.Second
			broker, rows, r, clock := natstest.New(t, natstest.WithLimits(limits)), &ledger{}, newReceiver(t, 200), newWatch()
			publish(t, broker, alerts(1, 4)...)
			crashed, hasCrashed := make(chan struct{}), sync.Once{}
			cfg := stormy(t, broker, rows, r.URL, 1, clock)
			cfg.At = func(p string) {
				if p == "alert_acked" && len(summarised(rows, firstSummary)) == 3 {
					clock.pass(10*time.Minute + 16*time.Second)
				}
				if p == point && len(summarised(rows, firstSummary)) >= 2 {
					hasCrashed.Do(func() { close(crashed) })
					select {} // this process does nothing any more
				}
			}
			n, err := notify.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			go func() { _ = n.Run(ctx) }()
			<-crashed
			cancel()
			start(t, stormy(t, broker, rows, r.URL, 1, clock))
			natstest.Eventually(t, "all are told or left to a summary", func() bool {
				return len(r.got())+len(summarised(rows, firstSummary)) >= 4
			})
			clock.pass(10*time.Minute + 16*time.Second)
			natstest.Eventually(t, "the summary", func() bool { return len(summariesOf(t, r)) > 0 })
			empty(t, broker)
			told := summarised(rows, firstSummary)
			for _, id := range r.got() {
				if !strings.HasPrefix(id, "summary/") {
					told = append(told, id)
				}
			}
			slices.Sort(told)
			if diff := cmp.Diff(ids(alerts(1, 4)), slices.Compact(told)); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			if got := summariesOf(t, r)[0]; got.Findings < 3 {
				t.Errorf("the summary tells of %d findings, want 3", got.Findings)
			}
		})
	}
}

// fullQueue has no room for the channel dead, until it is let.
type fullQueue struct {
	notify.Outbox
	room       atomic.Bool
	good, dead atomic.Int64
}

func (o *fullQueue) Enqueue(ctx context.Context, channel string, a schemas.Alert) error {
	switch {
	case channel == "good":
		o.good.Add(1)
	case !o.room.Load():
		o.dead.Add(1)
		return schemas.ErrFull
	}
	return o.Outbox.Enqueue(ctx, channel, a)
}

// gate lets nothing through until it is opened.
type gate struct {
	notify.Channel
	waits, open chan struct{}
	once        *sync.Once
}

func newGate(c notify.Channel) gate {
	return gate{c, make(chan struct{}), make(chan struct{}), &sync.Once{}}
}

func (g gate) Deliver(ctx context.Context, a schemas.Alert) error {
	g.once.Do(func() { close(g.waits) })
	select {
	case <-g.open:
		return g.Channel.Deliver(ctx, a)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The end of a page that waits in a full queue waits for room behind it.
func TestEndOfAPageThatWaitsIsNotLeftOut(t *testing.T) {
	t.Parallel()
	broker, rows, r := natstest.New(t), &ledger{}, newReceiver(t, 200)
	dead := newGate(named(t, "dead", r.URL))
	cfg := to(t, broker, rows, dead)
	outbox := &fullQueue{Outbox: cfg.Outbox}
	outbox.room.Store(true)
	cfg.Outbox = outbox
	start(t, cfg)
	publish(t, broker, alert(1))
	<-dead.waits
	outbox.room.Store(false)
	publish(t, broker, ends(1))
	natstest.Eventually(t, "the end finds no room", func() bool { return outbox.dead.Load() > 0 })
	outbox.room.Store(true)
	close(dead.open)
	natstest.Eventually(t, "the page and its end", func() bool { return len(r.got()) == 2 })
	if diff := cmp.Diff([]string{"finding1/open/1", "finding1/withdrawn/2"}, r.got()); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
}

// A page that its end has overtaken opens nothing that nobody would end.
func TestPageThatItsEndHasOvertakenIsLeftToASummary(t *testing.T) {
	t.Parallel()
	broker, rows, r, clock := natstest.New(t), &ledger{}, newReceiver(t, 200), newWatch()
	start(t, stormy(t, broker, rows, r.URL, 0, clock))
	again := alert(1)
	again.ID = "finding1/open/3"
	for _, a := range []schemas.Alert{ends(1), alert(1), again} {
		publish(t, broker, a)
		empty(t, broker)
	}
	if diff := cmp.Diff([]string{"finding1/withdrawn/2", "finding1/open/3"}, r.got()); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"finding1/open/1"}, summarised(rows, firstSummary)); diff != "" {
		t.Errorf("left to the summary (-want +got):\n%s", diff)
	}
}

// A channel whose queue is full holds up no other: pages go into a summary. Only the
// end of what it was paged for waits for room.
func TestFullQueueLeavesPagesToASummary(t *testing.T) {
	t.Parallel()
	broker, rows, good, dead, clock := natstest.New(t), &ledger{}, newReceiver(t, 200), newReceiver(t, 200), newWatch()
	cfg := to(t, broker, rows, named(t, "good", good.URL), named(t, "dead", dead.URL))
	cfg.Now, cfg.LookEvery = clock.now, 20*time.Millisecond
	outbox := &fullQueue{Outbox: cfg.Outbox}
	outbox.room.Store(true)
	cfg.Outbox = outbox
	start(t, cfg)
	publish(t, broker, alert(1))
	empty(t, broker)
	outbox.room.Store(false)
	publish(t, broker, alert(2), ends(1), alert(3))
	natstest.Eventually(t, "the good one has all", func() bool { return len(good.got()) == 4 })
	const summary = "summary/dead/20260501T1200Z"
	natstest.Eventually(t, "the pages are left to a summary", func() bool {
		return slices.Equal(summarised(rows, summary), []string{"finding2/open/1", "finding3/open/1"})
	})
	if got := good.got(); !slices.Contains(got, "finding2/open/1") || outbox.good.Load() != 4 {
		t.Errorf("the good one got %q, in %d attempts to queue", got, outbox.good.Load())
	}
	clock.pass(10*time.Minute + 16*time.Second)
	outbox.room.Store(true)
	natstest.Eventually(t, "the end and the summary", func() bool { return len(dead.got()) == 3 })
	got := dead.got()
	slices.Sort(got)
	if diff := cmp.Diff([]string{"finding1/open/1", "finding1/withdrawn/2", summary}, got); diff != "" {
		t.Errorf("the dead one, once it has room (-want +got):\n%s", diff)
	}
}

package doctor

import (
	"context"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
)

const (
	clockApart = 2 * time.Second // between two clocks that should be the same
	// lateDelivery is how long Auth0 may take, and earlyDelivery by how much an
	// event may come before its own time, before a clock is to blame.
	lateDelivery  = 10 * time.Minute
	earlyDelivery = 5 * time.Second

	syncClock = "run an NTP client, such as chrony or systemd-timesyncd"
)

// oldest is a time before any build of this program.
func oldest() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// clock tells whether this machine's is right, as far as that shows without a
// network; the checks of the servers compare it with theirs.
func (d *Doctor) clock(ctx context.Context) Result {
	var r Result
	now := d.cfg.Now()
	built := oldest()
	if d.cfg.Built.After(built) {
		built = d.cfg.Built
	}
	if now.Before(built) {
		r.fail(syncClock, "it shows %s, before this program was built (%s): certificates and the times of events cannot be judged",
			now.UTC().Format(time.RFC3339), built.UTC().Format(time.RFC3339))
		return r
	}
	switch synced, known := clockSynced(); {
	case known && !synced:
		r.warn(syncClock, "it shows %s, and the kernel says that nobody keeps it right", now.UTC().Format(time.RFC3339))
	case known:
		r.ok("%s, kept right by NTP or the like", now.UTC().Format(time.RFC3339))
	default:
		r.ok("%s", now.UTC().Format(time.RFC3339))
	}
	if d.running {
		d.delivery(ctx, &r)
	}
	return r
}

// delivery compares the time of events with that of their arrival.
func (d *Doctor) delivery(ctx context.Context, r *Result) {
	page, err := d.client.Events(ctx, apiclient.EventQuery{Where: map[string]string{"source": "stream"}, Limit: 20})
	if err != nil || len(page.Events) == 0 {
		return // the check of tenants tells
	}
	least := page.Events[0].IngestedAt.Sub(page.Events[0].Time)
	for _, e := range page.Events {
		least = min(least, e.IngestedAt.Sub(e.Time))
	}
	switch {
	case least < -earlyDelivery:
		r.warn(syncClock, "an event of late arrived %s before its own time: this clock is slow", -least)
	case least > lateDelivery:
		r.warn("compare this clock with another; else look at the log stream's health in the Auth0 Dashboard", "events of late arrived %s after their own time or later", least.Round(time.Second))
	}
}

// apart judges another machine's clock.
func (d *Doctor) apart(r *Result, whose string, theirs time.Time) {
	if theirs.IsZero() {
		return
	}
	if by := d.cfg.Now().Sub(theirs); by.Abs() > clockApart {
		r.warn(syncClock+", on both machines", "the clock of %s is %s from this one", whose, by.Abs().Round(100*time.Millisecond))
	}
}

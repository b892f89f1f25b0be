package query

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

type statusOutput struct {
	Body schemas.StatusView
}

func (a *API) registerStatus(api huma.API) {
	huma.Register(api, operation("get-status", "/status", "Show how far the pipeline is",
		"Wait for pending and uncorrelated to be zero in one answer before looking for findings of what was sent."), a.status)
}

// status asks the broker first. A processor inserts the touches of a group
// before it acks the group, so a record that is no longer pending has left its
// touches in the store by then: zero pending and, read after that, zero
// uncorrelated mean that all of it is correlated. The other way round a group
// could be stored between the two looks and be missed by both.
func (a *API) status(ctx context.Context, _ *struct{}) (*statusOutput, error) {
	view := schemas.StatusView{Versions: schemas.Versions{M2MWatch: a.cfg.Version}}
	waiting, err := a.addBacklog(ctx, &view)
	if err != nil {
		return nil, err
	}
	if err := a.addStore(ctx, &view, waiting); err != nil {
		return nil, err
	}
	if a.cfg.Delay != nil {
		if d, ok := a.cfg.Delay(); ok {
			seconds := d.Seconds()
			view.DelaySeconds = &seconds
		}
	}
	return &statusOutput{Body: view}, nil
}

// addBacklog also returns how many alerts wait for each channel.
func (a *API) addBacklog(ctx context.Context, view *schemas.StatusView) (waiting map[string]uint64, err error) {
	if a.cfg.Backlog == nil {
		return nil, nil
	}
	b, err := ask(ctx, a, "broker", a.cfg.Backlog.Backlog)
	if err != nil {
		return nil, err
	}
	view.Pending, view.PendingEstimated = &b.Pending, b.Estimated
	view.Dead, view.Alerts = &b.Dead, &b.Alerts
	view.Versions.NATS = b.Version
	return b.Waiting, a.addPulls(ctx, view)
}

func (a *API) addPulls(ctx context.Context, view *schemas.StatusView) error {
	if a.cfg.Pulls == nil {
		return nil
	}
	states, err := ask(ctx, a, "broker", a.cfg.Pulls.All)
	if err != nil {
		return err
	}
	for _, tenant := range slices.Sorted(maps.Keys(states)) {
		s := states[tenant]
		v := schemas.PullView{Tenant: tenant, Domain: s.Domain, Imported: known(s.Imported), Missing: s.Missing, Reason: s.Reason, Error: s.Error, Since: known(s.Since)}
		if s.Followed {
			v.CaughtUp = known(s.At)
		}
		for _, span := range s.Spans {
			v.Spans = append(v.Spans, span.View())
		}
		view.Pulls = append(view.Pulls, v)
	}
	return nil
}

func (a *API) addStore(ctx context.Context, view *schemas.StatusView, waiting map[string]uint64) error {
	s, err := ask(ctx, a, "store", a.cfg.Store.Status)
	if err != nil {
		return err
	}
	view.Uncorrelated, view.Events, view.Bytes = s.Uncorrelated, s.Events, s.Bytes
	c, err := a.countWarm(ctx)
	if err != nil {
		return err
	}
	view.Warm, view.Exchanging = c.Warm, c.Identities
	view.DirtyHours, view.BytesPerDay = s.DirtyHours, s.BytesPerDay
	view.CorrelateLag, view.RecountLag = s.CorrelateLag.Seconds(), s.RecountLag.Seconds()
	if s.Size > 0 {
		view.DiskFree = &s.Free
		view.DaysToFull = daysToFull(&s)
	}
	view.Warming = a.warming(s.Warming)
	view.LastEvent, view.LastStored = known(s.LastEvent), known(s.LastStored)
	view.Versions.ClickHouse = s.Version
	view.Channels = channels(a.cfg.Channels, waiting, a.cfg.Backlog != nil, s.Channels)
	return nil
}

// warming is by rule what selectors are not warm yet.
func (a *API) warming(selectors []schemas.Selector) (views []schemas.WarmingView) {
	if a.cfg.RulesOf == nil {
		return nil
	}
	of := map[string]schemas.WarmingView{}
	for _, s := range selectors {
		for _, rule := range a.cfg.RulesOf(s.Selector) {
			v := of[rule]
			of[rule] = schemas.WarmingView{Rule: rule, Selections: v.Selections + 1, Done: v.Done + s.Done, Total: v.Total + s.Total}
		}
	}
	for _, rule := range slices.Sorted(maps.Keys(of)) {
		views = append(views, of[rule])
	}
	return views
}

// warmEvery is how often warm identities are counted: the status is asked for by the
// second, and they change by the day.
const warmEvery = 5 * time.Minute

// warmth is the count of warm identities as it was lately.
type warmth struct {
	mu    sync.Mutex // guards what follows
	at    time.Time
	count schemas.WarmCount
}

func (a *API) countWarm(ctx context.Context) (schemas.WarmCount, error) {
	a.warm.mu.Lock()
	defer a.warm.mu.Unlock()
	now := a.cfg.Now()
	if !a.warm.at.IsZero() && now.Sub(a.warm.at) < warmEvery {
		return a.warm.count, nil
	}
	c, err := ask(ctx, a, "store", func(ctx context.Context) (schemas.WarmCount, error) { return a.cfg.Store.CountWarm(ctx, now) })
	if err == nil {
		a.warm.at, a.warm.count = now, c
	}
	return c, err
}

// daysToFull is nil where the store stops growing before its disk is full.
func daysToFull(s *schemas.StoreStatus) *float64 {
	if s.BytesPerDay == 0 {
		return nil
	}
	days := float64(s.Free) / float64(s.BytesPerDay)
	if s.Growing >= 0 && days > s.Growing.Hours()/24 {
		return nil
	}
	return &days
}

// known is null for the zero time.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

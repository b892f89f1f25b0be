package notify

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// router takes alerts from the one queue of all into those of the channels. It
// handles one message at a time.
type router struct {
	*Notifier
	// routed are the channels that have an alert which is not acked, since another
	// has not: how far apart the queue knows a repeat is bounded.
	routed map[string]map[string]bool
}

// maxRouted bounds what is remembered. What is forgotten may come twice, with
// its id.
const maxRouted = 10_000

// handle takes one alert into the queues of its channels. The steps, and what a
// crash behind each means:
//
//  1. explain: nothing has changed.
//  2. queue, for each channel: it is queued again, which the queue drops within
//     ten minutes; later it is delivered twice with one id.
//  3. ack: done.
func (r *router) handle(ctx context.Context, m schemas.Message) {
	stop := keep(m)
	defer stop()
	var a schemas.Alert
	if err := json.Unmarshal(m.Data(), &a); err != nil || a.ID == "" {
		r.unreadable(ctx, m, err)
		return
	}
	explained := r.explain(ctx, &a, m.Attempt())
	if !explained && (m.Attempt() < maxExplain || ctx.Err() != nil) || !r.route(ctx, a, m.Attempt(), !explained) {
		r.putOff(ctx, m, a.ID, backoff(m.Attempt()))
		return
	}
	if r.ack(ctx, m, a.ID) {
		delete(r.routed, a.ID)
		r.cfg.At("alert_routed")
	}
}

// maxExplain attempts are made to say whose a finding is and how to contain it.
// Then it is told without: a page that says less is better than none.
const maxExplain = 3

// explain reports whether all is known that can be said.
func (r *router) explain(ctx context.Context, a *schemas.Alert, attempt uint64) bool {
	if r.cfg.Explain == nil {
		return true
	}
	err := r.cfg.Explain(ctx, &a.Finding)
	if err == nil {
		return true
	}
	if ctx.Err() == nil {
		r.cfg.Logger.WarnContext(ctx, "look up what is known of a finding", "alert_id", a.ID, "attempt", attempt, "error", err)
	}
	return false
}

// route reports whether all channels have the alert.
func (r *router) route(ctx context.Context, a schemas.Alert, attempt uint64, anyOwner bool) bool {
	channels, err := r.channelsOf(ctx, a, anyOwner)
	if err != nil {
		if ctx.Err() == nil {
			r.cfg.Logger.WarnContext(ctx, "look who was told of a finding that is over: it will be tried again", "alert_id", a.ID, "error", err)
		}
		return false
	}
	if len(channels) == 0 {
		why := "no channel is configured"
		if len(r.cfg.Lanes) > 0 {
			why = "no route leads to a channel"
		}
		r.metrics.deliveries.WithLabelValues("", "none").Inc()
		d := deliveryOf(a, "", attempt)
		d.Error = why
		return r.record(ctx, d)
	}
	all := true
	for _, channel := range channels {
		if r.routed[a.ID][channel] {
			continue
		}
		err := r.cfg.Outbox.Enqueue(ctx, channel, a)
		if errors.Is(err, schemas.ErrFull) {
			if left, leaveErr := r.leaveOut(ctx, channel, a, attempt); left || leaveErr != nil {
				err = leaveErr
			}
		}
		if err != nil {
			if ctx.Err() == nil {
				r.cfg.Logger.ErrorContext(ctx, "queue an alert: it will be tried again", "alert_id", a.ID, "channel", channel, "error", err)
			}
			all = false
			continue
		}
		r.cfg.At("alert_queued")
		r.remember(a.ID, channel)
	}
	return all
}

// channelsOf are the names of the channels that an alert goes to. An end goes to whom
// it was paged, too: its level or owner may lead elsewhere by now, and what a page has
// opened there stays open.
func (r *router) channelsOf(ctx context.Context, a schemas.Alert, anyOwner bool) ([]string, error) {
	channels := r.cfg.channelsFor(a.Finding, anyOwner)
	if a.Kind() != schemas.AlertEnd {
		return channels, nil
	}
	for _, l := range r.cfg.Lanes {
		name := l.Channel.Name()
		if slices.Contains(channels, name) {
			continue
		}
		told, err := r.cfg.Deliveries.Told(ctx, name, a.Finding.Tenant, a.Finding.ID)
		if err != nil {
			return nil, err
		}
		if told.Paged {
			channels = append(channels, name)
		}
	}
	return channels, nil
}

func (r *router) remember(alertID, channel string) {
	if len(r.routed) >= maxRouted {
		clear(r.routed)
	}
	if r.routed[alertID] == nil {
		r.routed[alertID] = map[string]bool{}
	}
	r.routed[alertID][channel] = true
}

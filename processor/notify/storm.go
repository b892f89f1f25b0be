package notify

import (
	"context"
	"errors"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// deliveryOf is the record of an attempt, without how it ended.
func deliveryOf(a schemas.Alert, channel string, attempt uint64) schemas.Delivery {
	return schemas.Delivery{
		AlertID: a.ID, Tenant: a.Finding.Tenant, Channel: channel, Attempt: attempt, Kind: a.Kind(), RuleID: a.Finding.RuleID, Level: a.Finding.Level,
	}
}

// told says what the channel was told of the finding of an alert.
func (l *lane) told(ctx context.Context, a schemas.Alert) (schemas.Told, error) {
	if kind := a.Kind(); kind != schemas.AlertPage && kind != schemas.AlertEnd {
		return schemas.Told{}, nil
	}
	return l.cfg.Deliveries.Told(ctx, l.Channel.Name(), a.Finding.Tenant, a.Finding.ID)
}

// leave reports whether the channel is not to be sent an alert by itself. Then it
// is recorded: a page that is too many within ten minutes, one that its end has
// overtaken, since nothing would end what it opens, and the end of what was told in a
// summary alone, all for a summary; a summary that the channel has had.
func (l *lane) leave(ctx context.Context, a schemas.Alert, attempt uint64) (bool, error) {
	channel := l.Channel.Name()
	switch a.Kind() {
	case schemas.AlertPage:
		if a.Told.Ended > a.N() {
			return l.leaveTo(ctx, channel, a, attempt, "it was over before")
		}
		if l.Burst == 0 {
			return false, nil
		}
		pages, err := l.cfg.Deliveries.Pages(ctx, channel, a.ID, l.cfg.Now().Add(-schemas.SummaryWindow))
		if err != nil || pages < l.Burst {
			return false, err
		}
		return l.leaveTo(ctx, channel, a, attempt, "it had had its share of pages")
	case schemas.AlertEnd:
		if a.Told.Paged || !a.Told.Summarised {
			return false, nil
		}
		return l.leaveTo(ctx, channel, a, attempt, "it was told of the finding in a summary")
	case schemas.AlertSummary, schemas.AlertDigest:
		return l.cfg.Deliveries.Delivered(ctx, channel, a.Finding.Tenant, a.ID)
	}
	return false, nil
}

// leaveOut leaves an alert for which a channel's queue has no room to a summary,
// so that it holds up no other channel. The end of what the channel was paged for, or
// will be by what waits in its queue, waits for room: it may resolve an incident. It
// reports whether the alert is done.
func (n *Notifier) leaveOut(ctx context.Context, channel string, a schemas.Alert, attempt uint64) (bool, error) {
	if a.Kind() == schemas.AlertEnd {
		told, err := n.cfg.Deliveries.Told(ctx, channel, a.Finding.Tenant, a.Finding.ID)
		if err != nil || told.Paged || !told.Summarised {
			return false, err
		}
	}
	return n.leaveTo(ctx, channel, a, attempt, "its queue was full")
}

// leaveTo records that the channel will be told of an alert in the summary of the
// present window, and reports whether that is on disk. The window is that of the
// record's own time, so that no summary goes out before what it is to tell is
// recorded.
func (n *Notifier) leaveTo(ctx context.Context, channel string, a schemas.Alert, attempt uint64, why string) (bool, error) {
	d := deliveryOf(a, channel, attempt)
	d.Time, d.Error = n.cfg.Now().UTC(), "left to a summary: "+why
	d.Summary = schemas.SummaryID(channel, d.Time)
	if !n.record(ctx, d) {
		return false, errNotRecorded
	}
	n.metrics.deliveries.WithLabelValues(channel, "summarised").Inc()
	return true, nil
}

// after ends the handling of an alert that was not sent: it is done, or what had to
// be looked up or recorded was not to be had, and it comes again.
func (l *lane) after(ctx context.Context, m schemas.Message, alertID string, err error) {
	if err == nil {
		if l.ack(ctx, m, alertID) {
			l.cfg.At("alert_acked")
		}
		return
	}
	if ctx.Err() == nil {
		l.cfg.Logger.WarnContext(ctx, "look at what a channel was told: the alert will be tried again", "alert_id", alertID, "channel", l.Channel.Name(), "error", err)
	}
	l.putOff(ctx, m, alertID, backoff(m.Attempt()))
}

// recordWithin is how long after the end of a window its last record may be stored:
// a record takes finishWithin at most, or is made anew.
const recordWithin = 3 * finishWithin

// lookForDue queues the summaries and digests that are due, until ctx ends. A crash
// in between leaves them due; one that was queued and not taken yet is queued again,
// which the queue drops, or the lane when it comes to it.
func (l *lane) lookForDue(ctx context.Context) {
	tick := time.NewTicker(l.cfg.LookEvery)
	defer tick.Stop()
	for failures := uint64(0); ; {
		err := errors.Join(l.queueSummaries(ctx), l.digest(ctx))
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failures = 0
		default:
			if failures++; failures == 1 {
				l.cfg.Logger.ErrorContext(ctx, "queue the summaries and the digest of a channel: it will be tried again", "channel", l.Channel.Name(), "error", err)
			}
			wait(ctx, backoff(failures))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (l *lane) queueSummaries(ctx context.Context) error {
	channel := l.Channel.Name()
	due, err := l.cfg.Deliveries.Summaries(ctx, channel, l.cfg.Now().Add(-recordWithin))
	if err != nil {
		return err
	}
	for _, s := range due {
		if err := l.cfg.Outbox.Enqueue(ctx, channel, schemas.SummaryAlert(s)); err != nil {
			return err
		}
		l.cfg.At("summary_queued")
	}
	return nil
}

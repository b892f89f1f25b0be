package notify

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// lane is one channel at work. It handles one alert at a time, and no other
// before that one is delivered or refused.
type lane struct {
	*Notifier
	Lane
	failing bool
	// unwelcome counts the attempts at the alert unwelcomeID to which the receiver
	// answered that something is wrong with them: a lane is at one alert at a time.
	// Another process counts its own.
	unwelcome   uint64
	unwelcomeID string
	digested    string // the id of the digest that was queued last
}

// ErrRefused is wrapped by a channel's error when trying the alert again is no
// use: the receiver has read it and does not want it.
var ErrRefused = errors.New("the receiver refuses it")

// ErrUnwelcome is wrapped by a channel's error when the receiver has answered
// that something is wrong with the request which a person may put right: a key,
// an address. The alert is tried for some ninety minutes.
var ErrUnwelcome = errors.New("the receiver does not take it")

// maxUnwelcome attempts are made of what wraps ErrUnwelcome: 9 in the first 8
// minutes, then one every 5. What failed otherwise, since nobody was there, is none of
// them: whoever puts a receiver right has that time, however long it was away.
const maxUnwelcome = 25

// Busy is a failure of a receiver that has said when to come again.
type Busy struct {
	Err   error
	After time.Duration
}

func (b *Busy) Error() string { return b.Err.Error() }

// Unwrap returns what failed.
func (b *Busy) Unwrap() error { return b.Err }

// errNotRecorded says that the store did not take a record; why was logged.
var errNotRecorded = errors.New("it could not be recorded")

// longestBusy bounds what a receiver may ask for.
const longestBusy = time.Hour

// handle delivers one alert. The steps, and what a crash behind each means:
//
//  1. send: the receiver has it, nobody knows. It is sent again with the same
//     id, which is the receiver's idempotency key.
//  2. record: the same, and the record has two rows.
//  3. ack: done.
func (l *lane) handle(ctx context.Context, m schemas.Message) {
	stop := keep(m)
	defer stop()
	var a schemas.Alert
	if err := json.Unmarshal(m.Data(), &a); err != nil || a.ID == "" {
		l.unreadable(ctx, m, err)
		return
	}
	told, err := l.told(ctx, a)
	a.Told = told
	left := false
	if err == nil {
		left, err = l.leave(ctx, a, m.Attempt())
	}
	if left || err != nil {
		l.after(ctx, m, a.ID, err)
		return
	}
	if l.cfg.Link != nil {
		a.URL = l.cfg.Link(a)
	}
	err = l.Channel.Deliver(ctx, a)
	l.cfg.At("alert_sent")
	if err != nil && ctx.Err() != nil {
		l.putOff(ctx, m, a.ID, 0) // the end of this process is no failure of the channel
		return
	}
	d := deliveryOf(a, l.Channel.Name(), m.Attempt())
	d.OK = err == nil
	again := l.judge(ctx, &d, err)
	if again > 0 {
		l.record(ctx, d)
		l.putOff(ctx, m, a.ID, again)
		return
	}
	if l.recordAtLast(ctx, d) && l.ack(ctx, m, a.ID) {
		l.cfg.At("alert_acked")
	}
}

// judge counts and logs how an attempt ended, and says after how long there is
// another; 0 where there is none.
func (l *lane) judge(ctx context.Context, d *schemas.Delivery, err error) (again time.Duration) {
	if l.unwelcomeID != d.AlertID {
		l.unwelcome, l.unwelcomeID = 0, d.AlertID
	}
	if errors.Is(err, ErrUnwelcome) {
		l.unwelcome++
	}
	log := l.cfg.Logger.With("alert_id", d.AlertID, "channel", d.Channel, "attempt", d.Attempt)
	outcome := "ok"
	switch {
	case err == nil:
		if l.failing {
			log.InfoContext(ctx, "a channel takes alerts again")
		}
	case errors.Is(err, ErrRefused), errors.Is(err, ErrUnwelcome) && l.unwelcome >= maxUnwelcome:
		outcome, d.Error = "refused", schemas.DeliveryRefused+err.Error()
		log.ErrorContext(ctx, "deliver an alert: given up", "error", err)
	default:
		outcome, d.Error = "failed", err.Error()
		again = backoff(d.Attempt)
		if busy, ok := errors.AsType[*Busy](err); ok {
			again = min(max(again, busy.After), longestBusy)
		}
		log.WarnContext(ctx, "deliver an alert: it will be tried again", "after", again, "error", err)
	}
	l.failing = err != nil
	l.metrics.failing.WithLabelValues(d.Channel).Set(map[bool]float64{true: 1}[l.failing])
	l.metrics.deliveries.WithLabelValues(d.Channel, outcome).Inc()
	return again
}

// recordAtLast records how the last attempt ended, however long that takes, and
// reports false where ctx ends first: a delivery that nobody can see is not done,
// and while the store is away nobody is to be paged anew.
func (l *lane) recordAtLast(ctx context.Context, d schemas.Delivery) bool {
	for n := uint64(1); !l.record(ctx, d); n++ {
		wait(ctx, backoff(n))
		if ctx.Err() != nil {
			return false
		}
	}
	return true
}

package notify

import (
	"context"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// digestAt is when on a Monday, in UTC, the digest of the week before goes out:
// what was logged on Sunday has come by then, and the day's work begins.
const digestAt = 6 * time.Hour

// digest queues the digest of the last week for the channel, once: that it was
// delivered says the record, so that neither a restart nor another process sends it
// again, and the queue drops what is queued twice at once. A process that was away
// on Monday sends it when it is back.
func (l *lane) digest(ctx context.Context) error {
	if l.cfg.Digest == nil || !l.Digest {
		return nil
	}
	from, to := schemas.DigestWeek(l.cfg.Now().Add(-digestAt))
	id := schemas.DigestID(l.Channel.Name(), from)
	if id == l.digested {
		return nil
	}
	done, err := l.cfg.Deliveries.Delivered(ctx, l.Channel.Name(), "", id)
	if err != nil {
		return err
	}
	if !done {
		d, err := l.cfg.Digest(ctx, from, to)
		if err != nil {
			return err
		}
		if d.Empty() { // of a week before m2mwatch was there
			l.digested = id
			return nil
		}
		if err := l.cfg.Outbox.Enqueue(ctx, l.Channel.Name(), schemas.DigestAlert(l.Channel.Name(), d)); err != nil {
			return err
		}
		l.cfg.At("digest_queued")
	}
	l.digested = id
	return nil
}

package ingest

import (
	"context"
	"fmt"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// joinedMemory is what joined pieces take, their lengths among it.
const joinedMemory = 2 * schemas.MaxDeadJoined

// deadLogs is what a request gave up.
type deadLogs struct {
	published int
	joined    *schemas.Dead
	reason    string // of the first piece
}

// addDead stores one piece that cannot be read, or joins it to others.
func (r *intake) addDead(raw []byte, masked bool, reason string) error {
	d := &r.dead
	if d.reason == "" {
		d.reason = reason
	}
	r.answer.Dead++
	if d.published < schemas.DeadAlone || len(raw) >= schemas.MaxDeadJoined {
		return r.publishDead(schemas.Dead{Code: schemas.DeadCodeJSON, Reason: reason, Raw: raw, Masked: masked})
	}
	if d.joined != nil && d.joined.Join(raw, masked) {
		return nil
	}
	if err := r.flushDead(); err != nil {
		return err
	}
	if err := r.share.reserve(joinedMemory, false); err != nil {
		return err
	}
	d.joined = &schemas.Dead{Code: schemas.DeadCodeJSON}
	d.joined.Join(raw, masked)
	return nil
}

// flushDead stores the pieces that were joined.
func (r *intake) flushDead() error {
	d := r.dead.joined
	if d == nil {
		return nil
	}
	defer r.dropDead()
	d.Reason = fmt.Sprintf("%d pieces of one body, one per line; it began with: %s", d.Pieces, r.dead.reason)
	return r.publishDead(*d)
}

func (r *intake) dropDead() {
	if r.dead.joined != nil {
		r.share.release(joinedMemory, false)
		r.dead.joined = nil
	}
}

// publishDead stores one dead log. It goes on when the sender goes away: a log
// of many MiB may take longer than the sender waits, and then the repeat must
// find it stored. For each MiB it has a second more.
func (r *intake) publishDead(d schemas.Dead) error {
	timeout := r.in.cfg.Limits.PublishTimeout + time.Duration(len(d.Raw)>>20)*time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), timeout)
	defer cancel()
	now := r.in.cfg.Now().UTC()
	d.Tenant, d.Source, d.IngestedAt, d.Time, d.Size = r.tenant, r.source, now, now, int64(len(d.Raw))
	if err := r.in.cfg.Publisher.PublishDead(ctx, d); err != nil {
		return fmt.Errorf("publish dead log: %w", err)
	}
	r.dead.published++
	return nil
}

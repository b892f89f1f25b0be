package ingest

import (
	"context"
	"fmt"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	// maxDeadLogs is how many broken pieces of one request become a dead log
	// each. Any more are joined, line by line, into logs of up to
	// maxDeadJoined bytes: a body of nothing but junk must not cost a sync per
	// line. Reading such a log again splits it again.
	maxDeadLogs   = 256
	maxDeadJoined = 64 << 10
)

// deadLogs is what a request gave up.
type deadLogs struct {
	published int
	joined    []byte
	pieces    int
	masked    bool
	reason    string // of the first piece
}

// addDead stores one piece that cannot be read.
func (r *intake) addDead(raw []byte, masked bool, reason string) error {
	d := &r.dead
	if d.reason == "" {
		d.reason = reason
	}
	r.answer.Dead++
	if d.published < maxDeadLogs || len(raw) >= maxDeadJoined {
		return r.publishDead(schemas.DeadCodeJSON, raw, masked, reason)
	}
	if len(d.joined)+len(raw) >= maxDeadJoined {
		if err := r.flushDead(); err != nil {
			return err
		}
	}
	if d.joined == nil {
		if err := r.share.reserve(maxDeadJoined, false); err != nil {
			return err
		}
		d.joined = make([]byte, 0, maxDeadJoined)
	}
	d.joined = append(append(d.joined, raw...), '\n')
	d.masked = d.masked || masked
	d.pieces++
	return nil
}

// flushDead stores the pieces that were joined.
func (r *intake) flushDead() error {
	d := &r.dead
	if d.joined == nil {
		return nil
	}
	defer r.dropDead()
	return r.publishDead(schemas.DeadCodeJSON, d.joined, d.masked, fmt.Sprintf("%d pieces of one body, one per line; it began with: %s", d.pieces, d.reason))
}

func (r *intake) dropDead() {
	if r.dead.joined != nil {
		r.share.release(maxDeadJoined, false)
		r.dead.joined, r.dead.pieces, r.dead.masked = nil, 0, false
	}
}

// publishDead stores one dead log. It goes on when the sender goes away: a log
// of many MiB may take longer than the sender waits, and then the repeat must
// find it stored. For each MiB it has a second more.
func (r *intake) publishDead(code schemas.DeadCode, raw []byte, masked bool, reason string) error {
	timeout := r.in.cfg.Limits.PublishTimeout + time.Duration(len(raw)>>20)*time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), timeout)
	defer cancel()
	now := r.in.cfg.Now().UTC()
	err := r.in.cfg.Publisher.PublishDead(ctx, schemas.Dead{
		Tenant: r.tenant, Source: r.source, IngestedAt: now, Time: now,
		Code: code, Reason: reason, Raw: raw, Masked: masked, Size: int64(len(raw)),
	})
	if err != nil {
		return fmt.Errorf("publish dead log: %w", err)
	}
	r.dead.published++
	return nil
}

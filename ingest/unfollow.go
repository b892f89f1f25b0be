package ingest

import (
	"context"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// turnUnfollowed is a turn for a tenant whose live logs are not pulled.
func (p *Puller) turnUnfollowed(ctx context.Context) (time.Duration, error) {
	now := p.cfg.Now()
	switch again := p.state.Again; {
	case p.state.Followed, !again.IsZero() && !now.Before(again):
		return p.cfg.Pace, p.unfollow(ctx)
	case p.wantsSpan():
		return p.cfg.Pace, p.pullSpan(ctx)
	case !again.IsZero():
		return min(p.cfg.LongestWait, again.Sub(now)), nil
	}
	return p.cfg.LongestWait, nil // all is there
}

// unfollow has brought in what came since a tenant was followed last: nobody else
// reads it. A log stream delivers nothing from before it was made, and it may be
// made after the configuration was changed; so that is done once more after Gap.
// What the stream has delivered as well is stored once.
func (p *Puller) unfollow(ctx context.Context) error {
	state := p.state
	behind, err := p.repair(ctx, &state)
	if err != nil {
		return err
	}
	state.Again = time.Time{}
	if p.state.Followed {
		state.Again = state.At.Add(p.cfg.Gap)
	}
	if err := p.save(ctx, &state); err != nil {
		return err
	}
	if behind {
		p.cfg.Logger.Info("the tenant is not followed any more: what came until now is brought in as a repair", "again", state.Again)
	}
	return nil
}

// wantsSpan reports whether a span is to be read. The last goes first, and the
// history is the first.
func (p *Puller) wantsSpan() bool {
	last := len(p.state.Spans) - 1
	return last >= 0 && (!p.cfg.Closing || p.state.Spans[last].Source == schemas.SourceRepair)
}

// isClosed reports whether nothing is left to do where no more is pulled than what
// is open: a tenant that was never pulled from this domain has nothing.
func (p *Puller) isClosed() bool {
	s := &p.state
	return s.Domain != p.cfg.Domain || !s.Followed && s.Again.IsZero() && !p.wantsSpan()
}

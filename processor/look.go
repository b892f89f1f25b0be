package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// look is one rule judging some of its keys. One that is not prompt, or takes long, goes
// on beside the others: what it reads of a whole tenant cannot be cut, and nobody's alert
// is to wait for it. While there are maxLong of them none begins that is not prompt, and
// only the first may be one of which people are not told at once.
//
// Of a rule and a tenant there is never more than one, none of a tenant while acts about
// its findings are carried out, and none at all while it is looked for what is over: each
// of them writes what it has read, and the later would undo the other.
type look struct {
	entry  *entry
	rule   *detect.Correlation
	keys   []*touchedKey
	tick   *search // which goes on; nil where keys are judged
	prompt bool
	partly bool // a key was left out
	began  time.Time
	done   chan struct{}
	took   time.Duration // when done, as err
	err    error
}

const (
	// maxPrompt is one: it has a core of the store busy, and where there are two what comes
	// in needs the other.
	maxPrompt = 1
	// maxLong is two: the engine has little memory, and what is patient needs no more.
	maxLong = 2
	// maxBeside is how many looks may go on beside the prompt ones in all: what was taken
	// for prompt and is not must not hold up all that are. While it is to be looked for what
	// is over it is maxLong, as that waits for the end of all of them.
	maxBeside = 2 * maxLong
)

var errCutShort = errors.New("a look was cut short")

// takeTurn lets the next look begin, or waits where none may. idle says that none may have
// a turn before some time has passed.
func (c *Correlator) takeTurn(ctx context.Context, v *versions) (idle bool, err error) {
	if err := c.endLooks(v, (*look).isOver); err != nil {
		return false, err
	}
	if some, ok := c.mayBegin(); ok {
		if e := c.agenda.next(c.byCode, time.Now(), some); e != nil {
			c.looks = append(c.looks, c.startLook(ctx, e, v))
			return false, nil
		}
	}
	if len(c.looks) == 0 {
		return true, nil
	}
	c.doze(c.ended, c.patience())
	return false, nil
}

// mayBegin is which looks may begin beside those that are under way, not ok where none may.
func (c *Correlator) mayBegin() (some which, ok bool) {
	long := 0
	for _, l := range c.looks {
		if l.isLong() {
			long++
		}
	}
	prompt, due := len(c.looks)-long, c.resolveIsDue()
	switch {
	case prompt >= maxPrompt, long > maxBeside:
		return 0, false
	case due && (long == 0 || long > maxLong): // which waits for them
		return 0, false
	case due, long >= maxLong:
		return promptEntries, true
	case long > 0:
		return tellingEntries, true
	}
	return anyEntry, true
}

// patience is for how long nothing changes but by the end of a look, or by what comes in:
// the first of the prompt ones is long then.
func (c *Correlator) patience() time.Duration {
	patience := c.cfg.Interval
	for _, l := range c.looks {
		if !l.isLong() {
			patience = min(patience, max(0, lookWork-time.Since(l.began)))
		}
	}
	return patience
}

// isLong reports whether a look goes on beside the prompt ones.
func (l *look) isLong() bool { return !l.prompt || time.Since(l.began) >= lookWork }

func (l *look) isOver() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// endLooks ends those of which that holds.
func (c *Correlator) endLooks(v *versions, which func(*look) bool) error {
	for i := 0; i < len(c.looks); {
		l := c.looks[i]
		if !which(l) {
			i++
			continue
		}
		c.looks = slices.Delete(c.looks, i, i+1)
		if err := c.endLook(l, v); err != nil {
			return err
		}
	}
	return nil
}

// startLook begins one with the rules and what else is in force now.
func (c *Correlator) startLook(ctx context.Context, e *entry, v *versions) *look {
	a := c.agenda
	l := &look{entry: e, rule: c.byCode[e.rule], prompt: a.prompt(e, c.byCode), began: time.Now(), done: make(chan struct{})}
	if b := a.serve(e, c.byCode); b.tick != nil {
		l.tick = b.tick
	} else {
		l.keys = a.take(e)
	}
	e.patient = !l.prompt
	a.busy = append(a.busy, e)
	looking := *c // with what is in force now, which a turn may replace
	looking.leaves = func() { l.partly = true }
	if !l.prompt {
		looking.cfg.Store = patient{c.cfg.Store}
	}
	go func() {
		defer func() {
			close(l.done)
			select {
			case c.ended <- struct{}{}:
			default: // one that is not seen yet says as much
			}
		}()
		l.err = errCutShort // where it does not return
		l.err = looking.judge(ctx, l, v)
		l.took = time.Since(l.began)
	}()
	return l
}

// patient is a store in which nobody waits for what a rule asks.
type patient struct{ FindingStore }

func (p patient) Correlate(ctx context.Context, q schemas.Query) ([]schemas.CorrelationRow, error) {
	q.Patient = true
	return p.FindingStore.Correlate(ctx, q)
}

// await waits for the looks that are under way.
func (c *Correlator) await(v *versions) error {
	return c.endLooks(v, func(*look) bool { return true })
}

// rest waits for the looks where their holder has lost the lease, which ends them,
// or failed. What was on its agenda is on somebody else's.
func (c *Correlator) rest() {
	for _, l := range c.looks {
		<-l.done
	}
	c.looks = nil
	c.metrics.agenda.Set(0)
}

// endLook waits for a look and notes what came of it.
func (c *Correlator) endLook(l *look, v *versions) error {
	<-l.done
	if l.err != nil {
		return l.err
	}
	c.metrics.byRule.WithLabelValues(l.entry.rule).Add(l.took.Seconds())
	c.metrics.seconds.Observe(l.took.Seconds())
	if c.agenda.took(l) && c.agenda.ticking == 0 {
		c.tickDone(v)
	}
	return nil
}

// judge does what a look is for.
func (c *Correlator) judge(ctx context.Context, l *look, v *versions) error {
	if l.tick != nil {
		if err := c.goOnSearching(ctx, l.rule, l.entry.tenant, l.tick); err != nil {
			return fmt.Errorf("look for what time has changed, rule %s, tenant %s: %w", l.rule.Code, l.entry.tenant, err)
		}
		return nil
	}
	j, correlate := newJob(l.rule, l.entry.tenant, l.keys), c.correlateTouched
	if l.entry.class == classTick {
		correlate = c.correlateSome
	}
	if err := correlate(ctx, j, v); err != nil {
		return fmt.Errorf("correlate rule %s, tenant %s, %d keys: %w", l.rule.Code, l.entry.tenant, len(j.keys), err)
	}
	return nil
}

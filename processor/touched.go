package processor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// lookAround reads what has come since the last time.
func (c *Correlator) lookAround(ctx context.Context, v *versions) error {
	var warming map[string]bool
	var touches []schemas.Touch
	var flushes []string
	reading, ctxOfReading := errgroup.WithContext(ctx)
	reading.Go(func() (err error) {
		if warming, err = c.cfg.Store.WarmingSelectors(ctxOfReading); err != nil {
			return fmt.Errorf("read which selectors are warming: %w", err)
		}
		return nil
	})
	reading.Go(func() (err error) {
		touches, flushes, err = c.read(ctxOfReading)
		return err
	})
	if err := reading.Wait(); err != nil {
		return err
	}
	c.warming = warming
	for {
		more, err := c.take(ctx, touches, flushes, v)
		if err != nil {
			return err
		}
		if !more || c.agenda.isFull() {
			return c.tick(ctx, v)
		}
		if touches, flushes, err = c.read(ctx); err != nil {
			return err
		}
	}
}

// read reads what the oldest flushes have touched that are not on the agenda.
func (c *Correlator) read(ctx context.Context) ([]schemas.Touch, []string, error) {
	if c.agenda.isFull() {
		return nil, nil, nil
	}
	touches, flushes, err := c.cfg.Store.Touched(ctx, maxFlushes, c.agenda.known()...)
	if err != nil {
		return nil, nil, fmt.Errorf("read touches: %w", err)
	}
	return touches, flushes, nil
}

// take puts what flushes have touched on the agenda, and carries out what people did. It
// tells whether there may be more: behind several flushes there are, and of one that came
// alone it is not worth a look.
func (c *Correlator) take(ctx context.Context, touches []schemas.Touch, flushes []string, v *versions) (more bool, err error) {
	live := len(flushes) > 0 && !schemas.IsHistoryFlush(flushes[0])
	if !live {
		c.history = time.Now()
	}
	if len(flushes) == 0 {
		return false, nil
	}
	if declares(touches) {
		if err := c.expect(ctx, v.epoch, true); err != nil {
			return false, err
		}
		c.setRules(c.expecting(slices.Clone(c.rules))) // looks that are under way have theirs; begin takes others
	}
	c.noteTouched(touches)
	c.agenda.begin(flushes)
	if err := c.addAffected(ctx, touches, flushes); err != nil {
		return false, err
	}
	c.addTouches(touches, nil)
	c.addDeclared(touches, flushes)
	c.agenda.end(flushes)
	for tenant, findings := range acted(touches) {
		if err := c.endLooks(v, func(l *look) bool { return l.entry.tenant == tenant }); err != nil {
			return false, err
		}
		if err := c.act(ctx, tenant, findings, v); err != nil {
			return false, fmt.Errorf("carry out acts, tenant %s: %w", tenant, err)
		}
	}
	c.metrics.touches.Add(float64(len(touches)))
	return live && (len(flushes) > 1 || time.Since(c.history) >= historyEvery), nil
}

// noteTouched tells what is remembered of keys that these are touched.
func (c *Correlator) noteTouched(touches []schemas.Touch) {
	c.memory.touched(touches)
	c.deeds.touched(touches)
	c.rests.touched(touches)
	c.lastMatches.touched(touches, c.cfg.Now())
	c.lastEvents.touched(touches, c.cfg.Now())
}

// reader is a rule that reads a selector, with what a key must have for it to find anything.
type reader struct {
	rule     *detect.Correlation
	required []detect.Required
}

// addTouches sorts touches by the rules that read their selectors. They are judged for
// the sake of these flushes, or of their own. A key of which a rule can find nothing, and
// has found nothing, is not on its agenda: thousands that get tokens would make those that
// are refused wait.
func (c *Correlator) addTouches(touches []schemas.Touch, flushes []string) {
	now := time.Now()
	readers := map[string][]reader{} // by selector
	for i := range touches {
		t := &touches[i]
		rules, known := readers[t.Selector]
		if !known {
			for r := range c.rules {
				if c.rules[r].Keyed(t.Selector) {
					rules = append(rules, reader{&c.rules[r], c.rules[r].Required()})
				}
			}
			readers[t.Selector] = rules
		}
		of := flushes
		if of == nil {
			of = []string{t.Flush}
		}
		class := classLive
		if schemas.IsHistoryFlush(of[0]) {
			class = classHistory
		}
		for _, r := range rules {
			if !r.rule.PassesOver(t.Tenant, t.Key) && !c.findsNothing(r, t) {
				c.agenda.add(duty{class, r.rule.Code, t.Tenant}, t, r.rule.Storm() || !c.told.adds(r.rule, t), of, now) // others wait for a storm
			}
		}
	}
}

// findsNothing reports whether a rule can find nothing of a touched key, and has not: see
// correlate for since when it would be asked.
func (c *Correlator) findsNothing(r reader, t *schemas.Touch) bool {
	if len(r.required) == 0 {
		return false
	}
	from := t.Bucket
	if !r.rule.LooksBackOnly() {
		from = r.rule.Period(from)
	}
	return c.lastMatches.ruleOut(r.required, t.Tenant, t.Key, from) && !c.withFindings.has(t.Tenant, r.rule.Code, t.Key)
}

package processor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// What time alone changes has no touch: a machine falls silent when nothing of it
// comes, and the tenant's other events go on. So the correlator ticks: it looks
// for keys of which triggers may have passed lately, and correlates them like
// touched ones. What it finds is a function of the stored events, so a tick may be
// repeated, and one that was cut short is begun anew.
//
// A tick looks from where the last one ended up to the tenant's last event; a new holder of
// the lease knows that from the store. Where it is not known, as of a new rule or a new
// tenant, it looks sweepReach back; if that was too much it tries again each hour, and looks
// tickReach back in between. Once an hour each tick looks tickReach back, for what a clock
// that was set back or a store that was short of memory has left out.
//
// Rules that have to look back do so in each tick, and sweepReach once an hour, since days
// may come at once.
const (
	tickReach  = 2 * 24 * time.Hour
	sweepEvery = time.Hour
	sweepReach = 60 * 24 * time.Hour
	// noteEvery is how far ticks get before that is stored again.
	noteEvery = 10 * time.Minute
)

// tick puts what time may have changed since the last one on the agenda, if it is due.
func (c *Correlator) tick(ctx context.Context, v *versions) error {
	now := c.cfg.Now()
	first := c.tickEpoch != v.epoch
	if c.agenda.ticking > 0 || !first && now.Sub(c.ticked) < c.cfg.Tick {
		return nil
	}
	reach := tickReach
	if first || now.Sub(c.swept) >= sweepEvery {
		reach = sweepReach
	}
	if err := c.noteTicks(ctx, v); err != nil {
		return fmt.Errorf("store how far ticks have looked: %w", err)
	}
	c.tickBegan, c.sweeps = now, reach == sweepReach
	if err := c.addTick(ctx, reach); err != nil {
		return fmt.Errorf("tick: %w", err)
	}
	if c.agenda.ticking == 0 {
		c.tickDone(v)
	}
	return nil
}

// addTick has each rule look at each tenant, reach back from the last event where it is
// not known how far it has come.
func (c *Correlator) addTick(ctx context.Context, reach time.Duration) error {
	var ticking []string
	for i := range c.rules {
		if c.rules[i].Ticks() {
			ticking = append(ticking, c.rules[i].Code)
		}
	}
	if len(ticking) == 0 {
		return nil
	}
	tenants, err := c.lastEvents.read(ctx, c.cfg.Store, c.tickBegan, reach == sweepReach)
	if err != nil {
		return err
	}
	for _, rule := range ticking {
		for _, t := range tenants {
			of, last := duty{classTick, rule, t.Key}, milli(t.Last)
			if last.After(c.tickBegan) {
				last = c.tickBegan // see found
			}
			r := &search{from: last.Add(-reach), to: last}
			if !c.byCode[rule].LooksBack() {
				r = c.goOn(of, last, reach == sweepReach)
			}
			if r.from.Before(last) {
				c.agenda.tick(of, r, time.Now())
			}
		}
	}
	return nil
}

// goOn is where a tick looks that goes on where the last one ended; again has it look at
// some of that anew.
func (c *Correlator) goOn(of duty, last time.Time, again bool) *search {
	a := c.agenda
	ticked, known := a.ticked[of]
	switch back, all := last.Add(-tickReach), last.Add(-sweepReach); {
	case known && again && ticked.After(back):
		return &search{from: back, to: last, goesOn: true}
	case known && ticked.After(back):
		return &search{from: ticked, to: last, goesOn: true}
	case c.tickBegan.Sub(a.swept[of]) >= sweepEvery:
		a.swept[of] = c.tickBegan
		if known && ticked.After(all) {
			all = ticked
		}
		return &search{from: all, to: last, goesOn: true}
	default:
		return &search{from: back, to: last}
	}
}

// noteTicks stores how far ticks have looked, where all that they have found was judged and
// nothing was left out.
func (c *Correlator) noteTicks(ctx context.Context, v *versions) error {
	a, ver := c.agenda, v.next()
	var ticks []schemas.Tick
	for of, until := range a.ticked {
		if !a.partly[of] && until.Sub(a.noted[of]).Abs() >= noteEvery {
			ticks = append(ticks, schemas.Tick{Rule: of.rule, Tenant: of.tenant, Digest: c.byCode[of.rule].Digest(), Until: until, Ver: ver})
		}
	}
	if len(ticks) == 0 {
		return nil
	}
	if err := c.cfg.Store.InsertTicks(ctx, ticks); err != nil {
		return err
	}
	for _, t := range ticks {
		a.noted[duty{classTick, t.Rule, t.Tenant}] = t.Until
	}
	c.cfg.At("ticks_noted")
	return nil
}

// recallTicks has ticks go on where those of others ended, by the same rules. Of a rule that
// is gone that is forgotten: its findings were taken back, and are to be found again where
// it comes back.
func (c *Correlator) recallTicks(ctx context.Context, v *versions) error {
	var gone []schemas.Tick
	ver := v.next()
	ticks, err := c.cfg.Store.Ticks(ctx)
	if err != nil {
		return fmt.Errorf("read how far ticks have looked: %w", err)
	}
	for _, t := range ticks {
		rule := c.byCode[t.Rule]
		if rule == nil && t.Digest != "" {
			gone = append(gone, schemas.Tick{Rule: t.Rule, Tenant: t.Tenant, Until: t.Until, Ver: ver})
		}
		if rule == nil || !rule.Ticks() || rule.LooksBack() || rule.Digest() != t.Digest {
			continue
		}
		of := duty{classTick, t.Rule, t.Tenant}
		c.agenda.ticked[of], c.agenda.noted[of] = t.Until, t.Until
	}
	if err := c.cfg.Store.InsertTicks(ctx, gone); err != nil {
		return fmt.Errorf("forget how far ticks of rules have looked that are gone: %w", err)
	}
	return nil
}

func (c *Correlator) tickDone(v *versions) {
	c.ticked, c.tickEpoch = c.tickBegan, v.epoch
	if c.sweeps {
		c.swept = c.tickBegan
	}
	c.cfg.At("ticked")
}

// trailing is what a job has to compute anew before its first period: findings
// that are stored there and of which later events say more. There are few.
func (c *Correlator) trailing(ctx context.Context, j job) (before job, ok bool, err error) {
	trail := j.rule.Trail()
	if trail == 0 {
		return j, false, nil
	}
	from, _ := j.periods()
	before = j
	before.first = j.first.Add(-trail)
	stored, err := c.storedFindings(ctx, &j, j.rule.Period(before.first), from)
	if err != nil {
		return j, false, fmt.Errorf("read the findings before: %w", err)
	}
	before.keys = nil
	for _, f := range stored {
		before.keys = append(before.keys, f.Key)
	}
	slices.Sort(before.keys)
	before.keys = slices.Compact(before.keys)
	return before, len(before.keys) > 0, nil
}

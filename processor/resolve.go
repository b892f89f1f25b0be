package processor

import (
	"context"
	"fmt"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// maxOverdue is how many findings are looked at in one go, the first active first.
const maxOverdue = 5000

// resolve resolves the findings of which nothing has happened for a while, and judges
// those anew whose page was held back: nothing need come of one for a hold to end. It
// is a function of what is stored and the clock, so that whoever has the lease may do
// it again.
func (c *Correlator) resolve(ctx context.Context, v *versions) error {
	now := c.cfg.Now().UTC().Truncate(time.Millisecond)
	soonest := unknownOver
	for i := range c.rules {
		soonest = min(soonest, overAfter(&c.rules[i]))
	}
	overdue, err := c.cfg.Store.OverdueFindings(ctx, now.Add(-soonest), maxOverdue)
	if err != nil {
		return fmt.Errorf("look for findings that are over: %w", err)
	}
	held, err := c.cfg.Store.HeldFindings(ctx, maxOverdue)
	if err != nil {
		return fmt.Errorf("look for findings that are held back: %w", err)
	}
	overdue = append(overdue, held...)
	byTenant := map[string][]schemas.Finding{}
	for _, f := range overdue {
		byTenant[f.Tenant] = append(byTenant[f.Tenant], f)
	}
	for tenant, findings := range byTenant {
		for rule, some := range byRule(findings) {
			if err := c.resolveRule(ctx, tenant, rule, some, now, v.next()); err != nil {
				return fmt.Errorf("resolve findings of rule %s, tenant %s: %w", rule, tenant, err)
			}
		}
	}
	return nil
}

// resolveRule looks at overdue findings of a rule together with those beside them.
func (c *Correlator) resolveRule(ctx context.Context, tenant, ruleID string, overdue []schemas.Finding, now time.Time, ver uint64) error {
	p := newPager(tenant, c.rule(ruleID), now, ver)
	p.tick = true
	first, last := overdue[0].Period, overdue[0].Period
	var keys []string
	for i := range overdue {
		f := &overdue[i]
		if f.Period.Before(first) {
			first = f.Period
		}
		last = latest(last, f.Period)
		keys = append(keys, f.Key)
	}
	from, to := p.groupPeriods(first, last.Add(time.Millisecond))
	stored, err := c.cfg.Store.Findings(ctx, tenant, ruleID, keys, from, to)
	if err != nil {
		return fmt.Errorf("read the stored findings: %w", err)
	}
	changes := make([]change, len(stored))
	for i, f := range stored {
		changes[i] = change{was: f, finding: f}
	}
	return c.settle(ctx, p, changes)
}

// rule is the loaded rule of an id, nil where there is none.
func (c *Correlator) rule(id string) *detect.Correlation {
	for i := range c.rules {
		if c.rules[i].Code == id {
			return &c.rules[i]
		}
	}
	return nil
}

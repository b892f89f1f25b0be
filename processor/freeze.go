package processor

import (
	"errors"
	"fmt"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// freezeEarly is how long before its evidence can expire a period is frozen:
// longer than a query runs and clocks differ.
const freezeEarly = 24 * time.Hour

// firstLive is the start of the first period of a rule that is not frozen.
// What a period of before it depends on may have expired in part: computed
// anew, its findings would go for want of evidence, or those that have expired
// themselves would come back and page once more. So they stay as they are,
// whatever comes late.
func (c *Correlator) firstLive(rule *detect.Correlation) time.Time {
	now := c.cfg.Now()
	var live time.Time
	if c.cfg.EvidenceKept > 0 {
		live = schemas.RetentionEdge(now, c.cfg.EvidenceKept).Add(rule.Reach() + freezeEarly)
	}
	if c.cfg.FindingsKept > 0 {
		if edge := schemas.RetentionEdge(now, c.cfg.FindingsKept).Add(freezeEarly); edge.After(live) {
			live = edge
		}
	}
	if live.IsZero() {
		return live
	}
	return rule.PeriodEnd(live)
}

// Check refuses rules that would find nothing with the retention that there is:
// their periods would be frozen before they begin.
func (c *Correlator) Check(set RuleSet) error {
	const day = 24 * time.Hour
	var errs []error
	rules := set.Correlations()
	for i := range rules {
		rule := &rules[i]
		spare := 2*day + freezeEarly + rule.Dedupe // for late events, and a day's rounding
		if need := rule.Needs(); c.cfg.EvidenceKept > 0 && c.cfg.EvidenceKept < need {
			errs = append(errs, fmt.Errorf("correlator: events and matches are kept for %s and rule %s needs those of %s: raise their retention",
				days(c.cfg.EvidenceKept), rule.Code, days(need)))
		}
		if c.cfg.FindingsKept > 0 && c.cfg.FindingsKept < spare {
			errs = append(errs, fmt.Errorf("correlator: findings are kept for %s: raise that to %s or more", days(c.cfg.FindingsKept), days(spare)))
		}
	}
	return errors.Join(errs...)
}

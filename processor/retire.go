package processor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// retireAtOnce is how many findings are taken back together.
const retireAtOnce = 1000

// retire takes back, whenever the rules are others than before, the open findings
// of rules that are no more and those that an exception takes away: no event
// would ever touch them. What it does may be repeated: a finding that is taken
// back is open no more.
func (c *Correlator) retire(ctx context.Context, v *versions) error {
	rules := c.cfg.Rules.Correlations()
	now := rulesDigest(rules)
	if now == c.retired {
		return nil
	}
	codes := make([]string, len(rules))
	for i := range rules {
		codes[i] = rules[i].Code
	}
	if err := c.takeBack(ctx, schemas.OpenFindings{Except: codes}, schemas.ReasonRuleGone, v, func(*schemas.Finding) bool { return true }); err != nil {
		return fmt.Errorf("take back findings of rules that are gone: %w", err)
	}
	for i := range rules {
		r := &rules[i]
		if len(r.Exceptions()) == 0 {
			continue
		}
		excepted := func(f *schemas.Finding) bool { return r.Excepted(f.Tenant, rowOf(f)) != nil }
		if err := c.takeBack(ctx, schemas.OpenFindings{RuleID: r.Code}, schemas.ReasonExcepted, v, excepted); err != nil {
			return fmt.Errorf("take back findings that are excepted: %w", err)
		}
	}
	c.retired = now
	return nil
}

// rulesDigest is another where other rules find something, or other exceptions
// take it away.
func rulesDigest(rules []detect.Correlation) string {
	var b strings.Builder
	for i := range rules {
		fmt.Fprintf(&b, "%q", rules[i].Code)
		for _, e := range rules[i].Exceptions() {
			fmt.Fprintf(&b, "%q", e.Match)
		}
	}
	return b.String() + "."
}

// rowOf is what an exception looks at.
func rowOf(f *schemas.Finding) schemas.CorrelationRow {
	return schemas.CorrelationRow{Key: f.Key, Values: f.Evidence.Networks}
}

func (c *Correlator) takeBack(ctx context.Context, which schemas.OpenFindings, reason schemas.Reason, v *versions, is func(*schemas.Finding) bool) error {
	for {
		open, err := c.cfg.Store.OpenFindings(ctx, which, retireAtOnce)
		if err != nil || len(open) == 0 {
			return err
		}
		which.After = open[len(open)-1].ID
		var changes []change
		for _, was := range open {
			if !is(&was) {
				continue
			}
			now := was
			now.State, now.Ver = schemas.StateWithdrawn, v.next()
			now.Changes++
			now.PagedAt, now.Paging, now.PagingReason = time.Time{}, "", ""
			changes = append(changes, change{kind: changeWithdrawn, was: was, finding: now, alert: was.Told(), reason: reason})
		}
		if err := c.apply(ctx, changes, c.cfg.Now().UTC().Truncate(time.Millisecond)); err != nil {
			return err
		}
		if len(changes) > 0 {
			c.cfg.Logger.Warn("findings are taken back", "reason", string(reason), "findings", len(changes), "rule_id", changes[0].was.RuleID)
		}
	}
}

package processor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// declaredReach is how far back findings are computed anew when something else is
// declared of an identity. What is older is when an event comes late to it.
const declaredReach = 90 * 24 * time.Hour

// expect reads what is declared of identities where another holder of the lease may
// have heard of it, or a touch tells that it is something else now. A declaration
// is stored before its touch, so that whatever is computed without it is
// computed anew.
func (c *Correlator) expect(ctx context.Context, epoch uint64, declares bool) error {
	if c.expected != nil && c.expectedEpoch == epoch && !declares {
		return nil
	}
	list, err := c.cfg.Store.Expectations(ctx)
	if err != nil {
		return fmt.Errorf("read what is declared: %w", err)
	}
	c.expected, c.expectedEpoch = detect.NewExpectations(list), epoch
	return nil
}

// rulesNow are the rules in force, with what is declared.
func (c *Correlator) rulesNow() []detect.Correlation { return c.expecting(c.cfg.Rules.Correlations()) }

// expecting has rules know what is declared.
func (c *Correlator) expecting(rules []detect.Correlation) []detect.Correlation {
	for i := range rules {
		rules[i].Expecting(c.expected)
	}
	return rules
}

// declares reports whether any of the touches is of a declaration.
func declares(touches []schemas.Touch) bool {
	return slices.ContainsFunc(touches, func(t schemas.Touch) bool { return t.Selector == schemas.SelectorExpected })
}

// addDeclared adds what declarations make to be judged: all that rules may find of the
// identities, lately.
func (c *Correlator) addDeclared(touches []schemas.Touch, flushes []string) {
	now := c.cfg.Now().UTC()
	first, last := now.Add(-declaredReach).Truncate(time.Hour), now.Truncate(time.Hour)
	for i := range touches {
		t := &touches[i]
		if t.Selector != schemas.SelectorExpected {
			continue
		}
		for r := range c.rules {
			key, ok := c.rules[r].KeyOf(t.Key)
			if !ok {
				continue
			}
			p := duty{classDeclared, c.rules[r].Code, t.Tenant}
			for _, bucket := range []time.Time{first, last} {
				c.agenda.add(p, &schemas.Touch{Tenant: t.Tenant, Key: key, Bucket: bucket}, true, flushes, time.Now())
			}
		}
	}
}

// declaredLater finds what was over when it was declared what is normal: nobody was
// to know then.
func (c *Correlator) declaredLater(changes []change) circumstances {
	around := circumstances{}
	for i := range changes {
		f := &changes[i].finding
		if e, ok := c.expected.Of(f.Tenant, f.Identity); ok && f.Last.Before(e.DeclaredAt) {
			around[f.ID] = verdict{schemas.PagingImported, "it happened before it was declared what is normal, on " + e.DeclaredAt.Format(time.RFC3339)}
		}
	}
	return around
}

package processor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// spell is a storm as far as it is stored.
type spell struct {
	of          schemas.Finding // the last of its findings
	first, last time.Time
}

// attach finds the failures of machines that began in a storm and have not gone on
// after it: people are told of the storm. It is a function of stored findings, and is
// asked again when a finding grows, and once a minute as long as it stands: what goes
// on when the storm is over pages, and so does what was attached to a storm that late
// events took back. What comes from elsewhere than the machine had succeeded from is
// none of a storm.
func (c *Correlator) attach(ctx context.Context, around circumstances, asked []*schemas.Finding) error {
	rules := c.cfg.Rules.Correlations()
	i := slices.IndexFunc(rules, func(r detect.Correlation) bool { return r.Storm() })
	if i < 0 {
		return nil
	}
	storm := &rules[i]
	first, last := asked[0].First, asked[0].Last
	for _, f := range asked {
		first, last = earliest(first, f.First), latest(last, f.Last)
	}
	window := storm.Timespan
	from, to := storm.Period(first.Add(-window)), storm.PeriodEnd(last.Add(window+time.Millisecond))
	stored, err := c.cfg.Store.Findings(ctx, asked[0].Tenant, storm.Code, []string{asked[0].Tenant}, from, to)
	if err != nil {
		return err
	}
	spells := spellsOf(stored, window)
	for _, f := range asked {
		i := slices.IndexFunc(spells, func(s spell) bool {
			return !f.First.Before(s.first.Add(-window)) && !f.Last.After(s.last.Add(window))
		})
		if i < 0 || f.Identity == "" {
			continue
		}
		known, err := c.cfg.Surroundings.SourceKnown(ctx, *f)
		if err != nil {
			return err
		}
		if known != nil && *known {
			of := &spells[i].of
			around[f.ID] = verdict{schemas.PagingStorm, fmt.Sprintf("attached to finding %s: %s", of.ID, of.Evidence.Summary)}
		}
	}
	return nil
}

// spellsOf joins findings of a storm that go on from one another.
func spellsOf(findings []schemas.Finding, window time.Duration) []spell {
	findings = slices.DeleteFunc(findings, func(f schemas.Finding) bool { return f.State == schemas.StateWithdrawn })
	slices.SortFunc(findings, func(a, b schemas.Finding) int { return a.First.Compare(b.First) })
	var spells []spell
	for _, f := range findings {
		if n := len(spells); n > 0 && !f.First.After(spells[n-1].last.Add(window)) {
			spells[n-1].of, spells[n-1].last = f, latest(spells[n-1].last, f.Last)
			continue
		}
		spells = append(spells, spell{f, f.First, f.Last})
	}
	return spells
}

func earliest(times ...time.Time) time.Time { return slices.MinFunc(times, time.Time.Compare) }

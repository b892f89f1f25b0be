package processor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// Surroundings tells what a verdict needs to know beside a finding.
// internal/clickhouse has it. Reads see every insert that has returned.
type Surroundings interface {
	// FirstLive is when a tenant's first live event happened; zero where there is
	// none, long ago where that cannot be told any more.
	FirstLive(ctx context.Context, tenant string) (time.Time, error)
	// Warm are those of the identities of which enough was known at a time.
	Warm(ctx context.Context, tenant string, identities []string, at time.Time) (map[string]bool, error)
	// Rotations are the last changes of credentials in [since, until) that commands
	// made, of those identities that have one.
	Rotations(ctx context.Context, identities []string, since, until time.Time) (map[string]schemas.Rotation, error)
	// SourceKnown tells whether the identity of a finding had succeeded before from
	// where it came from; nil where that is not told.
	SourceKnown(ctx context.Context, f schemas.Finding) (*bool, error)
}

const (
	// learnFor is how long a tenant's identities that are not warm are learned.
	learnFor = 14 * 24 * time.Hour
	// rotationHolds is for how long failures are expected after a rotation.
	rotationHolds = time.Hour
)

// circumstances are the verdicts, by the finding's id, that follow from what is
// known beside findings.
type circumstances map[string]verdict

// circumstanced is the reason that circumstances give.
func circumstanced(o *occasion) (verdict, bool) {
	v, ok := o.around[o.finding.ID]
	return v, ok
}

// circumstances looks up what is known beside those of the changes that people may
// be told of.
func (c *Correlator) circumstances(ctx context.Context, rule *detect.Correlation, changes []change, now time.Time) (circumstances, error) {
	if rule != nil && rule.Declared() {
		return c.declaredLater(changes), nil
	}
	if c.cfg.Surroundings == nil || rule == nil || !rule.Learns() && !failing(rule) {
		return nil, nil
	}
	var asked []*schemas.Finding
	for i := range changes {
		if ch := &changes[i]; (ch.kind != "" || ch.waits()) && ch.finding.State == schemas.StateOpen && !ch.was.Told() {
			asked = append(asked, &ch.finding)
		}
	}
	if len(asked) == 0 {
		return nil, nil
	}
	around := circumstances{}
	if rule.Learns() {
		if err := c.learn(ctx, around, asked); err != nil {
			return nil, fmt.Errorf("look what is learned yet: %w", err)
		}
	}
	if failing(rule) && !rule.Storm() {
		if err := c.attach(ctx, around, asked); err != nil {
			return nil, fmt.Errorf("look for storms: %w", err)
		}
		if err := c.expectFailures(ctx, around, asked, now); err != nil {
			return nil, fmt.Errorf("look for rotations: %w", err)
		}
	}
	return around, nil
}

// learn finds what is about identities that are not warm, in the first days of a
// tenant. Later a rule knows by itself whether it has seen enough: what was made
// yesterday, or was never used, is then what some rules are about.
func (c *Correlator) learn(ctx context.Context, around circumstances, asked []*schemas.Finding) error {
	tenant := asked[0].Tenant
	live, err := c.firstLiveOf(ctx, tenant)
	if err != nil {
		return err
	}
	byDay := map[time.Time][]*schemas.Finding{}
	for _, f := range asked {
		if live.IsZero() || f.First.Before(live.Add(learnFor)) {
			day := f.First.Truncate(24 * time.Hour)
			byDay[day] = append(byDay[day], f)
		}
	}
	for day, findings := range byDay {
		identities := make([]string, len(findings))
		for i, f := range findings {
			identities[i] = f.Identity
		}
		warm, err := c.cfg.Surroundings.Warm(ctx, tenant, identities, day)
		if err != nil {
			return err
		}
		for _, f := range findings {
			if !warm[f.Identity] {
				around[f.ID] = verdict{schemas.PagingLearning, "what is usual for it is being learned: the tenant is there for less than 14 days, and the identity is not warm"}
			}
		}
	}
	return nil
}

// firstLiveOf is when the first live event of a tenant happened, zero where there is
// none.
func (c *Correlator) firstLiveOf(ctx context.Context, tenant string) (time.Time, error) {
	if known, ok := c.live.Load(tenant); ok {
		return known.(time.Time), nil
	}
	live, err := c.cfg.Surroundings.FirstLive(ctx, tenant)
	if err == nil && !live.IsZero() {
		c.live.Store(tenant, live)
	}
	return live, err
}

// failing reports whether a rule counts failures alone, which a rotation causes.
func failing(rule *detect.Correlation) bool {
	known := []string{"feccft", "fepft", "fertft", "ferrt", "fecte", "f", "fp"}
	return rule.Main != nil && len(rule.Main.Types) > 0 &&
		!slices.ContainsFunc(rule.Main.Types, func(t string) bool { return !slices.Contains(known, t) })
}

// expectFailures finds failures that a rotation by a command must have caused: of
// its identity, within the hour, from where the identity had succeeded before. From
// elsewhere they are an old secret in strange hands. After the hour what goes on is
// judged anew.
func (c *Correlator) expectFailures(ctx context.Context, around circumstances, asked []*schemas.Finding, now time.Time) error {
	var identities []string
	for _, f := range asked {
		if f.Identity != "" && now.Sub(f.First) < rotationHolds {
			identities = append(identities, f.Identity)
		}
	}
	if len(identities) == 0 {
		return nil
	}
	rotations, err := c.cfg.Surroundings.Rotations(ctx, identities, now.Add(-rotationHolds), now)
	if err != nil {
		return err
	}
	for _, f := range asked {
		r, ok := rotations[f.Identity]
		if !ok || f.First.Before(r.At) {
			continue
		}
		known, err := c.cfg.Surroundings.SourceKnown(ctx, *f)
		if err != nil {
			return err
		}
		if known != nil && *known {
			around[f.ID] = verdict{
				schemas.PagingHeld,
				fmt.Sprintf("%s changed its credential at %s (%s), and it comes from where it succeeded before: held until %s", r.Command, r.At.Format(time.RFC3339), r.Operator, r.At.Add(rotationHolds).Format(time.RFC3339)),
			}
		}
	}
	return nil
}

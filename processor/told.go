package processor

import (
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// toldKeys are the keys of a rule that have a finding of which people know as much as is
// urgent: it stands, they were told of it, and its level can rise no more. What only adds
// to it may wait for what they know nothing of.
//
// It knows of what was written since it was made, which is with the agenda: of other
// findings all is urgent. Of two periods of a key it knows the one that was written last.
// Two looks may use it at once.
type toldKeys struct {
	mu      sync.Mutex // guards all
	periods map[schemas.FindingKey]time.Time
}

// maxTold bounds how many are remembered, some hundred bytes each.
const maxTold = 500_000

func newTold() *toldKeys { return &toldKeys{periods: map[schemas.FindingKey]time.Time{}} }

// note adds what was written, by the rules of its codes.
func (t *toldKeys) note(findings []schemas.Finding, rules map[string]*detect.Correlation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.periods) > maxTold {
		clear(t.periods)
	}
	for i := range findings {
		f := &findings[i]
		if rule := rules[f.RuleID]; rule != nil && f.State.Stands() && f.Told() && !mayRise(rule, f.Level) {
			t.periods[f.KeyOfRule()] = f.Period
		} else {
			delete(t.periods, f.KeyOfRule())
		}
	}
}

// mayRise reports whether findings of a rule may be of a more urgent level.
func mayRise(rule *detect.Correlation, level schemas.Level) bool {
	return level != schemas.LevelCritical && (rule.MayBe(schemas.LevelCritical) || level != schemas.LevelHigh)
}

// adds reports whether a touch can only add to a finding that people were told of.
func (t *toldKeys) adds(rule *detect.Correlation, touch *schemas.Touch) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	period, ok := t.periods[schemas.FindingKey{Tenant: touch.Tenant, RuleID: rule.Code, Key: touch.Key}]
	return ok && rule.Period(touch.Bucket).Equal(period) && !rule.PeriodEnd(period.Add(time.Millisecond)).Before(touch.Bucket.Add(time.Hour))
}

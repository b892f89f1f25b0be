package processor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// RuleTests runs the tests that rules carry: their logs are normalized, matched,
// stored and correlated as any others are. Store and Findings must be of a
// database that nobody else uses; what is written there stays.
type RuleTests struct {
	Store     Store
	Findings  FindingStore
	Rules     *detect.Set
	Catalogue *schemas.Catalogue
	// At is the moment 0s of the tests. Their logs lie up to a year before it.
	At time.Time
}

// RuleTestResult is how one test came out.
type RuleTestResult struct {
	Rule string `json:"rule"` // what findings carry as rule_id
	Test string `json:"test"`
	File string `json:"file"`
	Line int    `json:"line"`
	Want uint64 `json:"want"` // findings
	Got  uint64 `json:"got"`
}

// Passed reports whether the test found what it should.
func (r RuleTestResult) Passed() bool { return r.Want == r.Got }

// Run runs the tests of one rule, each on logs in another order than the file's.
func (t *RuleTests) Run(ctx context.Context, rule *detect.Correlation) ([]RuleTestResult, error) {
	c := &Correlator{cfg: CorrelatorConfig{Store: t.Findings}.withDefaults()}
	var results []RuleTestResult
	for i, test := range rule.Tests {
		// A tenant that the tests of no other rule share.
		got, err := t.run(ctx, c, rule, test, fmt.Sprintf("test-%d-%s", i, rule.ID))
		if err != nil {
			return results, fmt.Errorf("%s:%d: test %q: %w", rule.File, test.Line, test.Name, err)
		}
		results = append(results, RuleTestResult{rule.Code, test.Name, rule.File, test.Line, test.Expect, got})
	}
	return results, nil
}

func (t *RuleTests) run(ctx context.Context, c *Correlator, rule *detect.Correlation, test detect.Test, tenant string) (uint64, error) {
	events, matches, err := t.events(rule, test, tenant)
	if err != nil {
		return 0, err
	}
	if err := t.Store.InsertEvents(ctx, events); err != nil {
		return 0, err
	}
	if err := t.Store.InsertMatches(ctx, matches); err != nil {
		return 0, err
	}
	expecting := *rule
	expecting.Expecting(test.Declared(tenant))
	rule = &expecting
	touched := map[string]*touchedKey{}
	touches := schemas.Touches("", matches)
	for i := range touches {
		if rule.Reads(touches[i].Selector) {
			addTouch(touched, &touches[i])
		}
	}
	var last time.Time
	for i := range events {
		last = latest(last, events[i].Time)
		if rule.OfTenant() {
			addTouch(touched, &schemas.Touch{Tenant: tenant, Key: tenant, Bucket: events[i].Time.Truncate(time.Hour)})
		}
	}
	c.cfg.Now = func() time.Time { return last }
	found := uint64(0)
	for keys := range chunks(sortedKeys(touched)) {
		j := newJob(rule, tenant, keys)
		from, to := j.periods()
		findings, err := c.foundOf(ctx, &j, from, to, 1)
		if err != nil {
			return 0, err
		}
		found += uint64(len(findings))
	}
	return found, nil
}

// events are those of a test, and their matches.
func (t *RuleTests) events(rule *detect.Correlation, test detect.Test, tenant string) (events []schemas.Event, matches []schemas.Match, err error) {
	place := &anywhere{}
	normalizer := NewNormalizer(t.Catalogue, place)
	for _, l := range test.Logs(t.At) {
		place.Here = l.Place
		e, err := normalizer.Normalize(&schemas.Log{Tenant: tenant, Source: l.Source, IngestedAt: t.At, Raw: l.Raw})
		if err != nil {
			return nil, nil, err
		}
		e.IngestedAt = e.Time.Add(l.Late)
		events = append(events, e)
	}
	r := rand.New(rand.NewPCG(3, 4))
	r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for i := range events {
		matches = t.Rules.Match(matches, &events[i])
	}
	matches = slices.DeleteFunc(matches, func(m schemas.Match) bool { return !rule.Reads(m.Selector) })
	return events, matches, nil
}

// anywhere is the same place for all addresses.
type anywhere struct{ Here schemas.Place }

// Place returns it.
func (a *anywhere) Place(netip.Addr) schemas.Place { return a.Here }

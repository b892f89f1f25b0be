package processor

import (
	"cmp"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// How much of a backtest's findings is shown.
const (
	maxSamples      = 20
	maxSampleEvents = 5
)

// compareByPlace orders findings of one rule.
func compareByPlace(a, b schemas.Finding) int {
	return cmp.Or(a.Period.Compare(b.Period), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Key, b.Key))
}

// backtestResult sums up findings, which are in order.
func backtestResult(rule *detect.Correlation, findings []schemas.Finding) schemas.BacktestResult {
	r := schemas.BacktestResult{
		RuleID: rule.Code, Title: rule.Title, Level: rule.Level, Findings: uint64(len(findings)),
		Days: []schemas.BacktestDay{}, Identities: []schemas.BacktestIdentity{}, Samples: []schemas.BacktestFinding{},
	}
	days := map[string]uint64{}
	type place struct{ tenant, key string }
	identities := map[place]*schemas.BacktestIdentity{}
	for i := range findings {
		f := &findings[i]
		r.Events += f.Count
		days[f.Last.UTC().Format(time.DateOnly)]++
		p := place{f.Tenant, f.Key}
		if identities[p] == nil {
			identities[p] = &schemas.BacktestIdentity{Tenant: f.Tenant, Identity: f.Identity, Key: f.Key}
		}
		identities[p].Findings++
		identities[p].Events += f.Count
	}
	for day, n := range days {
		r.Days = append(r.Days, schemas.BacktestDay{Day: day, Findings: n})
	}
	slices.SortFunc(r.Days, func(a, b schemas.BacktestDay) int { return cmp.Compare(a.Day, b.Day) })
	for _, i := range identities {
		r.Identities = append(r.Identities, *i)
	}
	slices.SortFunc(r.Identities, func(a, b schemas.BacktestIdentity) int {
		return cmp.Or(cmp.Compare(b.Findings, a.Findings), cmp.Compare(b.Events, a.Events), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Key, b.Key))
	})
	r.Identities = r.Identities[:min(len(r.Identities), schemas.MaxBacktestIdentities)]
	for i := range min(len(findings), maxSamples) { // spread over all of them
		r.Samples = append(r.Samples, backtestFinding(&findings[i*len(findings)/min(len(findings), maxSamples)]))
	}
	return r
}

func backtestFinding(f *schemas.Finding) schemas.BacktestFinding {
	return schemas.BacktestFinding{
		Tenant: f.Tenant, Key: f.Key, Identity: f.Identity, Period: f.Period, Level: f.Level, First: f.First, Last: f.Last, Count: f.Count,
		Summary: f.Evidence.Summary, LogIDs: f.Evidence.LogIDs[:min(len(f.Evidence.LogIDs), maxSampleEvents)],
	}
}

// diffFindings compares what two versions of a rule find. Findings are the same
// where they are of one key and of one period, or, where the versions have
// periods of other lengths, begin with the same event.
func diffFindings(findings, others []schemas.Finding) schemas.BacktestDiff {
	type place struct {
		tenant, key string
		at          int64
	}
	at := func(f *schemas.Finding) place { return place{f.Tenant, f.Key, f.Period.UnixMilli()} }
	begins := func(f *schemas.Finding) place { return place{f.Tenant, f.Key, f.First.UnixMilli()} }
	byPlace, byBegin := map[place]int{}, map[place]int{}
	for i := range others {
		byPlace[at(&others[i])], byBegin[begins(&others[i])] = i, i
	}
	d := schemas.BacktestDiff{AddedBy: []schemas.BacktestFinding{}, GoneBy: []schemas.BacktestFinding{}}
	taken := make([]bool, len(others))
	for i := range findings {
		f := &findings[i]
		o, ok := byPlace[at(f)]
		if !ok || taken[o] {
			o, ok = byBegin[begins(f)]
		}
		if !ok || taken[o] {
			d.Added++
			if len(d.AddedBy) < maxSamples {
				d.AddedBy = append(d.AddedBy, backtestFinding(f))
			}
			continue
		}
		taken[o] = true
		if other := &others[o]; f.Count == other.Count && f.Level == other.Level && f.First.Equal(other.First) && f.Last.Equal(other.Last) {
			d.Same++
		} else {
			d.Changed++
		}
	}
	for i := range others {
		if taken[i] {
			continue
		}
		d.Gone++
		if len(d.GoneBy) < maxSamples {
			d.GoneBy = append(d.GoneBy, backtestFinding(&others[i]))
		}
	}
	return d
}

package exact_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// ledger keeps what findings there have to be, and how they came about. It
// looks at everything anew each time that the correlators have come to rest.
type ledger struct {
	correlations []detect.Correlation
	selectors    map[string]string // by the rule's name
	findings     map[*history]map[string]schemas.Finding
	history      map[string][]schemas.FindingChange // by finding
	alerts       map[string]string                  // the key that each is about, by tenant and id
}

func newLedger(rules *detect.Set) *ledger {
	l := &ledger{
		correlations: rules.Correlations(), selectors: map[string]string{},
		findings: map[*history]map[string]schemas.Finding{}, history: map[string][]schemas.FindingChange{}, alerts: map[string]string{},
	}
	for _, r := range rules.Rules() {
		l.selectors[r.Name] = r.Selector
	}
	return l
}

// selected is the rule of rules.yml that selects an event, "" where none does.
func selected(e *schemas.Event) (rule, key, value string) {
	switch {
	case e.Type == "seccft":
		return "issued", e.ClientID, e.Network
	case e.Type == "feccft" && e.Description != "Client quota exceeded":
		return "refused", e.ClientID, e.Network
	case e.Type == "s":
		return "logged_in", e.UserID, e.Audience
	case e.Type == "fp":
		return "login_failed", e.UserID, e.Audience
	}
	return "", "", ""
}

// withSelectors names in each event the selectors that select it.
func (l *ledger) withSelectors(events []schemas.Event) []schemas.Event {
	for i := range events {
		if rule, _, _ := selected(&events[i]); rule != "" {
			events[i].Selectors = []string{l.selectors[rule]}
		}
	}
	return events
}

// happening is one event of a key.
type happening struct {
	*schemas.Event
	value string
	ok    bool
}

// settle makes the ledger say what a history's findings are now.
func (l *ledger) settle(h *history, at time.Time) {
	if l.findings[h] == nil {
		l.findings[h] = map[string]schemas.Finding{}
	}
	stored := l.findings[h]
	events := h.survivors(time.Time{})
	slices.Reverse(events) // oldest first
	for i := range l.correlations {
		c := &l.correlations[i]
		live := firstLive(c, at)
		found := map[string]schemas.Finding{}
		for key, all := range happenings(c, events) {
			for _, f := range findingsOf(c, h.tenant, key, all) {
				if !f.Period.Before(live) {
					found[f.ID] = f
				}
			}
		}
		before := maps.Clone(stored)
		for id, now := range found {
			l.hold(stored, id, now, at)
		}
		for id, was := range stored {
			if _, holds := found[id]; !holds && was.RuleID == c.Code && was.State == schemas.StateOpen && !was.Period.Before(live) {
				now := was
				now.State, now.Paging, now.PagingReason, now.PagedAt = schemas.StateWithdrawn, "", "", time.Time{}
				l.change(stored, was, now, schemas.ReasonLateEvents, at)
				if !was.PagedAt.IsZero() {
					l.alert(stored[id])
				}
			}
		}
		l.page(c, before, stored, at)
	}
}

// firstLive is the first period whose ground cannot have expired in part.
func firstLive(c *detect.Correlation, now time.Time) time.Time {
	edge := now.Add(-kept)
	if whole := edge.Truncate(day); whole.Before(edge) {
		edge = whole.Add(day)
	} else {
		edge = whole
	}
	least := edge.Add(2*c.KnownLookback + c.BaselineLookback + day)
	period := least.Truncate(c.Dedupe) // Truncate counts from the year 1, a whole number of these periods before 1970
	if period.Before(least) {
		period = period.Add(c.Dedupe)
	}
	return period
}

// hold records that a finding holds.
func (l *ledger) hold(stored map[string]schemas.Finding, id string, now schemas.Finding, at time.Time) {
	was, known := stored[id]
	now.Changes = was.Changes
	reason := schemas.ReasonLateEvents
	if !known || now.Last.After(was.Last) {
		reason = schemas.ReasonEvents
	}
	if !known || was.State != schemas.StateOpen {
		now.FoundAt = at
		l.change(stored, was, now, reason, at)
		return
	}
	now.Paging, now.PagingReason, now.PagedAt, now.FoundAt = was.Paging, was.PagingReason, was.PagedAt, was.FoundAt
	if was.Source != schemas.SourceImport {
		now.Source = was.Source
	}
	stored[id] = now
}

func (l *ledger) change(stored map[string]schemas.Finding, was, now schemas.Finding, reason schemas.Reason, at time.Time) {
	now.Changes = was.Changes + 1
	change := schemas.FindingChange{N: now.Changes, State: now.State, Reason: reason, At: at, FindingID: now.ID, Tenant: now.Tenant, Period: now.Period}
	if was.Changes > 0 {
		change.Before = was.Extent()
	}
	if now.State == schemas.StateOpen {
		change.After = now.Extent()
	}
	l.history[now.ID] = append(l.history[now.ID], change)
	stored[now.ID] = now
}

// page says which findings of a correlation people are told of, of those that hold
// and that they do not know of yet. One that has a neighbour of the same attack that
// they know of is no news.
func (l *ledger) page(c *detect.Correlation, before, stored map[string]schemas.Finding, at time.Time) {
	var list []string
	for id, f := range stored {
		if f.RuleID == c.Code && f.State == schemas.StateOpen {
			list = append(list, id)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		return cmp.Or(strings.Compare(stored[a].Key, stored[b].Key), stored[a].Period.Compare(stored[b].Period))
	})
	for start, i := 0, 1; i <= len(list); i++ {
		if i < len(list) {
			former, next := stored[list[i-1]], stored[list[i]]
			beside := former.Key == next.Key && next.Period.Equal(former.Period.Add(c.Dedupe))
			if beside && next.First.Before(former.Last.Add(time.Hour)) {
				continue
			}
		}
		l.pageGroup(list[start:i], before, stored, at)
		start = i
	}
}

func (l *ledger) pageGroup(group []string, before, stored map[string]schemas.Finding, at time.Time) {
	known := slices.ContainsFunc(group, func(id string) bool { return !stored[id].PagedAt.IsZero() })
	grows := false
	for _, id := range group {
		was, now := before[id], stored[id]
		isNew := was.State != schemas.StateOpen
		grew := now.Count > was.Count || now.Last.After(was.Last) || now.Source != was.Source
		grows = grows || isNew || grew
		if !now.PagedAt.IsZero() || !isNew && !grew && (known || now.Paging != schemas.PagingContinued) {
			continue
		}
		switch {
		case now.Source == schemas.SourceImport:
			now.Paging, now.PagingReason = schemas.PagingImported, "it rests on imported history alone"
		case now.Level == schemas.LevelLow:
			now.Paging, now.PagingReason = schemas.PagingDigest, "level low pages nobody"
		case known:
			now.Paging, now.PagingReason = schemas.PagingContinued, "it goes on from the period beside it, of which people were told"
		default:
			now.Paging, now.PagingReason, now.PagedAt, known = schemas.PagingPage, "", at, true
			if !isNew {
				l.change(stored, was, now, schemas.ReasonPaging, at)
				now = stored[id]
			}
			l.alert(now)
		}
		stored[id] = now
		if last := len(l.history[id]) - 1; isNew || now.Paging == schemas.PagingPage {
			l.history[id][last].Paging, l.history[id][last].PagingReason = now.Paging, now.PagingReason
		}
	}
	l.again(group, grows, stored, at)
}

// again tells people anew of what grows, four hours after they were told last.
func (l *ledger) again(group []string, grows bool, stored map[string]schemas.Finding, at time.Time) {
	i := slices.IndexFunc(group, func(id string) bool { return !stored[id].PagedAt.IsZero() })
	if !grows || i < 0 || at.Sub(stored[group[i]].PagedAt) < 4*time.Hour {
		return
	}
	was := stored[group[i]]
	now := was
	ago := at.Sub(was.PagedAt).Round(time.Minute)
	text := fmt.Sprintf("%d h %d m", ago/time.Hour, ago%time.Hour/time.Minute)
	if ago >= day {
		text = fmt.Sprintf("%d d %d h", ago/day, ago%day/time.Hour)
	}
	now.PagedAt, now.PagingReason = at, "it still grows, "+text+" after the last page"
	l.change(stored, was, now, schemas.ReasonPaging, at)
	history := l.history[now.ID]
	history[len(history)-1].Paging, history[len(history)-1].PagingReason = now.Paging, now.PagingReason
	l.alert(stored[now.ID])
}

func (l *ledger) alert(f schemas.Finding) {
	l.alerts[fmt.Sprintf("%s %s/%s/%d", f.Tenant, f.ID, f.State, f.Changes)] = f.Key
}

// unsettled are the keys of a history of which it depends on more than was sent
// how often a finding has changed on the way. What it is in the end does not.
// They are those that a copy was selected for which lost to one that was not,
// since the correlator hears of that with the recount, when the hour is due; and
// those that a copy came for while a correlator had done a part of its work.
func (h *history) unsettled() map[string]bool {
	won := map[string]schemas.Event{}
	for _, e := range h.survivors(time.Time{}) {
		won[e.LogID] = e
	}
	keys := map[string]bool{}
	for i := range h.sent {
		a := &h.sent[i]
		winner := won[a.event.LogID]
		rule, key, _ := selected(&a.event)
		if winnersRule, winnersKey, _ := selected(&winner); a.taken() && (a.midway || rule != winnersRule || key != winnersKey) {
			keys[key] = true
		}
	}
	return keys
}

// of are the findings of a tenant that are told at this time, by id.
func (l *ledger) of(tenant string, edge time.Time) []schemas.Finding {
	list := []schemas.Finding{}
	for h, findings := range l.findings {
		for _, f := range findings {
			if h.tenant == tenant && !f.Period.Before(edge) {
				list = append(list, f)
			}
		}
	}
	slices.SortFunc(list, func(a, b schemas.Finding) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// happenings are the events that a correlation looks at, by key, oldest first.
func happenings(c *detect.Correlation, events []schemas.Event) map[string][]happening {
	byKey := map[string][]happening{}
	for i := range events {
		rule, key, value := selected(&events[i])
		if key != "" && (rule == c.Main.Name || rule == c.Known.Name) {
			byKey[key] = append(byKey[key], happening{&events[i], value, rule == c.Known.Name})
		}
	}
	return byKey
}

// isKnown: a success with the same value lies before, not too long ago.
func isKnown(c *detect.Correlation, before []happening, f happening) bool {
	return slices.ContainsFunc(before, func(s happening) bool {
		return s.ok && s.value == f.value && f.Time.Sub(s.Time) <= c.KnownLookback
	})
}

// streak is a run of known failures without a success in between.
type streak struct {
	failures    []happening
	lastSuccess time.Time
	counts      bool
}

// findingsOf evaluates a correlation for a key by the words of detect's Query.
func findingsOf(c *detect.Correlation, tenant, key string, all []happening) []schemas.Finding {
	var streaks []streak
	var current *streak
	for i, h := range all {
		switch {
		case h.ok:
			current = nil
		case isKnown(c, all[:i], h):
			if current == nil {
				streaks = append(streaks, begin(c, all[:i], h))
				current = &streaks[len(streaks)-1]
			}
			current.failures = append(current.failures, h)
		}
	}
	periods := map[time.Time]bool{}
	for _, s := range streaks {
		for i := range s.failures {
			if s.triggers(c, i) {
				periods[s.failures[i].Time.Truncate(c.Dedupe)] = true
			}
		}
	}
	var findings []schemas.Finding
	for p := range periods {
		findings = append(findings, findingOf(c, tenant, key, streaks, p))
	}
	return findings
}

// begin is the streak that begins with f, with what its client did before.
func begin(c *detect.Correlation, before []happening, f happening) streak {
	s := streak{}
	worked, failed := uint64(0), uint64(0)
	for i, h := range before {
		if h.ok {
			s.lastSuccess = h.Time
		}
		switch {
		case f.Time.Sub(h.Time) > c.BaselineLookback:
		case h.ok:
			worked++
		case isKnown(c, before[:i], h):
			failed++
		}
	}
	s.counts = worked >= c.BaselineMin && float64(failed)/float64(failed+worked) < c.BaselineRatio
	return s
}

func (s *streak) triggers(c *detect.Correlation, i int) bool {
	n := int(c.Threshold) - 1
	return s.counts && i >= n && s.failures[i].Time.Sub(s.failures[i-n].Time) <= c.Timespan
}

// findingOf is the finding of a period in which something triggers.
func findingOf(c *detect.Correlation, tenant, key string, streaks []streak, period time.Time) schemas.Finding {
	f := schemas.Finding{
		ID: schemas.FindingID(c.Code, tenant, key, period), RuleID: c.Code, Title: c.Title, Tenant: tenant, Key: key,
		Identity: c.Identity + ":" + key, Level: c.Level, State: schemas.StateOpen, Period: period, Source: schemas.SourceImport,
	}
	var with []streak
	var last happening
	for _, s := range streaks {
		triggered := false
		for i, h := range s.failures {
			if s.triggers(c, i) && h.Time.Truncate(c.Dedupe).Equal(period) {
				last, triggered = h, true
			}
		}
		if triggered {
			with = append(with, s)
		}
	}
	var events []happening
	for _, s := range with {
		for _, h := range s.failures {
			if cmp.Or(h.Time.Compare(last.Time), strings.Compare(h.LogID, last.LogID)) <= 0 {
				events = append(events, h)
			}
		}
	}
	f.First, f.Last, f.Count = events[0].Time, last.Time, uint64(len(events))
	f.Evidence.Causes = map[string]uint64{}
	f.Evidence.LastSuccess = &with[0].lastSuccess
	for i, h := range events {
		f.Evidence.Networks = append(f.Evidence.Networks, h.value)
		if h.Source != schemas.SourceImport {
			f.Source = schemas.SourceStream
		}
		if i < 20 {
			f.Evidence.LogIDs = append(f.Evidence.LogIDs, h.LogID)
			f.Evidence.Causes[cmp.Or(h.Description, "no description")]++
		}
	}
	slices.Sort(f.Evidence.Networks)
	f.Evidence.Networks = slices.Compact(f.Evidence.Networks)
	return f
}

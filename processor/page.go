package processor

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// pager decides for each change of a finding whether people are told of it now,
// and says why. There is no other place that does.
type pager struct {
	rule *detect.Correlation
	now  time.Time
	ver  uint64
	// warming says that history is not matched yet for what the rule selects.
	warming bool

	around circumstances
}

// verdict is a decision with its reason in words.
type verdict struct {
	paging schemas.Paging
	why    string
}

// occasion is what a decision is made from.
type occasion struct {
	around  circumstances
	finding *schemas.Finding
	told    bool // people know of the attack by another finding of its group
	warming bool // what the rule looks back at is not all there yet
}

// reasons are what may hold a page back, the one that counts first: each tells its
// verdict, or false where it has none.
var reasons = []func(*occasion) (verdict, bool){imported, warming, circumstanced, tooLow, continued}

func judge(o *occasion) verdict {
	for _, reason := range reasons {
		if v, ok := reason(o); ok {
			return v
		}
	}
	return verdict{schemas.PagingPage, ""}
}

func imported(o *occasion) (verdict, bool) {
	return verdict{schemas.PagingImported, "it rests on imported history alone"}, o.finding.Source == schemas.SourceImport
}

func warming(o *occasion) (verdict, bool) {
	return verdict{schemas.PagingWarming, "its rule is new, and what came before it is being matched"}, o.warming
}

func tooLow(o *occasion) (verdict, bool) {
	return verdict{schemas.PagingDigest, "level " + string(o.finding.Level) + " pages nobody"}, !o.finding.Level.AtLeast(schemas.LevelMedium)
}

func continued(o *occasion) (verdict, bool) {
	return verdict{schemas.PagingContinued, "it goes on from the period beside it, of which people were told"}, o.told
}

// groupReach is how many periods before and behind those that are computed anew a
// group of findings is looked for. One that is longer pages anew.
const groupReach = 30

// groupPeriods is the range of periods whose findings may be of one group with those
// of [from, to).
func groupPeriods(rule *detect.Correlation, from, to time.Time) (first, last time.Time) {
	return from.Add(-groupReach * rule.Dedupe), to.Add(groupReach * rule.Dedupe)
}

// decide says of changes whether they are told. Among them are those findings of
// kind "" that do not change but may be of a group with some that do: what people
// are told of them may. What is left of that kind in the end is not returned.
func (p *pager) decide(changes []change) []change {
	slices.SortFunc(changes, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.finding.Key, b.finding.Key), a.finding.Period.Compare(b.finding.Period))
	})
	for group := range p.groups(changes) {
		p.decideGroup(group)
	}
	return slices.DeleteFunc(changes, func(ch change) bool { return ch.kind == "" })
}

// groups cuts sorted changes into those of one attack each: findings that hold, in
// consecutive periods, without a pause in which the former would have been over.
func (p *pager) groups(changes []change) iter.Seq[[]change] {
	return func(yield func([]change) bool) {
		start := 0
		for i := 1; i <= len(changes); i++ {
			if i < len(changes) && p.goesOn(&changes[i-1].finding, &changes[i].finding) {
				continue
			}
			if start < i && !yield(changes[start:i]) {
				return
			}
			start = i
		}
	}
}

func (p *pager) goesOn(former, next *schemas.Finding) bool {
	return former.Key == next.Key && former.State == schemas.StateOpen && next.State == schemas.StateOpen &&
		next.Period.Sub(former.Period) == p.rule.Dedupe && next.First.Sub(former.Last) < overAfter(p.rule)
}

// overAfter is how long nothing of a finding must have happened for it to be over.
func overAfter(rule *detect.Correlation) time.Duration {
	return max(2*rule.Timespan, time.Hour)
}

func (p *pager) decideGroup(group []change) {
	told := slices.ContainsFunc(group, func(ch change) bool {
		return ch.finding.State == schemas.StateOpen && ch.was.Told()
	})
	for i := range group {
		ch := &group[i]
		switch {
		case ch.kind == changeWithdrawn:
			ch.alert = ch.was.Told()
			ch.finding.PagedAt = time.Time{}
			ch.finding.Paging, ch.finding.PagingReason = "", ""
		case ch.asks(told):
			p.tell(ch, judge(&occasion{around: p.around, finding: &ch.finding, told: told, warming: p.warming}))
			told = told || ch.alert
		}
	}
}

// asks reports whether there is something to decide: of what is new, of what grew
// and people do not know of, of what waited for history, and of what went on from
// another finding that they are told of no more.
func (ch *change) asks(told bool) bool {
	if ch.finding.State != schemas.StateOpen {
		return false
	}
	if ch.kind == changeOpened {
		return true
	}
	return !ch.was.Told() && (ch.grew() || ch.was.Paging == schemas.PagingWarming || ch.was.Paging == schemas.PagingContinued && !told)
}

func (ch *change) grew() bool {
	return ch.finding.Count > ch.was.Count || ch.finding.Last.After(ch.was.Last) || ch.finding.Source != ch.was.Source
}

// tell writes a verdict into a change. A page that comes without a change of state
// is a change of its own, with a number for its alert.
func (p *pager) tell(ch *change, v verdict) {
	f := &ch.finding
	if ch.kind == "" && f.Paging == v.paging {
		return
	}
	f.Paging, f.PagingReason, f.Ver = v.paging, v.why, p.ver
	if ch.kind == "" {
		ch.kind = changeUpdated
	}
	if v.paging != schemas.PagingPage {
		return
	}
	ch.alert, f.PagedAt = true, p.now
	if ch.kind == changeUpdated {
		ch.kind = changePaged
		f.Changes++
	}
}

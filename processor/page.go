package processor

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// pager decides for each change of a finding whether people are told of it now,
// and says why. There is no other place that does.
type pager struct {
	tenant   string
	rule     *detect.Correlation // nil where it is gone
	dedupe   time.Duration       // length of a period, 0 where the rule is gone
	over     time.Duration       // without anything happening, and a finding is
	renotify time.Duration       // at least, between two pages of one that grows
	now      time.Time
	ver      uint64
	tick     bool // time alone is the occasion

	// quiet are the acts of time: of findings that somebody looked after, and that are over.
	quiet []schemas.FindingAct

	// warming says that history is not matched yet for what the rule selects.
	warming  bool
	around   circumstances
	silences []schemas.Silence
	owners   map[string]string // of identities, where a silence asks for one
	late     map[string]bool   // of whom people were told when a gap was closed: see victim
}

// unknownOver and renotifyAfter are for rules that do not say, and that are gone.
const (
	unknownOver   = 24 * time.Hour
	renotifyAfter = 4 * time.Hour
)

// newPager makes one for the findings of a rule, which may be nil.
func newPager(tenant string, rule *detect.Correlation, now time.Time, ver uint64) *pager {
	p := &pager{tenant: tenant, rule: rule, over: unknownOver, renotify: renotifyAfter, now: now, ver: ver, late: map[string]bool{}}
	if rule != nil {
		p.dedupe, p.over = rule.Dedupe, overAfter(rule)
		p.renotify = cmp.Or(rule.Renotify, renotifyAfter)
	}
	return p
}

// overAfter is how long nothing of a finding must have happened for it to be over.
func overAfter(rule *detect.Correlation) time.Duration {
	return cmp.Or(rule.ResolveAfter, max(2*rule.Timespan, time.Hour))
}

// verdict is a decision with its reason in words.
type verdict struct {
	paging schemas.Paging
	why    string
}

// occasion is what a decision is made from.
type occasion struct {
	around   circumstances
	silences []schemas.Silence
	owner    string // of the finding's identity, where a silence asks for one
	late     map[string]bool
	now      time.Time
	finding  *schemas.Finding
	past     bool // it was over before anybody looked for it
	told     bool // people know of the attack by another finding of its group
	warming  bool // what the rule looks back at is not all there yet
}

func (p *pager) occasion(f *schemas.Finding, told bool) *occasion {
	return &occasion{around: p.around, silences: p.silences, owner: p.owners[f.Identity], late: p.late, now: p.now, finding: f, told: told, warming: p.warming, past: p.past(f)}
}

// past reports whether a finding of a rule that reads no matches, so that no history
// is matched for it, was long over when it was found: the rule is new, or nobody was
// there to look.
func (p *pager) past(f *schemas.Finding) bool {
	return p.rule != nil && p.rule.OfTenant() && !p.rule.GoesOn(f.Evidence.Facts) && f.FoundAt.Sub(f.Last) > longPast
}

// longPast is after how long nobody is woken by a silence that is over.
const longPast = 24 * time.Hour

// reasons are what may hold a page back, the one that counts first: each tells its
// verdict, or false where it has none.
var reasons = []func(*occasion) (verdict, bool){imported, silenced, warming, circumstanced, tooLow, past, continued, foundLate}

func judge(o *occasion) verdict {
	for _, reason := range reasons {
		if v, ok := reason(o); ok {
			return v
		}
	}
	if o.finding.Source == schemas.SourceRepair {
		return verdict{schemas.PagingPage, "found late by " + o.finding.Evidence.FoundLate}
	}
	return verdict{schemas.PagingPage, ""}
}

func imported(o *occasion) (verdict, bool) {
	return verdict{schemas.PagingImported, "it rests on imported history alone"}, o.finding.Source == schemas.SourceImport
}

func warming(o *occasion) (verdict, bool) {
	return verdict{schemas.PagingWarming, "its rule is new, and what came before it is being matched"}, o.warming
}

func silenced(o *occasion) (verdict, bool) {
	for i := range o.silences {
		if s := &o.silences[i]; s.Holds(o.now) && s.Matches(o.finding, o.owner) {
			return verdict{schemas.PagingSilenced, fmt.Sprintf("silence %s of %s until %s: %s", s.ID, s.By, s.EndsAt.Format(time.RFC3339), s.Reason)}, true
		}
	}
	return verdict{}, false
}

func tooLow(o *occasion) (verdict, bool) {
	return verdict{schemas.PagingDigest, "level " + string(o.finding.Level) + " pages nobody"}, !o.finding.Level.AtLeast(schemas.LevelMedium)
}

func past(o *occasion) (verdict, bool) {
	return verdict{schemas.PagingDigest, "it was over a day and more ago when it was found"}, o.past
}

func continued(o *occasion) (verdict, bool) {
	return verdict{schemas.PagingContinued, "it goes on from the period beside it, of which people were told"}, o.told
}

// foundLate lets what the repair of a gap found page once an identity, and only where
// it is urgent still.
func foundLate(o *occasion) (verdict, bool) {
	switch f := o.finding; {
	case f.Source != schemas.SourceRepair:
		return verdict{}, false
	case !f.Level.AtLeast(schemas.LevelHigh):
		return verdict{schemas.PagingDigest, "found late by " + f.Evidence.FoundLate + ", and its level is " + string(f.Level)}, true
	default:
		return verdict{schemas.PagingLateHeld, "found late by " + f.Evidence.FoundLate + ", as another finding of " + victim(f) + " of which people were told"}, o.late[victim(f)]
	}
}

// victim is whom a finding is about. Where that is nobody known it is what the rule
// groups by: two networks are two attackers.
func victim(f *schemas.Finding) string { return cmp.Or(f.Identity, f.Key) }

// spanText is a time in the words of a sentence: 2 h 10 m.
func spanText(d time.Duration) string {
	d = max(d, 0).Round(time.Minute)
	days, hours, minutes := d/(24*time.Hour), d%(24*time.Hour)/time.Hour, d%time.Hour/time.Minute
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d m", hours, minutes)
	}
	return fmt.Sprintf("%d m", minutes)
}

// groupReach is how many periods before and behind those that are computed anew a
// group of findings is looked for. One that is longer pages anew.
const groupReach = 30

// groupPeriods is the range of periods whose findings may be of one group with those
// of [from, to).
func (p *pager) groupPeriods(from, to time.Time) (first, last time.Time) {
	return from.Add(-groupReach * p.dedupe), to.Add(groupReach * p.dedupe)
}

func sortChanges(changes []change) {
	slices.SortFunc(changes, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.finding.Key, b.finding.Key), a.finding.Period.Compare(b.finding.Period))
	})
}

// decide says of changes whether they are told. Among them are those findings of
// kind "" that do not change but may be of a group with some that do: what people
// are told of them may. What is left of that kind in the end is not returned.
func (p *pager) decide(changes []change) []change {
	sortChanges(changes)
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
	return former.Key == next.Key && former.State.Stands() && next.State.Stands() &&
		next.Period.Sub(former.Period) == p.dedupe && next.First.Sub(former.Last) < p.over
}

func (p *pager) decideGroup(group []change) {
	told := slices.IndexFunc(group, func(ch change) bool { return ch.finding.State.Stands() && ch.was.Told() })
	level, grows := toldLevel(group), false
	for i := range group {
		ch := &group[i]
		rises := ch.rises(level)
		switch {
		case !ch.finding.State.Stands():
			ch.alert = ch.was.State.Stands() && ch.was.Told()
			ch.finding.PagedAt = time.Time{}
			if ch.kind == changeWithdrawn || ch.kind == changeResolved {
				ch.finding.Paging, ch.finding.PagingReason = "", ""
			}
		case rises && ch.was.Told():
			p.tellMore(ch, levelRose(level, ch.finding.Level))
		case ch.asks(told >= 0):
			v := judge(p.occasion(&ch.finding, told >= 0 && !rises))
			if rises && v == (verdict{paging: schemas.PagingPage}) {
				v.why = levelRose(level, ch.finding.Level)
			}
			p.tell(ch, v)
			if ch.alert && told < 0 {
				told = i
			}
		}
		if ch.alert && ch.finding.State.Stands() && ch.finding.Level.AtLeast(level) {
			level = ch.finding.Level
		}
		grows = grows || ch.kind != "" && ch.grew()
	}
	if grows && told >= 0 {
		p.tellAgain(&group[told])
	}
}

// tellAgain pages anew for an attack that grows, where the last page was long ago and
// nobody has said that they look after it.
func (p *pager) tellAgain(ch *change) {
	f := &ch.finding
	if ch.alert || f.State != schemas.StateOpen || f.PagedAt.IsZero() || p.now.Sub(f.PagedAt) < p.renotify {
		return
	}
	p.tellMore(ch, "it still grows, "+spanText(p.now.Sub(f.PagedAt))+" after the last page")
}

// tellMore pages anew for what people know of, unless something holds that back: then
// what they were told stands.
func (p *pager) tellMore(ch *change, why string) {
	if v := judge(p.occasion(&ch.finding, false)); v.paging == schemas.PagingPage {
		p.tell(ch, verdict{schemas.PagingPage, why})
	}
}

// toldLevel is the most urgent level at which people were told of an attack, "" where
// they were not.
func toldLevel(group []change) schemas.Level {
	level := schemas.Level("")
	for i := range group {
		if was := &group[i].was; group[i].finding.State.Stands() && was.Told() && was.Level.AtLeast(level) {
			level = was.Level
		}
	}
	return level
}

// rises reports whether a finding that changes is more urgent now than what people
// know of its attack: others may have to hear of it, who are not told of less. Of one
// that somebody looks after they do not.
func (ch *change) rises(told schemas.Level) bool {
	f := &ch.finding
	return told != "" && ch.kind != "" && f.State == schemas.StateOpen && f.Level != told && f.Level.AtLeast(told)
}

func levelRose(from, to schemas.Level) string {
	return "its level rose from " + string(from) + " to " + string(to)
}

// asks reports whether there is something to decide: of what is new or open again, of
// what grew and people do not know of, of what waited for history, and of what went on
// from another finding that they are told of no more.
func (ch *change) asks(told bool) bool {
	if ch.finding.State != schemas.StateOpen {
		return false
	}
	if ch.kind == changeOpened || ch.kind == changeReopened {
		return true
	}
	return !ch.was.Told() && (ch.grew() || ch.held() || ch.was.Paging == schemas.PagingContinued && !told && !ch.acted)
}

func (ch *change) grew() bool {
	return ch.finding.Count > ch.was.Count || ch.finding.Last.After(ch.was.Last) || ch.finding.Source != ch.was.Source
}

// tell writes a verdict into a change. A page that comes without a change of state
// is a change of its own, with a number for its alert.
func (p *pager) tell(ch *change, v verdict) {
	f := &ch.finding
	if ch.kind == "" && f.Paging == v.paging && v.paging != schemas.PagingPage {
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
	if f.Source == schemas.SourceRepair {
		p.late[victim(f)] = true
	}
	if ch.kind == changeUpdated {
		ch.kind = changePaged
		f.Changes++
	}
}

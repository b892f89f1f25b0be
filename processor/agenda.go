package processor

import (
	"cmp"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// agenda is what the holder of the lease has read of touches and not judged yet, by
// rule and tenant. A rule whose looks take long has its turn less often than others,
// and then looks once at all that was touched meanwhile: so none of them keeps an
// alert of another waiting, and what a busy machine does each second is not judged
// each second.
//
// A flush is done when all that it touched is judged. Nothing here is stored: whoever
// takes over reads the touches of flushes that are not marked done again.
type agenda struct {
	epoch   uint64
	entries map[duty]*entry
	left    map[string]int     // by flush that was read, the bundles that it is part of
	done    []string           // flushes of which all is judged and that are not marked
	pending int                // keys that are not judged
	ticking int                // entries of the tick that is under way
	ticked  map[duty]time.Time // up to where ticks have looked
	noted   map[duty]time.Time // what is stored of that
	partly  map[duty]bool      // of which keys were left out, so that nothing is stored
	swept   map[duty]time.Time // when a tick last looked at all
	busy    []*entry           // that are looked at
	storms  []string           // codes of the rules that find some
	rested  map[duty]time.Time // when a storm may be looked for again
	// patience is how long what would be attached to a storm waits for a look for it
	// that is under way. On many millions of events that may take minutes, and whoever
	// fails is not to be told of only then: a channel gets ten pages at most meanwhile.
	patience time.Duration
	now      time.Time // of the turn
	// owed is for how long patient looks may go on where there are prompt ones: a share
	// of the time. Less than nothing is what they took too much.
	owed     time.Duration
	paid     time.Time      // up to when they had their share
	prompted time.Time      // when something prompt was last there
	usual    time.Duration  // what looks for few keys take: more where the machine does much else
	pace     map[duty]*pace // of no tenant: what is old is more than what comes in
}

// duty is what is judged together.
type duty struct {
	class  class
	rule   string // code
	tenant string
}

// class says why keys are judged. Ranges of hours of different classes differ.
type class int

const (
	classLive class = iota
	classTick
	classDeclared
	classHistory
)

type entry struct {
	duty
	waiting *bundle // what was read since the one that is served was begun; nil is nothing
	serving *bundle
	patient bool // its look, where there is one, is not prompt
}

// bundle is what was read between two turns of an entry.
type bundle struct {
	since   time.Time
	latest  time.Time // when something was last added
	keys    map[string]*touchedKey
	news    bool // some may be more than people know
	flushes map[string]bool
	tick    *search       // for keys that is not over
	rest    []*touchedKey // when it is served, those whose turn has not come
}

const (
	// promptWork is how much work an entry may be that goes before all others, or twice
	// the usual where that is more.
	promptWork = 500 * time.Millisecond
	// patientShare is the share of the time in which a patient look is under way where
	// there are prompt ones. One takes about as long for a few keys as for those of ten
	// seconds: begun as soon as there are any, they would never end.
	patientShare = 0.5
	// overdue is how long what is neither prompt nor telling gives way to what is.
	overdue = 10 * time.Minute
	// promptLasts is for how long it is expected that more comes that is prompt.
	promptLasts = 2 * time.Second
	// maxDebt is what patient looks may have taken too much, so that one that took
	// minutes does not hold up those that follow for as long.
	maxDebt = 2 * time.Second
	// tellingHurries is how much less patience what people may be told of at once has,
	// and historyWaits how much more what is old has.
	tellingHurries = 4
	historyWaits   = 10
)

func newAgenda(epoch uint64, rules []detect.Correlation, patience time.Duration) *agenda {
	var storms []string
	for i := range rules {
		if rules[i].Storm() {
			storms = append(storms, rules[i].Code)
		}
	}
	return &agenda{epoch: epoch, storms: storms, rested: map[duty]time.Time{}, patience: patience, usual: aLook, owed: lookWork, ticked: map[duty]time.Time{}, noted: map[duty]time.Time{}, partly: map[duty]bool{}, swept: map[duty]time.Time{}, entries: map[duty]*entry{}, left: map[string]int{}, pace: map[duty]*pace{}}
}

func (a *agenda) empty() bool { return len(a.entries) == 0 }

// isFull reports whether nothing more is to be read ahead. Flushes of which nobody has
// anything to judge are among those that were read until they are marked.
func (a *agenda) isFull() bool {
	return a.pending >= maxPending || len(a.left)+len(a.done) >= maxAhead
}

// known are the flushes that were read and are not marked done.
func (a *agenda) known() []string {
	known := slices.Clone(a.done)
	for flush := range a.left {
		known = append(known, flush)
	}
	return known
}

// begin takes flushes in, of which nothing is to be judged until it is added.
func (a *agenda) begin(flushes []string) {
	for _, flush := range flushes {
		a.left[flush] = 0
	}
}

// end says that all was added that these flushes have touched.
func (a *agenda) end(flushes []string) {
	for _, flush := range flushes {
		a.judged(flush, 0)
	}
}

func (a *agenda) judged(flush string, bundles int) {
	if a.left[flush] -= bundles; a.left[flush] == 0 {
		delete(a.left, flush)
		a.done = append(a.done, flush)
	}
}

// bundle is what waits for the next turn of a duty.
func (a *agenda) bundle(p duty, now time.Time) *bundle {
	e := a.entries[p]
	if e == nil {
		e = &entry{duty: p}
		a.entries[p] = e
	}
	if e.waiting == nil {
		e.waiting = &bundle{since: now, keys: map[string]*touchedKey{}, flushes: map[string]bool{}}
	}
	e.waiting.latest = now
	return e.waiting
}

// add puts a touch down, for the sake of flushes. news says that it may be of something
// that people do not know.
func (a *agenda) add(p duty, t *schemas.Touch, news bool, flushes []string, now time.Time) {
	b := a.bundle(p, now)
	b.news = b.news || news
	had := len(b.keys)
	addTouch(b.keys, t)
	a.pending += len(b.keys) - had
	for _, flush := range flushes {
		if !b.flushes[flush] {
			b.flushes[flush] = true
			a.left[flush]++
		}
	}
}

// tick has a rule look for what time has changed.
func (a *agenda) tick(p duty, s *search, now time.Time) {
	a.bundle(p, now).tick = s
	a.ticking++
}

// which entries may have a turn.
type which int

const (
	anyEntry       which = iota
	tellingEntries       // of rules of which people may be told at once, or overdue
	promptEntries        // of these, those that are soon judged
)

// next is the entry whose turn it is, nil where none may have one now: prompt ones in
// the order in which they came, and before them what takes long or may wait where it is
// owed some time, as nobody waits for its end.
func (a *agenda) next(rules map[string]*detect.Correlation, now time.Time, which which) *entry {
	var prompt, patient, resting *entry
	urgency, others := 0.0, false
	a.now = now
	for _, e := range a.entries {
		if a.rests(e) && !a.isBusy(e) {
			if resting == nil || before(e, resting) {
				resting = e
			}
			continue
		}
		others = true
		if a.isBusy(e) {
			continue
		}
		if a.prompt(e, rules) {
			if prompt == nil || a.before(e, prompt, rules) {
				prompt = e
			}
			continue
		}
		if which == promptEntries || which == tellingEntries && !telling(e, rules[e.rule]) && now.Sub(e.since()) < overdue || a.isBusy(a.storm(e, rules)) {
			continue
		}
		if u := a.urgency(e, rules[e.rule], now); patient == nil || u > urgency || u == urgency && before(e, patient) {
			patient, urgency = e, u
		}
	}
	if !others {
		return resting // for whose sake it would
	}
	a.pay(prompt != nil)
	chosen := prompt
	if patient != nil && a.affords() && !a.delays(patient, rules) {
		chosen = patient
	}
	if storm := a.storm(chosen, rules); storm != nil {
		return storm
	}
	return chosen
}

// delays reports whether a patient look would hold up something prompt of its own rule
// and tenant.
func (a *agenda) delays(patient *entry, rules map[string]*detect.Correlation) bool {
	e := a.entries[duty{classLive, patient.rule, patient.tenant}]
	return e != nil && e != patient && a.prompt(e, rules)
}

// pay gives patient looks their share of the time since it was last called; prompt is
// whether something prompt is there. What is not used is kept for one look.
func (a *agenda) pay(prompt bool) {
	if prompt {
		a.prompted = a.now
	}
	if !a.paid.IsZero() {
		a.owed += time.Duration(patientShare * float64(a.now.Sub(a.paid)))
	}
	if !slices.ContainsFunc(a.busy, func(e *entry) bool { return e.patient }) {
		a.owed = min(lookWork, a.owed)
	}
	a.paid = a.now
}

// affords reports whether a patient look may begin.
func (a *agenda) affords() bool { return a.owed > 0 || a.now.Sub(a.prompted) > promptLasts }

// isBusy reports whether an entry's rule is looking at its tenant, for whatever reason.
func (a *agenda) isBusy(e *entry) bool {
	return e != nil && slices.ContainsFunc(a.busy, func(b *entry) bool { return b.rule == e.rule && b.tenant == e.tenant })
}

// prompt reports whether people may be told at once of what a rule finds, and it is soon
// judged. So is a storm, however long that takes: who fails waits for it, while it rests
// for most of the time.
func (a *agenda) prompt(e *entry, rules map[string]*detect.Correlation) bool {
	return telling(e, rules[e.rule]) && (a.soon(e) || a.isStorm(e)) && !a.isBusy(a.storm(e, rules))
}

// soon reports whether an entry is soon judged.
func (a *agenda) soon(e *entry) bool { return a.work(e) <= max(promptWork, 2*a.usual) }

// telling reports whether people may be told at once of what comes of an entry.
func telling(e *entry, rule *detect.Correlation) bool {
	return e.class == classLive && rule != nil && rule.MayBe(schemas.LevelHigh) && e.hasNews()
}

func (e *entry) hasNews() bool {
	return e.serving != nil && e.serving.news || e.waiting != nil && e.waiting.news
}

// work is how long it takes to judge what an entry has begun with, or will.
func (a *agenda) work(e *entry) time.Duration {
	b, p := e.serving, a.paceOf(e)
	if b == nil {
		b = e.waiting
	}
	if b.tick != nil {
		return aLook + p.tick
	}
	keys := max(1, len(b.rest))
	if e.serving == nil {
		keys = max(1, len(b.keys))
	}
	return p.base + time.Duration(keys)*p.perKey
}

// urgency is how long an entry has waited for the work that it is: what takes ten times
// as long waits ten times as long.
func (a *agenda) urgency(e *entry, rule *detect.Correlation, now time.Time) float64 {
	work := a.work(e)
	switch {
	case e.class == classHistory:
		work *= historyWaits
	case telling(e, rule):
		work /= tellingHurries
	}
	return float64(now.Sub(e.since())+work) / float64(work)
}

func (e *entry) since() time.Time {
	if e.serving != nil {
		return e.serving.since
	}
	return e.waiting.since
}

// before reports whether an entry has its turn before another. One that waits for another
// look at a storm comes when that does: it holds up nobody who came meanwhile.
func (a *agenda) before(e, other *entry, rules map[string]*detect.Correlation) bool {
	turn := func(e *entry) time.Time {
		if storm := a.storm(e, rules); storm != nil && storm.since().After(e.since()) {
			return storm.since()
		}
		return e.since()
	}
	if c := turn(e).Compare(turn(other)); c != 0 {
		return c < 0
	}
	return before(e, other)
}

func (e *entry) latest() time.Time {
	if e.serving != nil {
		return e.serving.latest
	}
	return e.waiting.latest
}

func before(a, b *entry) bool {
	return cmp.Or(a.since().Compare(b.since()), cmp.Compare(a.class, b.class), cmp.Compare(a.rule, b.rule), cmp.Compare(a.tenant, b.tenant)) < 0
}

// serve begins or goes on with what waits at an entry.
func (e *entry) serve() *bundle {
	if e.serving == nil {
		e.serving, e.waiting = e.waiting, nil
		e.serving.rest = sortedKeys(e.serving.keys)
	}
	return e.serving
}

// take are keys for one look.
func (a *agenda) take(e *entry) []*touchedKey {
	b := e.serve()
	if len(b.rest) == 0 {
		return nil
	}
	n := min(chunk(b.rest), a.paceOf(e).keys())
	some := b.rest[:n]
	b.rest = b.rest[n:]
	return some
}

// took notes how long a look was, and settles its entry where it was the last one: then
// it tells whether that was of a tick.
func (a *agenda) took(l *look) (ticked bool) {
	e := l.entry
	a.busy = slices.DeleteFunc(a.busy, func(b *entry) bool { return b == e })
	if p := a.paceOf(e); l.tick != nil {
		p.tick = l.took
		a.searched(e, l.tick)
	} else {
		p.note(len(l.keys), l.took)
		if n := len(l.keys); n > 0 && n <= fewestKeys {
			a.usual = (7*a.usual + l.took) / 8
		}
	}
	if e.class == classLive && a.isStorm(e) {
		a.rested[e.duty] = l.began.Add(l.took + min(mostRest, stormRests*l.took))
	}
	if l.partly && e.class == classTick {
		a.partly[e.duty] = true
	}
	if !l.prompt {
		a.owed = max(-maxDebt, a.owed-l.took)
	}
	if b := e.serving; b.tick != nil || len(b.rest) > 0 {
		return false
	}
	a.settle(e)
	return e.class == classTick
}

// searched has the keys judged that a tick has found, if it has looked for all.
func (a *agenda) searched(e *entry, s *search) {
	if !s.over {
		return
	}
	e.serving.tick = nil
	for _, key := range s.keys {
		e.serving.rest = append(e.serving.rest, &touchedKey{key, s.from, s.to})
	}
	if s.goesOn && !s.left {
		a.ticked[e.duty] = s.to
	}
}

// settle ends the serving of an entry.
func (a *agenda) settle(e *entry) {
	b := e.serving
	e.serving = nil
	a.pending -= len(b.keys)
	for flush := range b.flushes {
		a.judged(flush, 1)
	}
	if e.class == classTick {
		a.ticking--
	}
	if e.waiting == nil {
		delete(a.entries, e.duty)
	}
}

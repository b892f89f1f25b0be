package processor

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

var someHour = time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)

// agendaBench is an agenda of two rules: people are told at once of what one finds.
type agendaBench struct {
	*agenda
	t     *testing.T
	rules map[string]*detect.Correlation
	now   time.Time
}

func newAgendaBench(t *testing.T) *agendaBench {
	t.Helper()
	b := &agendaBench{
		agenda: newAgenda(1, nil, stormPatience), t: t, now: someHour,
		rules: map[string]*detect.Correlation{"high": {Level: schemas.LevelHigh}, "low": {Level: schemas.LevelLow}},
	}
	b.owed = 0 // so that what is prompt comes first
	return b
}

// flush reads one that touched keys of rules.
func (b *agendaBench) flush(id string, class class, keys int, rules ...string) {
	b.begin([]string{id})
	for _, rule := range rules {
		for k := range keys {
			b.add(duty{class, rule, "acme"}, &schemas.Touch{Key: fmt.Sprint("key-", k), Bucket: someHour}, true, []string{id}, b.now)
		}
	}
	b.end([]string{id})
}

// serves lets one look of a rule pass, which takes so long.
func (b *agendaBench) serves(took func(rule string, keys int) time.Duration) (rule string, keys int) {
	b.t.Helper()
	e := b.next(b.rules, b.now, anyEntry)
	if e == nil {
		return "", 0
	}
	l := &look{entry: e, prompt: b.prompt(e, b.rules), began: b.now, tick: b.serve(e, b.rules).tick}
	l.keys = b.take(e)
	if l.tick != nil {
		l.tick.asked++
		l.tick.over = l.tick.asked == len(l.tick.shares)
	}
	l.took = took(e.rule, len(l.keys))
	b.now = b.now.Add(l.took)
	b.took(l)
	return e.rule, len(l.keys)
}

func always(d time.Duration) func(string, int) time.Duration {
	return func(string, int) time.Duration { return d }
}

func TestAFlushIsDoneWhenAllRulesHaveJudgedIt(t *testing.T) {
	b := newAgendaBench(t)
	b.flush("nothing", classLive, 0)
	b.flush("first", classLive, 3, "high", "low")
	b.flush("second", classLive, 5, "low")
	if !slices.Equal(b.done, []string{"nothing"}) {
		t.Fatalf("done %v before anything was judged, want the one that touched nothing", b.done)
	}
	if rule, keys := b.serves(always(time.Millisecond)); rule != "high" || keys != 3 || len(b.done) != 1 {
		t.Fatalf("%d keys of rule %s judged, then done %v; want 3 of high, and none more done", keys, rule, b.done)
	}
	if rule, keys := b.serves(always(time.Millisecond)); rule != "low" || keys != 5 {
		t.Fatalf("%d keys of rule %s judged, want 5 of low: those of both flushes, once", keys, rule)
	}
	slices.Sort(b.done)
	if !slices.Equal(b.done, []string{"first", "nothing", "second"}) || !b.empty() || b.pending != 0 {
		t.Errorf("done %v, %d keys left, want all done", b.done, b.pending)
	}
}

func TestWhatIsTouchedWhileARuleLooksWaitsForItsNextTurn(t *testing.T) {
	b := newAgendaBench(t)
	b.paceOf(live("low")).perKey = lookWork
	b.flush("first", classLive, 2*fewestKeys, "low")
	b.serves(always(time.Second))
	b.flush("second", classLive, 2*fewestKeys, "low")
	b.serves(always(time.Second))
	if !slices.Equal(b.done, []string{"first"}) {
		t.Fatalf("done %v, want the first flush alone: keys that were judged before the second came may do something else now", b.done)
	}
	for b.next(b.rules, b.now, anyEntry) != nil {
		b.serves(always(time.Second))
	}
	if !slices.Equal(b.done, []string{"first", "second"}) {
		t.Errorf("done %v, want both", b.done)
	}
}

// TestATickInSharesLetsOthersIn has a search take a second for each of a hundred shares.
func TestATickInSharesLetsOthersIn(t *testing.T) {
	b := newAgendaBench(t)
	tick := duty{classTick, "high", "acme"}
	s := &search{from: someHour, to: someHour.Add(time.Hour), goesOn: true, shares: make([]detect.Share, 100), keys: []string{"key-9"}}
	b.tick(tick, s, b.now)
	b.serves(always(time.Second))
	b.flush("meanwhile", classLive, 3, "low")
	for len(b.done) == 0 && s.asked < len(s.shares) {
		b.serves(always(time.Second))
	}
	if s.asked > 50 || b.ticking != 1 {
		t.Fatalf("%d of 100 shares are asked for before what came behind the first, want it judged in between", s.asked)
	}
	for b.ticking > 0 {
		b.serves(always(time.Second))
	}
	if !b.empty() || !b.ticked[tick].Equal(s.to) {
		t.Errorf("the tick is over, and has looked up to %s, want %s", b.ticked[tick], s.to)
	}
}

// TestPatientLooksHaveAShareOfTheTime lets both rules have work for ever. What people
// hear of at once waits for nothing, and the other is looked at beside it: whatever its
// looks take, for a share of the time.
func TestPatientLooksHaveAShareOfTheTime(t *testing.T) {
	for _, took := range []time.Duration{100 * time.Millisecond, 700 * time.Millisecond, 3 * time.Second} {
		b := newAgendaBench(t)
		var patient *look
		var ends time.Time
		began, spent, promptLooks := b.now, time.Duration(0), 0
		for n := range 2000 {
			b.flush(fmt.Sprint(n), classLive, 20, "high", "low")
			if patient != nil && !b.now.Before(ends) {
				b.took(patient)
				patient = nil
			}
			e := b.next(b.rules, b.now, anyEntry)
			if e.rule == "low" {
				if patient != nil {
					t.Fatal("two looks of one rule at once")
				}
				patient, ends = &look{entry: e, keys: b.take(e), took: took}, b.now.Add(took)
				b.busy, e.patient = append(b.busy, e), true
				spent += took
				e = b.next(b.rules, b.now, promptEntries)
			}
			b.took(&look{entry: e, prompt: true, keys: b.take(e), took: 100 * time.Millisecond})
			b.now = b.now.Add(100 * time.Millisecond)
			promptLooks++
		}
		if share := float64(spent) / float64(b.now.Sub(began)); share < 0.9*patientShare || share > 1.1*patientShare {
			t.Errorf("looks of %s were under way for %.2f of the time, want %.2f", took, share, patientShare)
		}
		if promptLooks != 2000 {
			t.Errorf("%d looks of the other, want one in each turn", promptLooks)
		}
	}
}

func TestPatientLooksHaveAllTheTimeWhereNothingIsPrompt(t *testing.T) {
	b := newAgendaBench(t)
	b.flush("prompt", classLive, 1, "high")
	b.serves(always(time.Millisecond))
	b.flush("patient", classLive, 100_000, "low")
	b.owed = -maxDebt
	if e := b.next(b.rules, b.prompted.Add(promptLasts), anyEntry); e != nil {
		t.Errorf("the turn is of %+v, want it of nobody: there may be more that is prompt", e.duty)
	}
	for b.now = b.now.Add(promptLasts + time.Millisecond); !b.empty(); {
		if rule, _ := b.serves(always(time.Second)); rule != "low" {
			t.Fatalf("the turn is of %q, want the rule that is left", rule)
		}
	}
}

func TestALongLookIsCutAndWaitsForShortOnes(t *testing.T) {
	b := newAgendaBench(t)
	perKey := func(_ string, keys int) time.Duration { return time.Duration(keys) * 30 * time.Millisecond }
	b.flush("many", classLive, 2000, "high")
	if e := b.next(b.rules, b.now, anyEntry); b.prompt(e, b.rules) {
		t.Error("2000 keys, of which nothing is known, are prompt")
	}
	looks := 0
	for ; b.next(b.rules, b.now, anyEntry) != nil; looks++ {
		before := b.now
		if b.serves(perKey); looks > 5 && b.now.Sub(before) > 2*lookWork {
			t.Fatalf("a look takes %s, want about %s", b.now.Sub(before), lookWork)
		}
	}
	if looks > 2*2000/int(lookWork/(30*time.Millisecond)) {
		t.Errorf("%d looks for 2000 keys, want as few as take %s", looks, lookWork)
	}
	b.flush("few", classLive, 1, "high")
	if !b.prompt(b.next(b.rules, b.now, anyEntry), b.rules) {
		t.Error("one key is not prompt")
	}
}

func TestWhatIsOldWaitsForWhatIsNewButNotForEver(t *testing.T) {
	b := newAgendaBench(t)
	b.paceOf(live("low")).perKey = 200 * time.Millisecond
	b.flush("old", classHistory, 1, "low")
	for n := range 100 {
		b.flush(fmt.Sprint(n), classLive, 1, "low")
		e := b.next(b.rules, b.now, anyEntry)
		if n == 0 && e.class == classHistory {
			t.Fatal("the old flush comes first")
		}
		b.serves(always(200 * time.Millisecond))
		if e.class == classHistory {
			return
		}
	}
	t.Error("the old flush never had its turn")
}

// live is an entry of what comes in.
func live(rule string) *entry { return &entry{duty: duty{class: classLive, rule: rule}} }

// What looks at a month of history takes makes none at what comes in less prompt.
func TestHistoryIsNoPaceOfWhatComesIn(t *testing.T) {
	b := newAgendaBench(t)
	b.flush("old", classHistory, 1, "high")
	b.serves(always(time.Minute))
	b.flush("new", classLive, 3, "high")
	if e := b.next(b.rules, b.now, promptEntries); e == nil || e.rule != "high" {
		t.Errorf("the turn is of %+v, want the rule that was long at history", e)
	}
}

// Where the machine does much else all looks take long, and what people are told of at
// once still comes before the others.
func TestWhatIsPromptIsSoBesideMuchElse(t *testing.T) {
	b := newAgendaBench(t)
	for n := range 20 {
		b.flush(fmt.Sprint(n), classLive, 1, "high", "low")
		for range 2 {
			b.serves(always(800 * time.Millisecond))
		}
	}
	b.flush("last", classLive, 1, "high", "low")
	if e := b.next(b.rules, b.now, promptEntries); e == nil || e.rule != "high" {
		t.Errorf("the turn is of %+v, want the rule of which people are told at once", e)
	}
}

func TestAPaceTellsWhatALookTakesFromItsKeys(t *testing.T) {
	p := pace{base: aLook, perKey: perKeyAtFirst}
	for range 20 {
		p.note(1, 300*time.Millisecond)
		p.note(1000, 2300*time.Millisecond)
	}
	if p.base.Round(time.Millisecond) != 300*time.Millisecond || p.perKey.Round(time.Microsecond) != 2*time.Millisecond {
		t.Errorf("%+v, want 300 ms and 2 ms a key", p)
	}
	if n := p.keys(); n < 340 || n > 350 {
		t.Errorf("a look is for %d keys, want the 350 of a second", n)
	}
	p.base = 3 * time.Second
	if n := p.keys(); n < 1490 || n > 1510 {
		t.Errorf("a look that takes three seconds whatever it is for is for %d keys, want the 1500 of three more", n)
	}
}

// newStormBench has the shipped rules, of which the one that finds storms takes long.
func newStormBench(t *testing.T) *agendaBench {
	t.Helper()
	set, err := detect.Parse(Rules())
	if err != nil {
		t.Fatal(err)
	}
	b := newAgendaBench(t)
	correlations := set.Correlations()
	b.agenda = newAgenda(1, correlations, stormPatience)
	b.owed = -maxDebt // so that what is prompt comes first
	for i := range correlations {
		b.rules[correlations[i].Code] = &correlations[i]
	}
	b.paceOf(live("MI-02-storm")).perKey = 10 * time.Second
	return b
}

func TestAStormIsLookedForBeforeWhatIsAttachedToIt(t *testing.T) {
	b := newStormBench(t)
	b.flush("first", classLive, 1, "MI-02", "MI-02-storm")
	if rule, _ := b.serves(always(time.Millisecond)); rule != "MI-02-storm" {
		t.Fatalf("%s has the first turn, want MI-02-storm", rule)
	}
	b.now = b.now.Add(time.Second)
	b.flush("second", classLive, 1, "MI-02-storm")
	if rule, _ := b.serves(always(time.Millisecond)); rule != "MI-02" {
		t.Errorf("%s has the second turn, want MI-02: what came of the storm since is later", rule)
	}
}

// What would be attached to a storm begins with the look for one: whoever failed before it
// waits for no other, however many fail each second, and who did since waits for the next.
func TestAStormIsLookedForAgainBeforeWhatCameSince(t *testing.T) {
	b := newStormBench(t)
	b.paceOf(live("MI-02-storm")).perKey = time.Millisecond
	b.flush("first", classLive, 1, "MI-02", "MI-02-storm")
	for n := range 3 {
		e := b.next(b.rules, b.now, anyEntry)
		if e == nil || e.rule != "MI-02-storm" {
			t.Fatalf("the turn %d is of %+v, want MI-02-storm", 2*n, e)
		}
		b.serve(e, b.rules)
		b.busy = append(b.busy, e)
		l := &look{entry: e, prompt: true, keys: b.take(e), began: b.now, took: 200 * time.Millisecond}
		b.now = b.now.Add(3 * time.Second)
		b.flush(fmt.Sprint("flush-", n), classLive, 2, "MI-02", "MI-02-storm")
		b.took(l)
		if rule, keys := b.serves(always(time.Millisecond)); rule != "MI-02" || keys != min(n+1, 2) {
			t.Fatalf("%s has turn %d, for %d keys, want MI-02 for what came before the look for a storm", rule, 2*n+1, keys)
		}
	}
}

// A look for a storm takes long on many millions of events. None follows it at once, and
// who fails meanwhile does not wait for one.
func TestAStormIsLookedForATenthOfTheTime(t *testing.T) {
	b := newStormBench(t)
	b.paceOf(live("MI-02-storm")).perKey = time.Millisecond
	began, looked, longest := b.now, time.Duration(0), time.Duration(0)
	for n := range 1000 {
		b.flush(fmt.Sprint("flush-", n), classLive, 1, "MI-02", "MI-02-storm")
		since := b.now
		for {
			rule, _ := b.serves(always(200 * time.Millisecond))
			if rule == "MI-02-storm" {
				looked += 200 * time.Millisecond
			}
			if rule == "MI-02" || rule == "" {
				break
			}
		}
		longest = max(longest, b.now.Sub(since))
	}
	if share := float64(looked) / float64(b.now.Sub(began)); share < 0.09 || share > 0.11 {
		t.Errorf("it was looked for a storm for %.2f of the time, want a tenth", share)
	}
	b.flush("last", classLive, 1, "MI-02-storm")
	if rule, _ := b.serves(always(200 * time.Millisecond)); rule != "MI-02-storm" {
		t.Errorf("the turn is of %q where nothing waits but a storm, want MI-02-storm", rule)
	}
	if longest > 400*time.Millisecond {
		t.Errorf("somebody who failed waited for %s, want the time of two looks", longest)
	}
}

// What waits for a look at a storm has its turn with that: others are not held up.
func TestAnotherLookForAStormHoldsUpNobodyElse(t *testing.T) {
	b := newStormBench(t)
	b.paceOf(live("MI-02-storm")).perKey = time.Millisecond
	look := always(300 * time.Millisecond)
	for _, rules := range [][]string{{"MI-02"}, {"high"}, {"MI-02", "MI-02-storm"}} {
		b.flush(rules[len(rules)-1], classLive, 1, rules...)
		b.now = b.now.Add(time.Second)
	}
	for _, want := range []string{"high", "MI-02-storm", "MI-02"} {
		if rule, _ := b.serves(look); rule != want {
			t.Errorf("the turn is of %s, want %s", rule, want)
		}
	}
}

// After an outage all has waited for long; a storm comes first for all that.
func TestAStormIsLookedForBeforeWhatHasWaitedForLong(t *testing.T) {
	b := newStormBench(t)
	b.flush("first", classLive, 1, "MI-02", "MI-02-storm")
	b.now = b.now.Add(10 * stormPatience)
	if rule, _ := b.serves(always(time.Millisecond)); rule != "MI-02-storm" {
		t.Errorf("%s has the first turn, want MI-02-storm", rule)
	}
}

// What would be attached to a storm waits for the look for one, and not for ever.
func TestAStormIsWaitedForForAWhile(t *testing.T) {
	b := newStormBench(t)
	b.flush("first", classLive, 1, "MI-02", "MI-02-storm")
	storm := b.next(b.rules, b.now, anyEntry)
	if storm == nil || storm.rule != "MI-02-storm" {
		t.Fatalf("the first turn is of %+v, want MI-02-storm", storm)
	}
	storm.serve()
	b.busy = append(b.busy, storm)
	for _, which := range []which{tellingEntries, promptEntries} {
		if e := b.next(b.rules, b.now.Add(stormPatience), which); e != nil {
			t.Errorf("%s has a turn while a storm is looked for, want none", e.rule)
		}
		if e := b.next(b.rules, b.now.Add(stormPatience+time.Millisecond), which); e == nil || e.rule != "MI-02" {
			t.Errorf("the turn is of %+v after %s, want MI-02", e, stormPatience)
		}
	}
}

func TestWhatPeopleAreToldOfNeverWaitsForOtherLongLooks(t *testing.T) {
	b := newAgendaBench(t)
	b.paceOf(live("high")).perKey = 10 * lookWork
	b.flush("first", classLive, 1, "high", "low")
	b.busy = append(b.busy, b.entries[duty{classLive, "high", "acme"}])
	for waited, want := range map[time.Duration]bool{overdue - 1: false, overdue: true} {
		if e := b.next(b.rules, b.now.Add(waited), tellingEntries); (e != nil) != want {
			t.Errorf("the other has a turn beside a look after %s: %v, want %v", waited, e != nil, want)
		}
	}
	b.busy, b.owed = nil, 0
	for which, want := range map[which]string{tellingEntries: "high", promptEntries: ""} {
		got := ""
		if e := b.next(b.rules, b.now, which); e != nil {
			got = e.rule
		}
		if got != want {
			t.Errorf("turn of %q among entries of kind %d, want %q", got, which, want)
		}
	}
}

func TestHowManyLooksGoOnAtOnce(t *testing.T) {
	const none = which(-1)
	for name, tc := range map[string]struct {
		prompt, long, patient int // prompt ones, those that take long, and others
		due                   bool
		want                  which
	}{
		"nothing":                           {want: anyEntry},
		"as many as there may be":           {prompt: maxPrompt, want: none},
		"a patient one":                     {patient: 1, want: tellingEntries},
		"one that takes long":               {long: 1, want: tellingEntries},
		"two beside the prompt ones":        {long: 1, patient: 1, want: promptEntries},
		"many beside them":                  {long: maxBeside - 1, patient: 1, want: promptEntries},
		"too many beside them":              {long: maxBeside, patient: 1, want: none},
		"none, and some may be over":        {due: true, want: none},
		"prompt ones, and some may be over": {prompt: 1, due: true, want: none},
		"a patient one, and they may":       {patient: 1, due: true, want: promptEntries},
		"many beside them, and they may":    {long: maxLong, patient: 1, due: true, want: none},
	} {
		c := &Correlator{cfg: CorrelatorConfig{ResolveEvery: time.Minute, Now: time.Now}, resolved: time.Now()}
		if tc.due {
			c.resolved = time.Time{}
		}
		for range tc.prompt {
			c.looks = append(c.looks, &look{prompt: true, began: time.Now()})
		}
		for range tc.long {
			c.looks = append(c.looks, &look{prompt: true, began: time.Now().Add(-lookWork)})
		}
		for range tc.patient {
			c.looks = append(c.looks, &look{began: time.Now()})
		}
		if got, ok := c.mayBegin(); ok != (tc.want != none) || ok && got != tc.want {
			t.Errorf("%s: kind %d may begin, %v; want %d", name, got, ok, tc.want)
		}
	}
}

package processor_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// rulesOfWhatIsNew are shipped ones, looking back for less, so that what is
// remembered grows old within the month of a test.
func rulesOfWhatIsNew(t *testing.T) *detect.Set {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range []string{"base.yml", "mi-08-new-network.yml", "mi-11-compound-change.yml", "mi-13-many-organizations.yml", "mi-20-dormant-woke.yml", "mi-23-token-used-elsewhere.yml", "mi-27-secret-read-then-used.yml"} {
		text, err := fs.ReadFile(processor.Rules(), name)
		if err != nil {
			t.Fatal(err)
		}
		short := strings.NewReplacer("lookback: 90d", "lookback: 6d", "events: 20, days: 7", "events: 4, days: 2", "changes: 1, within: 28d", "changes: 9, within: 7d",
			"at_least: 30d", "at_least: 2d", "lookback: 365d", "lookback: 9d", "lookback: 30d, least: 20, most: 8", "lookback: 6d, least: 4, most: 8", "lookback: 30d, history: 7d", "lookback: 6d, history: 1d").Replace(string(text))
		files[name] = &fstest.MapFile{Data: []byte(short)}
	}
	rules, err := detect.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// moves is a month of some clients that move, change programs and fall silent. Of
// some events there is a copy, in front, that loses and says something else. Their secrets
// are read now and then, and some of their tokens used, mostly where they were issued.
func moves(r *rand.Rand, clients int) []schemas.Event {
	var events []schemas.Event
	for c := range clients {
		client := fmt.Sprintf("client%02d", c)
		at, network, program := moment.Add(-25*24*time.Hour), 0, 0
		for n := 0; at.Before(moment); n++ {
			e := exchange(client, n, at, true, schemas.SourceStream)
			if r.IntN(12) == 0 {
				network = r.IntN(5)
			}
			if r.IntN(20) == 0 {
				network, program = r.IntN(5), r.IntN(5)
			}
			e.Ver, e.TokenID = 5, fmt.Sprint(client, "-", n)
			e.Network, e.UserAgent = fmt.Sprintf("198.51.%d.0/24", network), fmt.Sprintf("program%d/1.0", program)
			if r.IntN(6) == 0 {
				loser := e
				loser.Ver, loser.Network = 4, fmt.Sprintf("198.51.%d.0/24", r.IntN(5))
				events = append(events, loser)
			}
			events = append(events, e)
			if r.IntN(5) == 0 {
				use := exchange(client, 100_000+n, at.Add(time.Second), true, schemas.SourceStream)
				use.Type, use.UsedTokenID, use.Network = "custom:token.used", e.TokenID, e.Network
				if r.IntN(8) == 0 {
					use.Network = fmt.Sprintf("198.51.%d.0/24", r.IntN(9))
				}
				events = append(events, use)
			}
			if r.IntN(12) == 0 {
				read := exchange("backup", 1000*c+n, at.Add(2*time.Second), true, schemas.SourceStream)
				read.Type, read.Call = "mgmt_api_read", schemas.Call{Method: "get", Path: "/api/v2/clients/" + client, Target: schemas.AppID(client)}
				events = append(events, read)
			}
			if r.IntN(12) == 0 {
				for i := range 4 + r.IntN(4) {
					token := exchange(client, 200_000+10*n+i, at.Add(time.Duration(i)*8*time.Minute), true, schemas.SourceStream)
					token.Network, token.UserAgent, token.OrganizationID = e.Network, e.UserAgent, fmt.Sprint("org_", r.IntN(40))
					events = append(events, token)
				}
			}
			at = at.Add(time.Duration(r.IntN(700)+1) * time.Minute)
			if r.IntN(25) == 0 {
				at = at.Add(time.Duration(r.IntN(8*24)) * time.Hour)
			}
		}
	}
	slices.SortStableFunc(events, func(a, b schemas.Event) int { return a.Time.Compare(b.Time) })
	return events
}

// TestMemoryChangesNoFinding delivers a month in several ways, flush by flush,
// to correlators that follow one another and remember what they have read, and
// holds the findings against those of all events at once, of which nothing is
// remembered.
func TestMemoryChangesNoFinding(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 0))
	events := moves(r, 3)
	newBenchOfWhatIsNew := func(t *testing.T) *bench {
		t.Helper()
		b := newBench(t)
		b.rules = rulesOfWhatIsNew(t)
		return b
	}
	whole := newBenchOfWhatIsNew(t)
	whole.insert(events...)
	whole.correlateAll()
	want := open(whole.findings("acme"))
	rules := map[string]int{}
	for _, f := range want {
		rules[f.RuleID]++
	}
	if rules["MI-08"] < 3 || rules["MI-11"] < 1 || rules["MI-13-many"] < 3 || rules["MI-20"] < 1 || rules["MI-23"] < 2 || rules["MI-27"] < 2 {
		t.Fatalf("findings by rule %v in the whole, too few to tell", rules)
	}
	ways := deliveries(r, events)
	delete(ways, "repeated") // which the copies are, too
	for name, delivery := range ways {
		seed := r.Uint64()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBenchOfWhatIsNew(t)
			b.now = func() time.Time { return moment } // so that what came lately is asked for together
			b.trickle(rand.New(rand.NewPCG(seed, 1)), delivery)
			if diff := cmp.Diff(want, open(b.findings("acme")), onTheWay); diff != "" {
				t.Errorf("(-whole +%s):\n%.3000s", name, diff)
			}
		})
	}
}

// trickle inserts in small flushes, each of which is correlated before the next,
// by a correlator that is followed by another now and then.
func (b *bench) trickle(r *rand.Rand, events []schemas.Event) {
	b.t.Helper()
	stop := b.start(nil)
	for len(events) > 0 {
		n := min(1+r.IntN(160), len(events))
		b.insert(events[:n]...)
		events = events[n:]
		b.settle()
		if r.IntN(6) == 0 {
			stop()
			stop = b.start(nil)
		}
	}
	stop()
}

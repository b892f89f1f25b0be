package processor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// warmerOf makes a warmer of a bench's store, whose rules are those of the bench.
func warmerOf(t *testing.T, b *bench, store processor.SelectorStore) *processor.Warmer {
	t.Helper()
	began := time.Now()
	w, err := processor.NewWarmer(processor.WarmerConfig{
		Store: store, Lease: everybodysLease{}, Rules: func() *detect.Set { return b.rules },
		Interval: 5 * time.Millisecond, Settle: time.Nanosecond, Now: func() time.Time { return moment.Add(12*time.Hour + time.Since(began)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func statesOf(t *testing.T, store *clickhouse.SelectorStore) map[schemas.SelectorState]int {
	t.Helper()
	all, err := store.Selectors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	states := map[schemas.SelectorState]int{}
	for _, s := range all {
		states[s.State]++
	}
	return states
}

func runWarmer(t *testing.T, w *processor.Warmer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	return func() {
		cancel()
		<-done
	}
}

// A rule that comes later finds what lies before it, which pages nobody, and what
// comes meanwhile, which pages when history is matched and not before.
func TestANewRuleLooksAtHistoryBeforeItPages(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"selected by the store": grantWidened, "selected here": grantWidenedByRaw} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := clickhousetest.New(t)
			b := newBenchOn(t, db)
			store := clickhouse.NewSelectorStore(db)
			old, live := grantChange("old", 1, moment, 1, "Update client grant"), grantChange("new", 2, moment.Add(time.Hour), 1, "Update client grant")
			old.Raw, live.Raw = []byte(`{"details":{"does":"widen"}}`), []byte(`{"details":{"does":"widen"}}`)
			b.rules = parseRules(t, "title: Nothing\nid: 00000000-0000-4000-8000-0000000000ff\nlogsource: {product: auth0}\ndetection: {s: {type: nothing}, condition: s}\n")
			w := warmerOf(t, b, store)
			if err := w.Register(t.Context(), b.rules); err != nil {
				t.Fatal(err)
			}
			if states := statesOf(t, store); states[schemas.SelectorWarm] != 1 || states[schemas.SelectorWarming] != 0 {
				t.Fatalf("where nothing is stored: %v", states)
			}
			b.insert(old)

			b.rules = parseRules(t, text)
			if err := w.Register(t.Context(), b.rules); err != nil {
				t.Fatal(err)
			}
			live.Selectors = b.rules.Selectors()
			b.insert(live)
			b.correlateAll()
			found := b.findings("acme")
			if len(found) != 1 || found[0].Key != "app:new" || found[0].Paging != schemas.PagingWarming {
				t.Fatalf("while it is warming: %+v", found)
			}
			if n := len(b.alerts()); n != 0 {
				t.Fatalf("%d alerts while it is warming", n)
			}

			stop := runWarmer(t, w)
			natstest.Eventually(t, "the selector is warm", func() bool {
				states := statesOf(t, store)
				return states[schemas.SelectorWarm] == 1 && states[schemas.SelectorIdle] == 1
			})
			b.correlateAll()
			stop()
			b.correlateAll()
			paging := map[string]schemas.Paging{}
			for _, f := range b.findings("acme") {
				paging[f.Key] = f.Paging
			}
			if paging["app:old"] != schemas.PagingImported || paging["app:new"] != schemas.PagingPage {
				t.Errorf("paging %v", paging)
			}
			if alerts := b.alerts(); len(alerts) != 1 || alerts[0].Finding.Key != "app:new" {
				t.Errorf("alerts %+v", alerts)
			}
		})
	}
}

func parseRules(t *testing.T, text string) *detect.Set {
	t.Helper()
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: fstest.MapFS{"a.yml": {Data: []byte(text)}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// refusingStore refuses what the store is asked for on some occasions.
type refusingStore struct {
	*clickhouse.SelectorStore
	refuses string // the selector that is never selected
	touches int
	failing int    // which of the touches fails, from 1
	between func() // done before that
}

var errRefusing = errors.New("refused")

func (s *refusingStore) SelectInto(ctx context.Context, sel schemas.Selection, tenant string, from, to time.Time) error {
	if sel.Selector == s.refuses {
		return errRefusing
	}
	return s.SelectorStore.SelectInto(ctx, sel, tenant, from, to)
}

func (s *refusingStore) InsertTouches(ctx context.Context, touches []schemas.Touch) error {
	if s.touches++; s.touches == s.failing {
		s.between()
		return errRefusing
	}
	return s.SelectorStore.InsertTouches(ctx, touches)
}

func TestASelectorThatTheStoreRefusesHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	b := newBenchOn(t, db)
	b.insert(grantChange("old", 1, moment, 1, "Update client grant"))
	texts := make([]string, 4)
	for i := range texts {
		texts[i] = strings.NewReplacer("0000000000a1", fmt.Sprint("0000000000b", i), "description: Update client grant", fmt.Sprint("description: d", i)).Replace(grantWidened)
	}
	b.rules = parseRules(t, strings.Join(texts, "---\n"))
	store := clickhouse.NewSelectorStore(db)
	w := warmerOf(t, b, &refusingStore{SelectorStore: store, refuses: b.rules.Selectors()[0]})
	stop := runWarmer(t, w)
	natstest.Eventually(t, "the others are warm", func() bool { return statesOf(t, store)[schemas.SelectorWarm] == 3 })
	stop()
	if n := statesOf(t, store)[schemas.SelectorWarming]; n != 1 {
		t.Errorf("%d selectors are warming, want the one that is refused", n)
	}
}

// What was found while history was matched pages behind that, though the store be
// away at the moment.
func TestWhatWasFoundWhileWarmingPagesWhateverComesBetween(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	b := newBenchOn(t, db)
	store := clickhouse.NewSelectorStore(db)
	b.insert(grantChange("old", 1, moment, 1, "Update client grant"))
	b.rules = parseRules(t, grantWidened)
	w := warmerOf(t, b, &refusingStore{SelectorStore: store, failing: 2, between: b.correlateAll})
	if err := w.Register(t.Context(), b.rules); err != nil {
		t.Fatal(err)
	}
	live := grantChange("new", 2, moment.Add(time.Hour), 1, "Update client grant")
	live.Selectors = b.rules.Selectors()
	b.insert(live)
	b.correlateAll()
	stop := runWarmer(t, w)
	natstest.Eventually(t, "the selector is warm", func() bool { return statesOf(t, store)[schemas.SelectorWarm] == 1 })
	stop()
	b.correlateAll()
	if n := len(b.alerts()); n != 1 {
		t.Errorf("%d alerts, want 1: %+v", n, b.findings("acme"))
	}
}

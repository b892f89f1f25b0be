package processor_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

const aDay = 24 * time.Hour

// broke is when the client of the aged store stops working: most of its
// baseline lies in the month before, which is a partition of matches.
var broke = time.Date(2026, 4, 1, 8, 0, 0, 0, time.UTC)

// aged is a store whose client broke long ago, was found then, and of which
// something has expired since.
type aged struct {
	*bench
	late []schemas.Event // what comes now
}

// newAged makes the finding, sets the clock on, and drops what the server would
// have dropped by then. Without freezing, the correlator does not know that.
func newAged(t *testing.T, r clickhouse.Retention, days int, frozen bool, expired map[string][]string) aged {
	t.Helper()
	clock := broke.Add(2 * time.Hour)
	c := clickhousetest.Config(t)
	c.Retention, c.Now = r, func() time.Time { return clock }
	b := newBenchOn(t, clickhousetest.Migrated(t, c))
	b.now = c.Now
	if frozen {
		b.kept = r
	}
	events := append(working("aged", schemas.SourceStream), refused("aged", 3, schemas.SourceStream)...)
	for i := range events {
		events[i].Time = events[i].Time.Add(broke.Sub(moment))
	}
	b.insert(events...)
	b.correlateAll()
	if found := b.findings("acme"); len(found) != 1 || found[0].State != schemas.StateOpen {
		t.Fatalf("findings %+v, want one, open", found)
	}
	clock = broke.Truncate(aDay).Add(time.Duration(days)*aDay - time.Second) // at midnight its day expires, too
	expire(t, c, expired)
	return aged{b, []schemas.Event{
		events[len(events)-1], // repeated
		exchange("aged", 5000, broke.Add(5*time.Minute), false, schemas.SourceStream),
	}}
}

// expire drops partitions, as the server does when all of their rows have
// expired.
func expire(t *testing.T, c clickhouse.Config, partitions map[string][]string) {
	t.Helper()
	options, err := ch.ParseDSN(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	options.Auth.Database = c.Database
	conn, err := ch.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for table, ids := range partitions {
		for _, id := range ids {
			if err := conn.Exec(t.Context(), "ALTER TABLE "+table+" DROP PARTITION ID '"+id+"'"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// march are the partitions of the baseline's days that are over the edge.
func march() map[string][]string {
	var days []string
	for at := broke.Add(-6 * aDay); at.Before(broke.Truncate(aDay)); at = at.Add(aDay) {
		days = append(days, at.Format("20060102"))
	}
	return map[string][]string{"events": days, "matches": {"202603"}}
}

func TestWhatLostItsEvidenceToRetentionIsNotWithdrawn(t *testing.T) {
	t.Parallel()
	r := clickhouse.Retention{Days: 40}
	b := newAged(t, r, 40, true, march())
	before := b.findings("acme")
	b.insert(b.late...)
	b.correlateAll()
	if diff := cmp.Diff(before, b.findings("acme")); diff != "" || len(before) != 1 {
		t.Errorf("what came late changed a frozen finding (-before +after):\n%s", diff)
	}
	if h := b.history(before[0]); len(h) != 1 {
		t.Errorf("history %+v, want its opening alone", h)
	}
	if got := ids(b.alerts()); len(got) != 1 {
		t.Errorf("alerts %v, want the first alone", got)
	}
	events, err := b.reader.Events(t.Context(), schemas.EventFilter{Tenant: "acme", Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if first := slices.MinFunc(events, func(a, b schemas.Event) int { return a.Time.Compare(b.Time) }).Time; first.Before(broke.Truncate(aDay)) {
		t.Errorf("an event of %s is read, over the edge", first)
	}

	// Freezing is what saves it.
	b = newAged(t, r, 40, false, march())
	b.insert(b.late...)
	b.correlateAll()
	if after := b.findings("acme"); len(after) != 1 || after[0].State != schemas.StateWithdrawn {
		t.Errorf("without freezing: %+v, want it withdrawn: this test proves nothing", after)
	}
}

func TestFindingThatHasExpiredDoesNotComeBack(t *testing.T) {
	t.Parallel()
	r := clickhouse.Retention{Days: 400, ByTable: map[string]int{"findings": 30, "finding_changes": 30}}
	expired := map[string][]string{"findings": {"202604"}, "finding_changes": {"202604"}}
	b := newAged(t, r, 61, true, expired)
	b.insert(b.late...)
	b.correlateAll()
	if got := b.stored("aged"); len(got) != 0 {
		t.Errorf("what came late brought back %+v", got)
	}
	if got := ids(b.alerts()); len(got) != 1 {
		t.Errorf("alerts %v, want the first alone", got)
	}
	b = newAged(t, r, 61, false, expired)
	b.insert(b.late...)
	b.correlateAll()
	if got := b.stored("aged"); len(got) != 1 {
		t.Errorf("without freezing: %+v, want it back: this test proves nothing", got)
	}
	if got := b.findings("acme"); len(got) != 0 {
		t.Errorf("readers see %+v, which is over the edge", got)
	}
}

// stored are the findings of a key as the correlator sees them.
func (b *bench) stored(key string) []schemas.Finding {
	b.t.Helper()
	found, err := b.store.Findings(b.t.Context(), "acme", b.rule.Code, []string{key}, broke.Add(-30*aDay), broke.Add(30*aDay))
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

func TestPeriodThatNeedsNothingExpiredIsNotFrozen(t *testing.T) {
	t.Parallel()
	b := newAged(t, clickhouse.Retention{Days: 40}, 10, true, nil)
	b.insert(b.late...)
	b.correlateAll()
	if got := b.findings("acme"); len(got) != 1 || got[0].Count != 4 {
		t.Errorf("findings %+v, want one with the refusal that came late", got)
	}
}

func TestRetentionShorterThanARuleNeedsIsRefused(t *testing.T) {
	t.Parallel()
	rules := workingClientRules(t)
	broker := natstest.New(t)
	for _, tt := range []struct {
		evidence, findings time.Duration
		ok                 bool
	}{{0, 0, true}, {400 * aDay, 400 * aDay, true}, {14 * aDay, 0, false}, {400 * aDay, aDay, false}} {
		_, err := processor.NewCorrelator(processor.CorrelatorConfig{
			Store: &stuckStore{}, Alerts: broker.Publisher(t), Lease: nats.NewLease(broker.Conn, nats.LeaseConfig{}), Rules: rules,
			EvidenceKept: tt.evidence, FindingsKept: tt.findings,
		})
		if (err == nil) != tt.ok {
			t.Errorf("evidence for %s, findings for %s: %v", tt.evidence, tt.findings, err)
		}
	}
}

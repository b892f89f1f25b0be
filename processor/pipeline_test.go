package processor_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// allFailures selects every failed exchange.
type allFailures struct{}

func (allFailures) Match(dst []schemas.Match, e *schemas.Event) []schemas.Match {
	if e.Type != "feccft" {
		return dst
	}
	return append(dst, schemas.Match{
		Selector: "feccft", Tenant: e.Tenant, Key: e.ClientID, Time: e.Time, LogID: e.LogID,
		Value: e.Network, ClientID: e.ClientID, Ver: e.Ver, Source: e.Source,
	})
}

// TestProcessorStoresEachRecordOnceOnRealServers sends records, some of them
// twice, through JetStream into ClickHouse, stopping and starting the
// processor meanwhile, and holds what is stored against what was sent.
func TestProcessorStoresEachRecordOnceOnRealServers(t *testing.T) {
	t.Parallel()
	limits := natstest.Limits()
	limits.AckWait = 2 * time.Second // after which what a stopped processor had comes again
	broker, db := natstest.New(t, natstest.WithLimits(limits)), clickhousetest.New(t)
	publisher := broker.Publisher(t)
	reader, now := clickhouse.NewReader(db), time.Now()
	const groups, perGroup = 50, 200
	publish := func(group int) {
		data := schemas.AppendGroupHeader(nil, "acme", schemas.SourceStream, now)
		for i := range perGroup {
			data = schemas.AppendGroupLog(data, record(group*perGroup+i, now), false)
		}
		publishGroup(t, publisher, fmt.Sprint(group, " ", time.Now().UnixNano()), data)
	}
	start := func() (stop func()) {
		p, err := processor.New(processor.Config{
			Source: broker.Logs(t), Store: clickhouse.NewWriter(db), Dead: publisher, Matcher: allFailures{}, FlushRows: 1000, AckWait: limits.AckWait,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		return func() {
			t.Helper()
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	for group := range groups {
		publish(group)
	}
	stop := start()
	natstest.Eventually(t, "something is stored", func() bool { return count(t, reader) > 0 })
	stop()
	stop = start()
	for group := 0; group < groups; group += 3 {
		publish(group) // again
	}
	poison := schemas.AppendGroupHeader(nil, "acme", schemas.SourceStream, now)
	poison = schemas.AppendGroupLog(poison, []byte(`{"no":"log_id"}`), false)
	publishGroup(t, publisher, "poison", poison)
	natstest.Eventually(t, "nothing is pending", func() bool { return backlog(t, broker).Pending == 0 })
	stop()

	if got := count(t, reader); got != groups*perGroup {
		t.Errorf("%d records stored, want %d", got, groups*perGroup)
	}
	if got := backlog(t, broker).Dead; got != 1 {
		t.Errorf("%d records in DEAD, want 1", got)
	}
	e, err := reader.Event(t.Context(), "acme", logID(7))
	if err != nil || !bytes.Equal(e.Raw, record(7, now)) || e.Identity.ID != "app:c7" || !slices.Equal(e.Selectors, []string{"feccft"}) {
		t.Errorf("record 7: %+v, %v", e, err)
	}
}

// TestProcessorStoresEverySampleOnARealStore claims that no awkward log is
// refused by the store or changed in it.
func TestProcessorStoresEverySampleOnARealStore(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	writer, reader := clickhouse.NewWriter(db), clickhouse.NewReader(db)
	samples, err := os.ReadFile("testdata/awkward.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	n := processor.NewNormalizer(schemas.EventTypes(), nil)
	var events []schemas.Event
	for raw := range bytes.Lines(samples) {
		e, err := n.Normalize(&schemas.Log{Tenant: "acme", Source: schemas.SourceImport, IngestedAt: time.Now(), Raw: bytes.TrimRight(raw, "\n")})
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	if err := writer.InsertEvents(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	for _, want := range events {
		got, err := reader.Event(t.Context(), "acme", want.LogID)
		if err != nil {
			t.Errorf("%s: %v", want.LogID, err)
			continue
		}
		if !bytes.Equal(got.Raw, want.Raw) || !got.Time.Equal(want.Time) || got.Type != want.Type || got.Outcome != want.Outcome || got.Identity != want.Identity {
			t.Errorf("%s: got %+v\nwant %+v", want.LogID, got, want)
		}
	}
}

func publishGroup(t *testing.T, publisher *nats.Publisher, id string, data []byte) {
	t.Helper()
	if err := publisher.PublishGroup(t.Context(), "acme", id, data); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, reader *clickhouse.Reader) uint64 {
	t.Helper()
	now := time.Now()
	rows, err := reader.Stats(t.Context(), schemas.StatsFilter{Tenant: "acme", By: []string{"tenant"}, From: now.Add(-time.Hour), To: now.Add(time.Hour), Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) == 0 {
		return 0
	}
	return rows[0].Count
}

func backlog(t *testing.T, broker *natstest.Harness) schemas.Backlog {
	t.Helper()
	b, err := broker.Conn.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func logID(n int) string { return fmt.Sprintf("900%053d", n) }

func record(n int, at time.Time) []byte {
	return fmt.Appendf(nil, `{"log_id":%q,"data":{"type":"feccft","client_id":"c%d","ip":"203.0.113.7","date":%q,"log_id":%q}}`,
		logID(n), n%20, at.UTC().Format("2006-01-02T15:04:05.000Z"), logID(n))
}

package processor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// narrowStore is a store whose queries may read little: few keys at once, and
// one key never.
type narrowStore struct {
	*clickhouse.FindingStore
	most  int
	never string
	short int           // of memory for more keys than so many, 0 never
	span  time.Duration // that one query may ask for, 0 for any
}

func (s *narrowStore) Correlate(ctx context.Context, q schemas.Query) ([]schemas.CorrelationRow, error) {
	keys, _ := q.Params["keys"].([]string)
	if s.short > 0 && len(keys) > s.short {
		return nil, fmt.Errorf("correlate %d keys: %w", len(keys), schemas.ErrMemoryShort)
	}
	from, _ := q.Params["from"].(uint64)
	to, _ := q.Params["to"].(uint64)
	if asked := time.Duration(to-from) * time.Millisecond; s.span > 0 && len(keys) > 0 && asked > s.span {
		return nil, fmt.Errorf("correlate %s: %w", asked, schemas.ErrQueryTooLarge)
	}
	for _, k := range keys {
		if len(keys) > s.most || k == s.never {
			return nil, fmt.Errorf("correlate %d keys: %w", len(keys), schemas.ErrQueryTooLarge)
		}
	}
	return s.FindingStore.Correlate(ctx, q)
}

// TestKeyThatIsTooMuchHoldsUpNoOther: what one query may not read is asked for
// in parts, and one key that is too much alone is left out.
func TestKeyThatIsTooMuchHoldsUpNoOther(t *testing.T) {
	b := newBench(t)
	for n := range 9 {
		client := fmt.Sprint("client-", n)
		b.insert(append(working(client, schemas.SourceStream), refused(client, 3, schemas.SourceStream)...)...)
	}
	stop := b.startOn(&narrowStore{FindingStore: b.store, most: 2, never: "client-4"}, b.broker.Publisher(b.t), nil)
	defer stop()
	b.settle()
	found := map[string]bool{}
	for _, f := range b.findings("acme") {
		found[f.Key] = true
	}
	if len(found) != 8 || found["client-4"] {
		t.Errorf("found %v, want every client but client-4", found)
	}
}

// TestKeyThatIsTooMuchIsAskedForInParts: a key may be a whole tenant, and touched in all
// of a month.
func TestKeyThatIsTooMuchIsAskedForInParts(t *testing.T) {
	b := newBench(t)
	events := append(working("client", schemas.SourceStream), refused("client", 3, schemas.SourceStream)...)
	for _, e := range events {
		e.Time, e.LogID = e.Time.Add(10*24*time.Hour), e.LogID+"again"
		events = append(events, e)
	}
	b.insert(events...)
	stop := b.startOn(&narrowStore{FindingStore: b.store, most: 9, span: 26 * 24 * time.Hour}, b.broker.Publisher(b.t), nil)
	defer stop()
	b.settle()
	if found := b.findings("acme"); len(found) != 2 || found[1].Last.Sub(found[0].Last) != 10*24*time.Hour {
		t.Errorf("found %+v, want two, ten days apart", found)
	}
}

// TestStoreThatIsShortOfMemoryIsAskedForLess: others may need it for long.
func TestStoreThatIsShortOfMemoryIsAskedForLess(t *testing.T) {
	b := newBench(t)
	for n := range 5 {
		client := fmt.Sprint("client-", n)
		b.insert(append(working(client, schemas.SourceStream), refused(client, 3, schemas.SourceStream)...)...)
	}
	stop := b.startOn(&narrowStore{FindingStore: b.store, most: 9, short: 2}, b.broker.Publisher(b.t), nil)
	defer stop()
	b.settle()
	if found := b.findings("acme"); len(found) != 5 {
		t.Errorf("found %+v, want one of every client", found)
	}
}

// TestQueryOverItsLimitIsTold: the real store names a query that is too large.
func TestQueryOverItsLimitIsTold(t *testing.T) {
	b := newBench(t)
	q := schemas.Query{SQL: `SELECT toString(number) AS key, toUInt64(0), toUInt64(0), toUInt64(0), toUInt64(0), CAST([], 'Array(String)'),
		CAST([], 'Array(String)'), toUInt8(0), toUInt64(0), toFloat64(0), toUInt64(0) FROM numbers(10000000) ORDER BY cityHash64(number) SETTINGS max_memory_usage = 20000000`}
	if _, err := b.store.Correlate(t.Context(), q); !errors.Is(err, schemas.ErrQueryTooLarge) {
		t.Errorf("got %v, want ErrQueryTooLarge", err)
	}
}

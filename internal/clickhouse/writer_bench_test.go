package clickhouse_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func realistic(n int, at time.Time) schemas.Event {
	e := event(n, at)
	e.ClientID = fmt.Sprintf("client-%d", n%212)
	filler := make([]byte, 120)
	rand.Read(filler)
	e.Raw = fmt.Appendf(nil, `{"log_id":"%s","data":{"date":"%s","type":"seccft","client_id":"%s","client_name":"invoice-sync","ip":"203.0.113.7","user_agent":"curl/8","details":{"x":"%x"},"scope":"%0800d"}}`, e.LogID, at, e.ClientID, filler, 1)
	return e
}

func BenchmarkInsertEvents(b *testing.B) {
	db := clickhousetest.New(b)
	w := clickhouse.NewWriter(db)
	batch := make([]schemas.Event, 25000)
	for i := range batch {
		batch[i] = realistic(i, noon().Add(time.Duration(i)*time.Millisecond))
	}
	b.Log(len(batch[0].Raw))
	b.ReportAllocs()
	for b.Loop() {
		if err := w.InsertEvents(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "events/s")
}

package clickhouse_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestLatestMatchesAreThoseOfEachKeyAndSelector(t *testing.T) {
	db := clickhousetest.New(t)
	last := func(selector, tenant, key string, at time.Time) schemas.LatestMatch {
		return schemas.LatestMatch{Selector: selector, Tenant: tenant, Key: key, Last: at}
	}
	since := noon().Add(-5 * 24 * time.Hour).Truncate(24 * time.Hour)
	var matches []schemas.Match
	for i, m := range []schemas.LatestMatch{
		last("refused", "acme", "billing", noon()),
		last("refused", "acme", "billing", noon().Add(-time.Hour)),
		last("refused", "acme", "web", since),
		last("refused", "acme", "old", since.Add(-time.Millisecond)),
		last("refused", "other", "billing", noon().Add(-2*time.Hour)),
		last("issued", "acme", "billing", noon().Add(-3*time.Hour)),
		last("called", "acme", "billing", noon()),
	} {
		matches = append(matches, schemas.Match{Selector: m.Selector, Tenant: m.Tenant, Key: m.Key, Time: m.Last, LogID: string(rune('a' + i)), ClientID: m.Key, Ver: 1, Source: schemas.SourceStream})
	}
	if err := clickhouse.NewWriter(db).InsertMatches(t.Context(), matches); err != nil {
		t.Fatal(err)
	}
	ask := func(limit int) []schemas.LatestMatch {
		got, err := clickhouse.NewFindingStore(db).LatestMatches(t.Context(), []string{"refused", "issued"}, since, limit)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got, func(a, b schemas.LatestMatch) int {
			return cmp.Or(cmp.Compare(a.Selector, b.Selector), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Key, b.Key))
		})
		return got
	}
	want := []schemas.LatestMatch{
		last("issued", "acme", "billing", noon().Add(-3*time.Hour)),
		last("refused", "acme", "billing", noon()),
		last("refused", "acme", "web", since),
		last("refused", "other", "billing", noon().Add(-2*time.Hour)),
	}
	if diff := gocmp.Diff(want, ask(10)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := ask(1); len(got) != 2 || got[0].Selector == got[1].Selector {
		t.Errorf("one key of each selector: %+v", got)
	}
}

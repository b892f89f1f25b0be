package clickhouse_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestTheLastDeclarationOfAnIdentityCounts(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	store := clickhouse.NewExpectations(db)
	at := time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)
	of := func(tenant, identity string, at time.Time, e schemas.Expect) schemas.Expectation {
		return schemas.Expectation{Tenant: tenant, Identity: identity, Expect: e, DeclaredAt: at}
	}
	networks := schemas.Expect{Networks: []string{"198.51.100.0/24"}, Clouds: []string{"AS64500"}, Runtimes: []string{"it's*"}, Cadence: "26h", Expires: "2027-01-01"}
	for _, list := range [][]schemas.Expectation{
		{of("acme", "app:a", at, schemas.Expect{Cadence: "1h"}), of("acme", "app:b", at, networks), of("other", "app:a", at, networks)},
		{of("acme", "app:a", at.Add(time.Second), networks)},
		{of("acme", "app:b", at.Add(time.Second), schemas.Expect{})},
	} {
		if err := store.Declare(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	want := []schemas.Expectation{of("acme", "app:a", at.Add(time.Second), networks), of("other", "app:a", at, networks)}
	findings := clickhouse.NewFindingStore(db)
	got, err := findings.Expectations(t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err = store.Expectations(t.Context(), "acme"); err != nil || len(got) != 1 {
		t.Errorf("of a tenant: %v, %v", got, err)
	}
	touches, flushes, err := findings.Touched(t.Context(), 10)
	if err != nil || len(flushes) != 3 || len(touches) != 5 {
		t.Errorf("%d touches of %d flushes, %v; want 5 of 3", len(touches), len(flushes), err)
	}
	for _, touch := range touches {
		if touch.Selector != schemas.SelectorExpected {
			t.Errorf("a touch of %s", touch.Selector)
		}
	}
	if err := store.Declare(t.Context(), []schemas.Expectation{of("acme", "app:a", time.Time{}, networks)}); err == nil {
		t.Error("a declaration of no time is stored")
	}
}

package clickhouse_test

import (
	"errors"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestReaderNeedsNoMoreThanTheRightsOfTheAPI(t *testing.T) {
	home := clickhousetest.New(t)
	insertEvents(t, home, events(2, noon()))
	insertFindings(t, home, finding(1))
	db, _ := connectThrough(t, home, clickhouse.RoleAPI)
	r := clickhouse.NewReader(db)

	listed, err := r.Events(t.Context(), schemas.EventFilter{Tenant: "acme"})
	one, errOne := r.Event(t.Context(), "acme", event(0, noon()).LogID)
	stats, errStats := r.Stats(t.Context(), schemas.StatsFilter{By: []string{"type"}})
	findings, errFindings := r.Findings(t.Context(), schemas.FindingFilter{})
	found, errFinding := r.Finding(t.Context(), finding(1).ID)
	_, errStatus := r.Status(t.Context())
	if err := errors.Join(err, errOne, errStats, errFindings, errFinding, errStatus); err != nil {
		t.Fatal(err)
	}
	if len(listed) != 2 || len(one.Raw) == 0 || len(stats) != 2 || len(findings) != 1 || found.ID != finding(1).ID {
		t.Errorf("got %d events, %d raw bytes, %d counts, %d findings, finding %q", len(listed), len(one.Raw), len(stats), len(findings), found.ID)
	}
}

package clickhouse_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestFirstLiveEventIsNoneOfAnImport(t *testing.T) {
	db := clickhousetest.New(t)
	s := clickhouse.NewFindingStore(db)
	imported, repaired, live, later := event(0, noon().AddDate(0, 0, -9)), event(3, noon().AddDate(0, 0, -8)), event(6, noon().AddDate(0, 0, -5)), event(9, noon())
	imported.Source, repaired.Source, live.Source = schemas.SourceImport, schemas.SourceRepair, schemas.SourcePull
	insertEvents(t, db, []schemas.Event{imported, repaired})
	if got, err := s.FirstLive(t.Context(), "acme"); !got.IsZero() || err != nil {
		t.Errorf("%s, %v; want none", got, err)
	}
	insertEvents(t, db, []schemas.Event{later, live})
	if got, err := s.FirstLive(t.Context(), "acme"); !got.Equal(live.Time) || err != nil {
		t.Errorf("%s, %v; want %s", got, err, live.Time)
	}
	if got, err := s.FirstLive(t.Context(), "globex"); !got.IsZero() || err != nil {
		t.Errorf("another tenant: %s, %v; want none", got, err)
	}
}

func TestWarmAreThoseWithSuccessesAndHistory(t *testing.T) {
	db := clickhousetest.New(t)
	at := noon()
	day := at.Truncate(24 * time.Hour)
	for i, c := range []struct {
		identity, outcome string
		day               int
		count             int
	}{
		{"app:warm", "success", -8, 1},
		{"app:warm", "success", -1, 19},
		{"app:few", "success", -8, 1},
		{"app:few", "success", -1, 18},
		{"app:young", "success", -6, 50},
		{"app:failing", "failure", -9, 50},
		{"app:today", "success", -8, 1},
		{"app:today", "success", 0, 50},
	} {
		d := day.AddDate(0, 0, c.day)
		clickhousetest.Exec(t, db, fmt.Sprintf("INSERT INTO counts_daily (tenant, day, client_id, identity, outcome, count, first, last, ver) VALUES ('acme', '%s', '%d', '%s', '%s', %d, '%s', '%s', 1)",
			d.Format(time.DateOnly), i, c.identity, c.outcome, c.count, d.Format("2006-01-02 15:04:05"), d.Format("2006-01-02 15:04:05")))
	}
	got, err := clickhouse.NewFindingStore(db).Warm(t.Context(), "acme", []string{"app:warm", "app:few", "app:young", "app:failing", "app:today"}, at)
	if diff := cmp.Diff(map[string]bool{"app:warm": true}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestRotationsAreThoseOfCommands(t *testing.T) {
	db := clickhousetest.New(t)
	at := noon()
	var calls []schemas.ProvisionCall
	for i, c := range []struct {
		ago           time.Duration
		command, path string
		outcome       schemas.ProvisionOutcome
	}{
		{30 * time.Minute, "apps rotate", "/api/v2/clients/secret/rotate-secret", schemas.ProvisionDone},
		{20 * time.Minute, "apps rotate", "/api/v2/clients/key/credentials/cred_1", schemas.ProvisionUnknown},
		{40 * time.Minute, "apps rotate", "/api/v2/clients/key", schemas.ProvisionDone},
		{10 * time.Minute, "apps update", "/api/v2/clients/other", schemas.ProvisionDone},
		{10 * time.Minute, "apps rotate", "/api/v2/clients/refused/rotate-secret", schemas.ProvisionRefused},
		{61 * time.Minute, "apps rotate", "/api/v2/clients/past/rotate-secret", schemas.ProvisionDone},
		{10 * time.Minute, "apps rotate", "/api/v2/clients/secretly/rotate-secret", schemas.ProvisionDone},
		{5 * time.Minute, "users password", "/api/v2/users/auth0%7Crobot", schemas.ProvisionDone},
	} {
		calls = append(calls, schemas.ProvisionCall{
			ID: fmt.Sprint(i), At: at.Add(-c.ago), Domain: "acme.eu.auth0.com", ClientID: "ops", Operator: "jane@ops-1", Command: c.command, Method: "POST", Path: c.path, Outcome: c.outcome,
		})
	}
	if err := clickhouse.NewProvisionLog(db).RecordCalls(t.Context(), calls); err != nil {
		t.Fatal(err)
	}
	got, err := clickhouse.NewFindingStore(db).Rotations(t.Context(),
		[]string{"app:secret", "app:key", "app:other", "app:refused", "app:past", "user:auth0|robot", "agent:a"}, at.Add(-time.Hour), at)
	want := map[string]schemas.Rotation{
		"app:secret":       {At: at.Add(-30 * time.Minute), Command: "apps rotate", Operator: "jane@ops-1"},
		"app:key":          {At: at.Add(-20 * time.Minute), Command: "apps rotate", Operator: "jane@ops-1"},
		"user:auth0|robot": {At: at.Add(-5 * time.Minute), Command: "users password", Operator: "jane@ops-1"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

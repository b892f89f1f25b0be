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
	insert := func(table, column, id, kind string, days, count int) {
		d := day.AddDate(0, 0, days).Format(time.DateOnly)
		clickhousetest.Exec(t, db, fmt.Sprintf("INSERT INTO %s (tenant, day, %s, type, outcome, count, first, last, ver) VALUES ('acme', '%s', '%s', '%s', '%s', %d, '%s 00:00:00', '%s 00:00:00', 1)",
			table, column, d, id, kind, map[bool]string{true: "failure", false: "success"}[kind[0] == 'f'], count, d, d))
	}
	for _, c := range []struct {
		client, kind string
		days, count  int
	}{
		{"warm", "seccft", -8, 1},
		{"warm", "seccft", -1, 19},
		{"few", "seccft", -8, 1},
		{"few", "seccft", -1, 18},
		{"young", "seccft", -6, 50},
		{"failing", "feccft", -9, 50},
		{"today", "seccft", -8, 1},
		{"today", "seccft", 0, 50},
	} {
		insert("usage_daily", "client_id", c.client, c.kind, c.days, c.count)
	}
	insert("counts_daily", "identity", "user:robot", "sepft", -8, 30)
	got, err := clickhouse.NewFindingStore(db).Warm(t.Context(), "acme", []string{"app:warm", "app:few", "app:young", "app:failing", "app:today", "user:robot", ""}, at)
	if diff := cmp.Diff(map[string]bool{"app:warm": true, "user:robot": true}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	n, err := clickhouse.NewReader(db).CountWarm(t.Context(), at)
	if want := (schemas.WarmCount{Warm: 1, Identities: 4}); n != want || err != nil {
		t.Errorf("counted %+v, %v; want %+v", n, err, want)
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

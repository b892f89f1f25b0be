package clickhouse_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func provisionCall(id string, at time.Time) schemas.ProvisionCall {
	return schemas.ProvisionCall{
		ID: id, At: at, Domain: "acme.eu.auth0.com", ClientID: "provisioner", Operator: "jane@ops", Command: "apps rotate",
		Method: "POST", Path: "/api/v2/clients/invoice%2Fsync/rotate-secret", Outcome: schemas.ProvisionBegun,
	}
}

// A call is there once, as the last that is known of it, in whatever order that came.
func TestCallsOfProvisioningAreRecordedOnce(t *testing.T) {
	db := clickhousetest.New(t)
	log := clickhouse.NewProvisionLog(db)
	record := func(calls ...schemas.ProvisionCall) {
		t.Helper()
		if err := log.RecordCalls(t.Context(), calls); err != nil {
			t.Fatal(err)
		}
	}
	ended := provisionCall("a", noon())
	ended.Outcome, ended.Made = schemas.ProvisionDone, "cgr_1"
	lost := provisionCall("b", noon())
	lost.Outcome = schemas.ProvisionUnknown
	died := provisionCall("c", noon().Add(time.Minute))
	died.Domain, died.ClientID = "globex.auth0.com", "terraform"
	record(provisionCall("a", noon()), died)
	record(lost, ended)
	record(provisionCall("b", noon()), provisionCall("a", noon()), ended) // as a journal that is taken in twice
	got, err := log.Calls(t.Context(), schemas.ProvisionFilter{})
	if diff := cmp.Diff([]schemas.ProvisionCall{died, ended, lost}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for name, c := range map[string]struct {
		f    schemas.ProvisionFilter
		want []string
	}{
		"domain":    {schemas.ProvisionFilter{Domain: "globex.auth0.com"}, []string{"c"}},
		"client_id": {schemas.ProvisionFilter{ClientID: "provisioner"}, []string{"a", "b"}},
		"from":      {schemas.ProvisionFilter{From: noon().Add(time.Second)}, []string{"c"}},
		"to":        {schemas.ProvisionFilter{To: noon().Add(time.Minute)}, []string{"a", "b"}},
		"limit":     {schemas.ProvisionFilter{Limit: 2}, []string{"c", "a"}},
		"after":     {schemas.ProvisionFilter{After: &schemas.ProvisionCursor{At: ended.At, ID: "a"}}, []string{"b"}},
	} {
		calls, err := log.Calls(t.Context(), c.f)
		ids := []string{}
		for i := range calls {
			ids = append(ids, calls[i].ID)
		}
		if !slices.Equal(ids, c.want) || err != nil {
			t.Errorf("%s: got %q, %v, want %q", name, ids, err, c.want)
		}
	}
}

func TestACallOfNoTimeIsRefused(t *testing.T) {
	log := clickhouse.NewProvisionLog(clickhousetest.New(t))
	if err := log.RecordCalls(t.Context(), []schemas.ProvisionCall{provisionCall("a", time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC))}); err == nil {
		t.Error("it is recorded at another time")
	}
}

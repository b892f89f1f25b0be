package query_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func summary(id string) schemas.IdentitySummary {
	return schemas.IdentitySummary{Tenant: "acme", ID: id, Kind: schemas.KindMachine, First: now.Add(-time.Hour), Last: now, Count: 9, Failures: 2}
}

// inventoryOfA is what the inventory has of app:a.
func inventoryOfA() map[string]schemas.IdentityInventory {
	return map[string]schemas.IdentityInventory{"app:a": {
		Type: "non_interactive", Owner: "billing", Purpose: "nightly invoices", Expires: "2026-06-30", Created: now.AddDate(-1, 0, 0), Programmatic: true,
		AuthMethod: "private_key_jwt", LastSuccess: "2025-03-14",
		Grants:      []schemas.IdentityGrant{{ID: "cgr_1", Audience: "https://api", Scopes: []string{"read:invoices"}, TokenLifetime: 3600}},
		Credentials: []schemas.IdentityCredential{{ID: "cred_1", Name: "key 1", Type: "public_key", KeyID: "k-1", Created: now.AddDate(-1, 0, 0), Expires: "2026-01-01T00:00:00.000Z"}},
	}}
}

func TestIdentitiesAnswer(t *testing.T) {
	s := &store{who: []schemas.IdentitySummary{summary("app:a"), summary("user:u")}, names: map[string]string{"a": "Invoice Sync"}, has: inventoryOfA()}
	srv := api(t, s, query.Config{})
	golden(t, "identities.json", ok(t, srv, "/v1/identities?tenant=acme&identity_kind=machine&network=192.0.2.*&from=24h&limit=2"))
	next := decode[schemas.IdentityPage](t, ok(t, srv, "/v1/identities?limit=2")).Next
	ok(t, srv, "/v1/identities?all=true&cursor="+next)
	names, has := []string{"acme", "a"}, []string{"inventory of", "acme", "app:a", "user:u"}
	want := []any{
		schemas.IdentityFilter{
			Tenant: "acme", Known: true, From: now.Add(-24 * time.Hour), Limit: 2,
			Where: []schemas.Condition{
				{Field: "identity_kind", Values: []schemas.Pattern{{"machine"}}},
				{Field: "network", Values: []schemas.Pattern{{"192.0.2.", ""}}},
			},
		},
		names, has,
		schemas.IdentityFilter{Known: true, Limit: 2},
		names, has,
		schemas.IdentityFilter{Limit: 100, After: &schemas.IdentityCursor{Last: now, Tenant: "acme", ID: "user:u"}},
		names, has,
	}
	if diff := cmp.Diff(want, s.asked, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if p, _ := problem(t, srv, "/v1/identities?cursor=abc"); p.Code != "cursor_invalid" {
		t.Errorf("a cursor of nothing: %+v", p)
	}
}

func TestIdentityAnswer(t *testing.T) {
	s := &store{
		who:   []schemas.IdentitySummary{summary("app:a")},
		names: map[string]string{"a": "Invoice Sync"},
		has:   inventoryOfA(),
		seen: []schemas.Presence{
			{Attribute: schemas.AttributeIdentity, Days: 3, Count: 9, First: now, Last: now},
			{Attribute: schemas.AttributeNetwork, Value: "192.0.2.0/24", Days: 2, Count: 9, First: now, Last: now},
			{Attribute: schemas.AttributeASN, Value: "64500", Days: 1, Count: 1, First: now, Last: now},
		},
		rows:     []schemas.StatsRow{{Values: []string{"seccft"}, Count: 7}, {Values: []string{""}, Count: 2}},
		findings: []schemas.Finding{finding()},
	}
	srv := api(t, s, query.Config{})
	golden(t, "identity.json", ok(t, srv, "/v1/identities/acme/app%3Aa?from=2025-03-13T05:00:00Z&to=2025-03-14T05:00:00Z"))
	day := func(n int) time.Time { return time.Date(2025, 3, n, 0, 0, 0, 0, time.UTC) }
	for _, asked := range s.asked {
		switch f := asked.(type) {
		case schemas.IdentityFilter:
			if !f.From.Equal(day(13)) || !f.To.Equal(day(15)) {
				t.Errorf("asked for %s to %s, want whole days", f.From, f.To)
			}
		case []any:
			if last := f[3].(time.Time); last.Before(day(14)) || !last.Before(day(15)) {
				t.Errorf("asked what was seen until the day of %s, want the 14th", last)
			}
		case schemas.FindingFilter:
			if f.Identity != "app:a" {
				t.Errorf("asked for findings of %q", f.Identity)
			}
		}
	}
	s.who = nil
	if p, _ := problem(t, srv, "/v1/identities/acme/app:none"); p.Status != http.StatusNotFound || !strings.Contains(p.Detail, "app:none") {
		t.Errorf("an identity that was not seen: %+v", p)
	}
}

func TestUsageAnswer(t *testing.T) {
	s := &store{
		usage: []schemas.UsageRow{
			{Time: now.Truncate(24 * time.Hour), Tenant: "acme", Values: []string{"a", "https://api"}, Issued: 7, Failed: 1},
			{Time: now.Truncate(24 * time.Hour), Tenant: "acme", Values: []string{"b", "https://acme.eu.auth0.com/api/v2/"}, BuiltIn: true, Issued: 5},
		},
		names: map[string]string{"a": "Invoice Sync"},
	}
	srv := api(t, s, query.Config{})
	golden(t, "usage.json", ok(t, srv, "/v1/usage?tenant=acme&by=client_id,audience&interval=day&from=30d&client_id=a,b"))
	got := decode[schemas.UsagePage](t, ok(t, srv, "/v1/usage?by=client_id,audience&limit=1"))
	if len(got.Rows) != 1 || !got.Truncated {
		t.Errorf("one row of two: %+v", got)
	}
	where := []schemas.Condition{{Field: "client_id", Values: []schemas.Pattern{{"a"}, {"b"}}}}
	from := now.AddDate(0, 0, -30)
	want := []any{
		schemas.UsageFilter{Tenant: "acme", By: []string{"client_id", "audience"}, Where: where, Interval: schemas.IntervalDay, From: from, Limit: 1001},
		schemas.UsageFilter{Tenant: "acme", Where: where, From: from, Limit: 1001},
	}
	if diff := cmp.Diff(want, s.asked[:2]); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	for _, by := range []string{"type", "client_id,client_id"} {
		if p, _ := problem(t, srv, "/v1/usage?by="+by); p.Code != "parameter_invalid" || !strings.Contains(p.Detail, "by") {
			t.Errorf("by %s: %+v", by, p)
		}
	}
}

func TestEventTypesAnswer(t *testing.T) {
	types, err := schemas.EventTypes().With("file", "code\ttitle\tcategory\toutcome\tmachine\nzz_new\tNew\t\tinfo\t\n")
	if err != nil {
		t.Fatal(err)
	}
	got := decode[schemas.EventTypePage](t, ok(t, api(t, &store{}, query.Config{Catalogue: types}), "/v1/event-types"))
	if len(got.EventTypes) != types.Len() {
		t.Errorf("%d types, want %d", len(got.EventTypes), types.Len())
	}
	for _, want := range []schemas.EventTypeView{
		{Code: "zz_new", Title: "New", Outcome: schemas.OutcomeInfo},
		{Code: "feccft", Outcome: schemas.OutcomeFailure, Machine: schemas.MachineClassM2M},
	} {
		found := false
		for _, v := range got.EventTypes {
			found = found || v.Code == want.Code && v.Outcome == want.Outcome && v.Machine == want.Machine
		}
		if !found {
			t.Errorf("%+v is missing", want)
		}
	}
}

func TestRealStoreTellsWhoWasThereAndWhatTheyUsed(t *testing.T) {
	srv, _ := engineAPI(t, 10)
	page := decode[schemas.IdentityPage](t, ok(t, srv, "/v1/identities?tenant=acme&all=true"))
	if len(page.Identities) != 1 || page.Identities[0].Count != 10 || page.Identities[0].Failures != 10 {
		t.Fatalf("identities: %+v, want the one of all 10 failures", page.Identities)
	}
	if known := decode[schemas.IdentityPage](t, ok(t, srv, "/v1/identities?tenant=acme")); len(known.Identities) != 0 {
		t.Errorf("one that never succeeded is listed: %+v", known.Identities)
	}
	id := page.Identities[0].ID
	d := decode[schemas.IdentityDetail](t, ok(t, srv, "/v1/identities/acme/"+id))
	if d.Count != 10 || d.Days != 1 || len(d.Networks) != 1 || d.Networks[0].Count != 10 || len(d.Types) != 1 || d.Types[0] != (schemas.Tally{Value: "feccft", Count: 10}) {
		t.Errorf("identity: %+v", d)
	}
	usage := decode[schemas.UsagePage](t, ok(t, srv, "/v1/usage?tenant=acme"))
	if usage.Billed != (schemas.UsageTotal{Failed: 10}) || len(usage.Rows) != 3 {
		t.Fatalf("usage: %+v", usage)
	}
	for _, row := range usage.Rows {
		if row.ClientName != "Invoice Sync" || !strings.HasPrefix(row.ClientID, "client-") {
			t.Errorf("a client and its name: %+v", row)
		}
	}
}

package processor

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// customEvent makes a CloudEvent of a type around its data.
func customEvent(eventType, data string) string {
	return `{"specversion":"1.0","id":"1","source":"/billing","type":"` + eventType + `","time":"2025-06-07T10:09:10.1234+02:00","data":` + data + `}`
}

func customLog(raw string) schemas.Log {
	log := streamLog(raw)
	log.Source = schemas.SourceCustom
	return log
}

func normalizeCustom(t *testing.T, raw string) schemas.Event {
	t.Helper()
	log := customLog(raw)
	e, err := NewNormalizer(schemas.EventTypes(), nil).Normalize(&log)
	if err != nil {
		t.Fatalf("Normalize(%s): %v", raw, err)
	}
	return e
}

func TestNormalizeKeepsEveryFieldOfATokensUse(t *testing.T) {
	t.Parallel()
	raw := customEvent("token.used", `{"jti":"j1","client_id":"abc","client_name":"Invoice Sync","ip":"192.0.2.77","user_agent":"curl/8",
		"api":"https://api.example.com","scope":"read:a write:a","method":"get","path":"/invoices?x=1","status":204,"organization_id":"org_1",
		"organization_name":"Acme","user_name":"n","description":"d","log_id":"90020250102","type":"seccft","date":"2020-01-01T00:00:00Z","other":{"client_id":"no"}}`)
	log := customLog(raw)
	log.Masked = true
	got, err := NewNormalizer(schemas.EventTypes(), somePlaces{"192.0.2.77": {ASN: 64500}}).Normalize(&log)
	if err != nil {
		t.Fatal(err)
	}
	ce := schemas.CloudEvent{Source: "/billing", ID: "1"}
	want := schemas.Event{
		Tenant: "acme", ClientID: "abc", Time: dated, LogID: ce.LogID(),
		Ver:  schemas.Place{ASN: 64500, Edition: 7}.Version(schemas.Version(schemas.SourceCustom, schemas.NormalizerVersion, []byte(raw))),
		Type: "custom:token.used", Outcome: schemas.OutcomeSuccess, Description: "d",
		Identity:   schemas.Identity{ID: "app:abc", Kind: schemas.KindMachine, Reason: "custom"},
		ClientName: "Invoice Sync", UserName: "n", IP: "192.0.2.77", Network: "192.0.2.0/24", ASN: 64500, UserAgent: "curl/8", UserAgentClass: "curl",
		Audience: "https://api.example.com", Scopes: []string{"read:a", "write:a"}, OrganizationID: "org_1", OrganizationName: "Acme", UsedTokenID: "j1",
		Call:   schemas.Call{Method: "GET", Path: "/invoices?x=1", Status: 204},
		Source: schemas.SourceCustom, IngestedAt: log.IngestedAt, Raw: log.Raw, RawMasked: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestCustomDataMayBeAnything(t *testing.T) {
	t.Parallel()
	for data, check := range map[string]func(*schemas.Event) bool{
		`null`:                            func(e *schemas.Event) bool { return e.Identity.Kind == schemas.KindUnknown },
		`"text"`:                          func(e *schemas.Event) bool { return e.ClientID == "" },
		`[{"client_id":"abc"}]`:           func(e *schemas.Event) bool { return e.ClientID == "" },
		`{"client_id":["abc"]}`:           func(e *schemas.Event) bool { return e.ClientID == "" },
		`{"scope":["b","a"]}`:             func(e *schemas.Event) bool { return cmp.Equal(e.Scopes, []string{"b", "a"}) },
		`{"audience":["x","y"]}`:          func(e *schemas.Event) bool { return e.Audience == "x y" },
		`{"audience":"x","api":"y"}`:      func(e *schemas.Event) bool { return e.Audience == "x" },
		`{"client_id":"a","client_id":2}`: func(e *schemas.Event) bool { return e.ClientID == "2" },
		`{"jti":"j1"}`:                    func(e *schemas.Event) bool { return e.UsedTokenID == "" && e.TokenID == "" }, // no use of it
		`{"status":"x"}`:                  func(e *schemas.Event) bool { return e.Call.Status == 0 },
		`{"path":"/api/v2/clients/abc"}`:  func(e *schemas.Event) bool { return e.Call.Target == "" }, // not of the Management API
	} {
		e := normalizeCustom(t, customEvent("com.example.order", data))
		if e.Type != "custom:com.example.order" || !check(&e) {
			t.Errorf("data %s: event %+v", data, e)
		}
	}
}

func TestCustomOutcomeIsSaidElseOfTheCatalogue(t *testing.T) {
	t.Parallel()
	catalogue, err := schemas.EventTypes().With("mine.tsv", "code\ttitle\tcategory\toutcome\tmachine\ncustom:known\tKnown\t\tlimit\tm2m\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		eventType, data string
		want            schemas.Outcome
		cause           schemas.Cause
	}{
		{"token.used", `{"jti":"j"}`, schemas.OutcomeSuccess, ""},
		{"token.used", `{"jti":"j","outcome":"failure"}`, schemas.OutcomeFailure, schemas.CauseOther},
		{"order", `{}`, schemas.OutcomeInfo, ""},
		{"order", `{"outcome":"SUCCESS"}`, schemas.OutcomeInfo, ""},
		{"order", `{"outcome":"unknown"}`, schemas.OutcomeInfo, ""},
		{"order", `{"outcome":"success"}`, schemas.OutcomeSuccess, ""},
		{"known", `{}`, schemas.OutcomeLimit, ""},
		{"known", `{"outcome":"info"}`, schemas.OutcomeInfo, ""},
		{"feccft", `{"description":"Unauthorized"}`, schemas.OutcomeInfo, ""}, // Auth0's code means nothing here
		{"feccft", `{"outcome":"failure","description":"Unauthorized"}`, schemas.OutcomeFailure, schemas.CauseOther},
	} {
		log := customLog(customEvent(test.eventType, test.data))
		e, err := NewNormalizer(catalogue, nil).Normalize(&log)
		if err != nil || e.Outcome != test.want || e.Cause != test.cause {
			t.Errorf("%s %s: outcome %q, cause %q, %v", test.eventType, test.data, e.Outcome, e.Cause, err)
		}
	}
}

func TestCustomIdentityIsThePersonElseTheApplication(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]schemas.Identity{
		`{"client_id":"abc"}`:                                          {ID: "app:abc", Kind: schemas.KindMachine, Reason: "custom"},
		`{"client_id":"abc","user_id":"abc@clients"}`:                  {ID: "app:abc", Kind: schemas.KindMachine, Reason: "clients_subject"},
		`{"user_id":"abc@clients"}`:                                    {ID: "app:abc", Kind: schemas.KindMachine, Reason: "clients_subject"},
		`{"user_id":"auth0|1"}`:                                        {ID: "user:auth0|1", Kind: schemas.KindHuman, Reason: "user"},
		`{"client_id":"abc","user_id":"auth0|1"}`:                      {ID: "user:auth0|1", Kind: schemas.KindHuman, Reason: "user"},
		`{"client_id":"abc","outcome":"failure"}`:                      {Kind: schemas.KindMachine, Reason: "custom"},
		`{"user_id":"abc@clients","outcome":"failure"}`:                {Kind: schemas.KindMachine, Reason: "clients_subject"},
		`{"client_name":"API Explorer Application","client_id":"abc"}`: {ID: "app:abc", Kind: schemas.KindMachine, Reason: "custom"},
		`{"ip":"192.0.2.1"}`:                                           {Kind: schemas.KindUnknown, Reason: "no_signal"},
	} {
		for _, eventType := range []string{"order", "seccft", "sapi"} {
			if got := normalizeCustom(t, customEvent(eventType, data)).Identity; got != want {
				t.Errorf("%s %s: identity %+v, want %+v", eventType, data, got, want)
			}
		}
	}
}

func TestWhatIsNoCustomEventGoesToDEAD(t *testing.T) {
	t.Parallel()
	good := customEvent("order", "{}")
	for raw, want := range map[string]schemas.DeadCode{
		event(`"type":"seccft"`):                                 schemas.DeadCodeLogID,
		strings.Replace(good, `"time"`, `"date"`, 1):             schemas.DeadCodeTime,
		strings.Replace(good, `"2025-06-07T`, `"2025-06-07 `, 1): schemas.DeadCodeTime,
		strings.Replace(good, `"id":"1"`, `"log_id":"1"`, 1):     schemas.DeadCodeLogID,
		good + good: schemas.DeadCodeJSON,
		`[]`:        schemas.DeadCodeJSON,
	} {
		log := customLog(raw)
		e, err := NewNormalizer(schemas.EventTypes(), nil).Normalize(&log)
		if err == nil || refusalOf(err).code != want || e.LogID != "" {
			t.Errorf("%s: event %+v, error %v, want code %s", raw, e, err, want)
		}
	}
}

// FuzzNormalizeCustom claims that a custom event is either refused with a
// reason or has a key that no log of Auth0's can have, whatever was read before.
func FuzzNormalizeCustom(f *testing.F) {
	f.Add([]byte(customEvent("token.used", `{"jti":"j1","client_id":"abc","scope":["a","b"]}`)))
	f.Add([]byte(customEvent("x", `[{"jti":1}]`)))
	f.Add([]byte(event(`"type":"seccft"`)))
	catalogue := schemas.EventTypes()
	used := NewNormalizer(catalogue, nil)
	f.Fuzz(func(t *testing.T, raw []byte) {
		log := customLog(string(raw))
		first, err := used.Normalize(&log)
		again, errAgain := NewNormalizer(catalogue, nil).Normalize(&log)
		if diff := cmp.Diff(first, again); diff != "" || (err == nil) != (errAgain == nil) {
			t.Fatalf("two readings differ (%v, %v):\n%s", err, errAgain, diff)
		}
		if string(log.Raw) != string(raw) {
			t.Fatal("the raw log was changed")
		}
		if err != nil {
			if first.LogID != "" || err.Error() == "" {
				t.Fatalf("error %q with event %+v", err, first)
			}
			return
		}
		if checkLogID(first.LogID) != nil || !strings.HasPrefix(first.LogID, "custom-") || !strings.HasPrefix(first.Type, "custom:") {
			t.Errorf("log_id %q, type %q", first.LogID, first.Type)
		}
		if first.Time.Location() != time.UTC || !first.Time.Equal(first.Time.Truncate(time.Millisecond)) {
			t.Errorf("time %v is not UTC in milliseconds", first.Time)
		}
	})
}

package processor

import (
	"bufio"
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const stampedID = "90020250102030405678000000000000000000000000000000000001"

var (
	stampedTime = time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	dated       = time.Date(2025, 6, 7, 8, 9, 10, 123e6, time.UTC)
)

func streamLog(raw string) schemas.Log {
	return schemas.Log{Tenant: "acme", Source: schemas.SourceStream, IngestedAt: dated.Add(time.Second), Raw: []byte(raw)}
}

func normalize(t *testing.T, raw string) schemas.Event {
	t.Helper()
	log := streamLog(raw)
	e, err := NewNormalizer(schemas.EventTypes(), nil).Normalize(&log)
	if err != nil {
		t.Fatalf("Normalize(%s): %v", raw, err)
	}
	return e
}

// event makes a bare event with a date and a log_id around members.
func event(members string) string {
	return `{"log_id":"` + stampedID + `","date":"2025-06-07T08:09:10.123Z",` + members + `}`
}

func TestNormalizeKeepsEveryField(t *testing.T) {
	t.Parallel()
	raw := `{"log_id":"` + stampedID + `","data":{"date":"2025-06-07T08:09:10.123Z","type":"seccft","description":"d\u00e9j\u00e0","connection_id":"",
		"client_id":"abc","client_name":"Invoice Sync","ip":"10.0.0.1","client_ip":"203.0.113.77","user_agent":"Go-http-client/2.0",
		"hostname":"acme.eu.auth0.com","user_id":"","user_name":"","audience":"https://api.example.com","scope":"read:a write:a",
		"organization_id":"org_1","isMobile":false,"is_mobile":true,"$event_schema":{"version":"1.0.0"},"log_id":"` + stampedID + `","tenant_name":"acme"}}`
	log := streamLog(raw)
	log.Masked = true
	got, err := NewNormalizer(schemas.EventTypes(), nil).Normalize(&log)
	if err != nil {
		t.Fatal(err)
	}
	want := schemas.Event{
		Tenant: "acme", ClientID: "abc", Time: dated, LogID: stampedID,
		Ver:  schemas.Version(schemas.SourceStream, schemas.NormalizerVersion, []byte(raw)),
		Type: "seccft", Outcome: schemas.OutcomeSuccess, Description: "déjà",
		Identity:   schemas.Identity{ID: "app:abc", Kind: schemas.KindMachine, Reason: "client_credentials"},
		ClientName: "Invoice Sync", IP: "10.0.0.1", ClientIP: "203.0.113.77", Network: "203.0.113.0/24", UserAgent: "Go-http-client/2.0", UserAgentClass: "library",
		Audience: "https://api.example.com", Scopes: []string{"read:a", "write:a"}, OrganizationID: "org_1", Hostname: "acme.eu.auth0.com",
		Source: schemas.SourceStream, IngestedAt: log.IngestedAt, Raw: log.Raw, RawMasked: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

// TestNormalizeLeavesNoFieldEmpty holds that every field that no other test of
// a type fills comes from its own place in the log. No single log has all.
func TestNormalizeLeavesNoFieldEmpty(t *testing.T) {
	t.Parallel()
	got := normalize(t, event(`"type":"sapi","user_name":"n@example.com","connection":"Users","connection_id":"con_1","strategy":"auth0","strategy_type":"database",
		"organization_name":"Acme","agent_id":"agt_1","external_agent_id":"ext_1","mtls_thumbprint_sha256":"mt",
		"security_context":{"ja3":"3a","ja4":"4a","other":{"ja3":"no"}},"auth0_client":{"name":"auth0-node","version":"4.1.0","env":{"name":"no"}},
		"references":{"correlation_id":"c1","trace_id":"t1"},"location_info":{"country_code":"NL","country_name":"no"},
		"details":{"access_token_jti":"j1","grant_type":"client_credentials","session_id":"s1","actor":{"sub":"agent|1","act":{"sub":"no"}},
			"request":{"channel":"api","auth":{"credentials":{"jti":"j0","scopes":["jti"]}}},"response":{"statusCode":201,"body":{"statusCode":500}},
			"bucket":"per_day","entity_type":"client","entity_id":"abc","quota":15,"quota_consumption_percentage":73.5,"quota_consumption":11}`))
	want := got
	want.UserName, want.Connection, want.ConnectionID, want.Strategy, want.StrategyType = "n@example.com", "Users", "con_1", "auth0", "database"
	want.OrganizationName, want.AgentID, want.ExternalAgentID, want.MTLSThumbprint = "Acme", "agt_1", "ext_1", "mt"
	want.JA3, want.JA4, want.SDKName, want.SDKVersion = "3a", "4a", "auth0-node", "4.1.0"
	want.CorrelationID, want.TraceID, want.Country = "c1", "t1", "NL"
	want.TokenID, want.UsedTokenID, want.GrantType, want.SessionID, want.ActorSubject = "j1", "j0", "client_credentials", "s1", "agent|1"
	want.Call = schemas.Call{Status: 201, Channel: "api"}
	want.Quota = schemas.Quota{Bucket: "per_day", EntityType: "client", EntityID: "abc", Size: 15, Used: 11, Percent: 73.5}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

// somePlaces are known places, by address.
type somePlaces map[string]schemas.Place

func (p somePlaces) Place(addr netip.Addr) schemas.Place {
	known := p[addr.String()]
	known.Edition = 7
	return known
}

func TestNormalizeAddsThePlaceOfTheAddress(t *testing.T) {
	t.Parallel()
	places := somePlaces{
		"192.0.2.1":       {Country: "NL", ASN: 64500, ASOrg: "Example Cloud"},
		"203.0.113.1":     {Country: "DE", ASN: 64501, ASOrg: "Example Transit"},
		"2001:db8:1:2::3": {ASN: 64502},
	}
	n := NewNormalizer(schemas.EventTypes(), places)
	for members, want := range map[string]schemas.Place{
		`"ip":"192.0.2.1"`:                                       {Country: "NL", ASN: 64500, ASOrg: "Example Cloud"},
		`"ip":"192.0.2.1","client_ip":"203.0.113.1"`:             {Country: "DE", ASN: 64501, ASOrg: "Example Transit"}, // as network does
		`"ip":"192.0.2.1","client_ip":"198.51.100.1"`:            {},
		`"ip":"::ffff:192.0.2.1"`:                                {Country: "NL", ASN: 64500, ASOrg: "Example Cloud"},
		`"ip":"2001:DB8:1:2:0::3%eth0"`:                          {ASN: 64502},
		`"ip":"192.0.2.1","location_info":{}`:                    {Country: "NL", ASN: 64500, ASOrg: "Example Cloud"},
		`"ip":"no address"`:                                      {},
		`"description":"no address"`:                             {},
		`"ip":"192.0.2.1","asn":1,"as_org":"x","country":2`:      {Country: "NL", ASN: 64500, ASOrg: "Example Cloud"},
		`"ip":"192.0.2.1","location_info":{"country_code":"US"}`: {Country: "US", ASN: 64500, ASOrg: "Example Cloud"}, // the log's own
	} {
		log := streamLog(event(`"type":"seccft",` + members))
		e, err := n.Normalize(&log)
		if err != nil {
			t.Fatal(err)
		}
		got := schemas.Place{Country: e.Country, ASN: e.ASN, ASOrg: e.ASOrg}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", members, got, want)
		}
		bare, err := NewNormalizer(schemas.EventTypes(), nil).Normalize(&log)
		if err != nil {
			t.Fatal(err)
		}
		if e.Ver <= bare.Ver {
			t.Errorf("%s: the copy with what the files know does not win over that without", members)
		}
		e.Country, e.ASN, e.ASOrg, e.Ver = bare.Country, 0, "", bare.Ver
		if diff := cmp.Diff(bare, e); diff != "" {
			t.Errorf("%s: more has changed (-without +with):\n%s", members, diff)
		}
	}
}

func TestNormalizeReadsRateLimits(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]schemas.Quota{
		`{"limit":{"bucket":"global_limit","global":true,"size":50},"response":"slow down"}`:       {Bucket: "global_limit", EntityType: "global", Size: 50},
		`{"limit":{"bucket":"b","global":false,"size":"50"}}`:                                      {Bucket: "b", Size: 50},
		`{"limit":"none","quota":-1,"quota_consumption":1.5,"quota_consumption_percentage":"NaN"}`: {},
		`{"limit":{"global":"false"}}`:                                                             {},
		`"a text"`:                                                                                 {},
	} {
		if got := normalize(t, event(`"type":"api_limit","details":`+raw)).Quota; got != want {
			t.Errorf("details %s: got %+v, want %+v", raw, got, want)
		}
	}
}

func TestNormalizeTellsCausesApart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		members string
		want    schemas.Cause
	}{
		{`"type":"seccft","description":"Unauthorized"`, schemas.CauseNone},
		{`"type":"feccft","description":"Unauthorized"`, schemas.CauseCredentials},
		{`"type":"feccft","description":"Failed client authentication","details":{"client_authentication_error":"'exp' claim"}`, schemas.CauseAssertion},
		{`"type":"feccft","description":"Unauthorized","details":{"client_authentoication_error":"bad key"}`, schemas.CauseAssertion},
		{`"type":"feccft","description":"Client quota exceeded"`, schemas.CauseClientQuota},
		{`"type":"feccft","description":"Organization quota exceeded"`, schemas.CauseOrgQuota},
		{`"type":"feccft","description":"Service not enabled within domain: https://x"`, schemas.CauseAudience},
		{`"type":"feccft","description":"Grant type 'client_credentials' not allowed for the client."`, schemas.CauseGrantType},
		{`"type":"feccft","description":"Client is not authorized to access \"https://x\". You need to create a \"client-grant\""`, schemas.CauseMissingGrant},
		{`"type":"feccft","description":"Client has not been granted scopes: write:a"`, schemas.CauseScope},
		{`"type":"feccft","description":"not from this country"`, schemas.CauseOther},
		{`"type":"feccft","description":""`, schemas.CauseOther},
		{`"type":"feacft","description":"Unauthorized"`, schemas.CauseOther},
		{`"type":"fepft","description":"Wrong email or password."`, schemas.CauseUserCredentials},
		{`"type":"fp","description":""`, schemas.CauseUserCredentials},
		{`"type":"no_such_type","description":"Unauthorized"`, schemas.CauseNone},
	} {
		if got := normalize(t, event(tt.members)).Cause; got != tt.want {
			t.Errorf("%s: cause %q, want %q", tt.members, got, tt.want)
		}
	}
}

func TestUserAgentClass(t *testing.T) {
	t.Parallel()
	for userAgent, want := range map[string]string{
		"": "", " ": "", "unknown": "unknown", "Other 0.0.0 / Other 0.0.0": "unknown",
		"Go-http-client/2.0": "library", "python-requests/2.32": "library", "node-fetch": "library", "axios/1.7.2": "library", "okhttp/4.12": "library",
		"curl/8.5.0": "curl", "Wget/1.21": "curl", "PostmanRuntime/7.39.0": "postman", "insomnia/9": "postman",
		"auth0-python/4.7": "sdk", "Go-Auth0/1.49.0": "sdk", "Terraform/1.9 (+https://www.terraform.io) terraform-provider-auth0/1.2": "infrastructure",
		"Mozilla/5.0 (X11; Linux x86_64) Chrome/126": "browser", "Mozilla/5.0 (Windows NT; Windows NT 10.0) WindowsPowerShell/5.1": "curl",
		"invoice-sync 3": "other",
	} {
		if got := UserAgentClass(userAgent); got != want {
			t.Errorf("UserAgentClass(%q) = %q, want %q", userAgent, got, want)
		}
	}
}

func TestNormalizeTellsWhoActed(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]schemas.Identity{
		`"type":"secte","client_id":"abc","user_id":"auth0|1","agent_id":"agt"`:                                                                 {ID: "agent:agt", Kind: schemas.KindMachine, Reason: "agent"},
		`"type":"seta","client_id":"abc","user_id":"auth0|1","external_agent_id":"ours","agent_id":""`:                                          {ID: "agent:ours", Kind: schemas.KindMachine, Reason: "agent"},
		`"type":"fecte","client_id":"abc","agent_id":"agt","details":{"actor":{"sub":"x@clients"}}`:                                             {Kind: schemas.KindMachine, Reason: "token_exchange"},
		`"type":"sdel","client_id":"abc","user_id":"auth0|1","details":{"actor":{"sub":"auth0|2"}}`:                                             {ID: "user:auth0|2", Kind: schemas.KindHuman, Reason: "delegated_login"},
		`"type":"sepft","client_id":"abc","user_id":"auth0|1"`:                                                                                  {ID: "user:auth0|1", Kind: schemas.KindMachine, Reason: "password_grant"},
		`"type":"sscim","client_id":null,"details":{"request":{"method":"POST","path":"/scim/v2/Users"}}`:                                       {Kind: schemas.KindMachine, Reason: "provisioning"},
		`"type":"gd_tenant_update","strategy":"jwt_api2_internal_token","client_id":"abc"`:                                                      {ID: "app:abc", Kind: schemas.KindMachine, Reason: "management_api_token"},
		`"type":"gd_tenant_update","strategy":"","details":{"request":{"auth":{"strategy":"jwt_api2_internal_token","subject":"abc@clients"}}}`: {ID: "app:abc", Kind: schemas.KindMachine, Reason: "clients_subject"},
		`"type":"gd_tenant_update","details":{"request":{"auth":{"strategy":"jwt_api2_internal_token"}}}`:                                       {Kind: schemas.KindMachine, Reason: "management_api_token"},
		`"type":"seccft","client_id":"abc","client_name":"API Explorer Application","audience":"https://acme.eu.auth0.com/api/v2/"`:             {ID: "app:abc", Kind: schemas.KindHuman, Reason: "api_explorer"},
		`"type":"seccft","client_id":"abc","client_name":"All Applications"`:                                                                    {ID: "app:abc", Kind: schemas.KindUnknown, Reason: "global_client"},
	} {
		if got := normalize(t, event(members)).Identity; got != want {
			t.Errorf("%s: got %+v, want %+v", members, got, want)
		}
	}
}

func TestNormalizeAsksTheCatalogueOfNewTypes(t *testing.T) {
	t.Parallel()
	catalogue, err := schemas.EventTypes().With("mine.tsv", "code\ttitle\tcategory\toutcome\tmachine\nbrand_new\tBrand new\t\tsuccess\tdelegated\n")
	if err != nil {
		t.Fatal(err)
	}
	log := streamLog(event(`"type":"brand_new","client_id":"abc","user_id":"auth0|1"`))
	e, err := NewNormalizer(catalogue, nil).Normalize(&log)
	if err != nil {
		t.Fatal(err)
	}
	want := schemas.Identity{ID: "app:abc", Kind: schemas.KindMachine, Reason: "token_exchange"}
	if e.Outcome != schemas.OutcomeSuccess || e.Identity != want {
		t.Errorf("got %s %+v, want %s %+v", e.Outcome, e.Identity, schemas.OutcomeSuccess, want)
	}
}

func TestNormalizeReadsManagementCalls(t *testing.T) {
	t.Parallel()
	got := normalize(t, event(`"type":"sapi","client_id":"abc","user_id":"","details":{"response":{"statusCode":"200","body":{"request":{"path":"/no"}}},
		"request":{"method":"post","path":"/api/v2/clients/x%7Cy/rotate-secret","channel":"api","query":{},"body":[1,{"path":"no"}],
		"auth":{"user":{},"strategy":"jwt","credentials":{"jti":"j1","scopes":["update:clients"]}}}}`))
	want := schemas.Identity{ID: "app:abc", Kind: schemas.KindMachine, Reason: "management_api_application"}
	if got.Identity != want || got.Call.Method != "POST" || got.Call.Path != "/api/v2/clients/x%7Cy/rotate-secret" || got.Call.Target != "app:x|y" {
		t.Errorf("got %+v %s %s → %s", got.Identity, got.Call.Method, got.Call.Path, got.Call.Target)
	}
	got = normalize(t, event(`"details":{"request":{"auth":{"user":{"name":"n","user_id":"auth0|1"}},"channel":"api","method":"PURGE","path":"/x"}},"type":"mgmt_api_read","client_id":"abc"`))
	if got.Identity.ID != "user:auth0|1" || got.Identity.Reason != "dashboard" || got.Call.Method != "PURGE" || got.Call.Target != "" {
		t.Errorf("a user's call: got %+v %s → %q", got.Identity, got.Call.Method, got.Call.Target)
	}
	got = normalize(t, event(`"type":"sapi","details":{"request":{"channel":"api","auth":{"user":"auth0|2"}}}`))
	if got.Identity.ID != "user:auth0|2" {
		t.Errorf("a user as a string: got %+v", got.Identity)
	}
	got = normalize(t, event(`"type":"api_limit","client_id":"abc","details":{"request":{"method":"get","path":"/api/v2/clients/x"}}`))
	if got.Call.Method != "" || got.Call.Path != "" || got.Call.Target != "" {
		t.Errorf("no management call: got %s %s → %s, want nothing", got.Call.Method, got.Call.Path, got.Call.Target)
	}
}

func TestNormalizeFindsTheTarget(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/api/v2/clients/abc":                     "app:abc",
		"/v2/clients/abc/rotate-secret":           "app:abc",
		"/api/v2/clients/abc?fields=name":         "app:abc",
		"/api/v2/users/auth0%7C123":               "user:auth0|123",
		"/api/v2/users/auth0|123/roles":           "user:auth0|123",
		"/v2/users/a%2Fb":                         "user:a/b",
		"/api/v2/users/100%":                      "user:100%",
		"/api/v2/clients":                         "",
		"/api/v2/clients/":                        "",
		"/api/v2/client-grants/cgr_1":             "",
		"/api/v2/organizations/org_1/clients/abc": "",
		"/clients/abc":                            "",
		"/api/v3/clients/abc":                     "",
		"":                                        "",
	} {
		if got := target(path); got != want {
			t.Errorf("target(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestWhatACallMakesIsItsTarget(t *testing.T) {
	t.Parallel()
	call := func(method, path, body string) string {
		return `{"log_id":"` + stampedID + `","date":"2026-03-01T00:00:00Z","type":"sapi","details":{"request":{"method":"` + method + `","path":"` + path + `"},"response":{"statusCode":201,"body":` + body + `}}}`
	}
	for raw, want := range map[string]string{
		call("post", "/api/v2/users", `{"email":"a@example.com","user_id":"auth0|7"}`):              "user:auth0|7",
		call("post", "/api/v2/clients", `{"client_id":"abc","name":"x","user_id":"auth0|7"}`):       "app:abc",
		call("post", "/api/v2/users", `{}`):                                                         "",
		call("post", "/api/v2/users", `"made"`):                                                     "",
		call("post", "/api/v2/users/auth0%7C8/roles", `{"user_id":"auth0|7"}`):                      "user:auth0|8",
		call("post", "/api/v2/roles", `{"user_id":"auth0|7","client_id":"abc"}`):                    "",
		call("patch", "/api/v2/users", `{"user_id":"auth0|7"}`):                                     "",
		call("post", "/api/v2/client-grants", `{"client_id":"abc","user_id":"auth0|7","id":"cgr"}`): "",
	} {
		if got := normalize(t, raw).Call.Target; got != want {
			t.Errorf("%s: target %q, want %q", raw, got, want)
		}
	}
}

// TestNormalizeReadsTheTraps holds every way in which a log is known to differ
// from its schema. none of them may cost the log.
func TestNormalizeReadsTheTraps(t *testing.T) {
	t.Parallel()
	withDate := func(date string) string { return `{"log_id":"` + stampedID + `","date":` + date + `}` }
	type check func(e *schemas.Event) (got, want any)
	at := func(want time.Time) check { return func(e *schemas.Event) (any, any) { return e.Time, want } }
	clientID := func(want string) check { return func(e *schemas.Event) (any, any) { return e.ClientID, want } }
	scope := func(want ...string) check { return func(e *schemas.Event) (any, any) { return e.Scopes, want } }
	audience := func(want string) check { return func(e *schemas.Event) (any, any) { return e.Audience, want } }
	ip := func(ip, network string) check {
		return func(e *schemas.Event) (any, any) { return [2]string{e.Address(), e.Network}, [2]string{ip, network} }
	}
	logID := func(want string) check { return func(e *schemas.Event) (any, any) { return e.LogID, want } }
	kind := func(want string) check { return func(e *schemas.Event) (any, any) { return e.Type, want } }
	description := func(want string) check { return func(e *schemas.Event) (any, any) { return e.Description, want } }
	whole := dated.Truncate(time.Second)
	for _, tt := range []struct {
		name string
		raw  string
		want check
	}{
		{"scope string", event(`"scope":"a b"`), scope("a", "b")},
		{"scope string, spaces", event(`"scope":" a  b "`), scope("a", "b")},
		{"scope array", event(`"scope":["a","b"]`), scope("a", "b")},
		{"scope array of oddities", event(`"scope":["a",null,{"x":["y"]},7,["z"],"b"]`), scope("a", "7", "b")},
		{"scope null", event(`"scope":null`), scope()},
		{"scope empty", event(`"scope":""`), scope()},
		{"scope empty array", event(`"scope":[]`), scope()},
		{"scope object", event(`"scope":{"a":"b"}`), scope()},
		{"audience string", event(`"audience":"https://a"`), audience("https://a")},
		{"audience array", event(`"audience":["https://a",null,"https://b"]`), audience("https://a https://b")},
		{"audience null", event(`"audience":null`), audience("")},

		{"client_id null", event(`"client_id":null`), clientID("")},
		{"client_id missing", event(`"type":"feccft"`), clientID("")},
		{"client_id number", event(`"client_id":12345678901234567890123`), clientID("12345678901234567890123")},
		{"client_id float", event(`"client_id":1.5e3`), clientID("1.5e3")},
		{"client_id boolean", event(`"client_id":true`), clientID("")},
		{"client_id object", event(`"client_id":{"id":"x"}`), clientID("")},
		{"client_id array", event(`"client_id":["x"]`), clientID("")},
		{"client_id twice, last wins", event(`"client_id":"first","client_id":"last"`), clientID("last")},
		{"client_id twice, last is null", event(`"client_id":"first","client_id":null`), clientID("")},
		{"name with escapes", event(`"client\u005fid":"abc"`), clientID("abc")},
		{"name that is escaped and unknown", event(`"x\"client_id":"no"`), clientID("")},

		{"details string", event(`"client_id":"a","details":"text"`), clientID("a")},
		{"details null", event(`"client_id":"a","details":null`), clientID("a")},
		{"details empty string", event(`"details":"","client_id":"a"`), clientID("a")},
		{"details array", event(`"details":[{"request":{}}],"client_id":"a"`), clientID("a")},
		{"request string", event(`"details":{"request":"GET /"},"client_id":"a"`), clientID("a")},
		{"request auth null", event(`"type":"sapi","details":{"request":{"auth":null,"method":7,"path":null,"channel":{}}},"client_id":"a"`), clientID("a")},

		{"date ms", withDate(`"2025-06-07T08:09:10.123Z"`), at(dated)},
		{"date 0 digits", withDate(`"2025-06-07T08:09:10Z"`), at(whole)},
		{"date 1 digit", withDate(`"2025-06-07T08:09:10.1Z"`), at(whole.Add(100 * time.Millisecond))},
		{"date 2 digits", withDate(`"2025-06-07T08:09:10.12Z"`), at(whole.Add(120 * time.Millisecond))},
		{"date 9 digits", withDate(`"2025-06-07T08:09:10.123999999Z"`), at(dated)},
		{"date with a space", withDate(`"2025-06-07 08:09:10.123000000"`), at(dated)},
		{"date with a zone", withDate(`"2025-06-07T10:09:10.123+02:00"`), at(dated)},
		{"date object", withDate(`{"$date":"2025-06-07T08:09:10.123Z"}`), at(dated)},
		{"date object of milliseconds", withDate(`{"$date":1749283750123}`), at(dated)},
		{"date object of a long", withDate(`{"$date":{"$numberLong":"1749283750123"}}`), at(dated)},
		{"date milliseconds", withDate(`1749283750123`), at(dated)},
		{"date object of something else", withDate(`{"when":"2025-06-07T08:09:10.123Z"}`), at(stampedTime)},
		{"date null", withDate(`null`), at(stampedTime)},
		{"date empty", withDate(`""`), at(stampedTime)},
		{"date words", withDate(`"yesterday"`), at(stampedTime)},
		{"date too many digits", withDate(`17492837501230000`), at(stampedTime)},
		{"date missing", `{"log_id":"` + stampedID + `"}`, at(stampedTime)},

		{"ip of v4", event(`"ip":"203.0.113.77"`), ip("203.0.113.77", "203.0.113.0/24")},
		{"ip of v6", event(`"ip":"2001:db8:1:2::3"`), ip("2001:db8:1:2::3", "2001:db8:1::/48")},
		{"ip of v4 in v6", event(`"ip":"::ffff:203.0.113.77"`), ip("::ffff:203.0.113.77", "203.0.113.0/24")},
		{"ip that is none", event(`"ip":"xxxx"`), ip("xxxx", "")},
		{"ip empty", event(`"ip":""`), ip("", "")},
		{"ip null", event(`"ip":null`), ip("", "")},
		{"client_ip first", event(`"ip":"203.0.113.77","client_ip":"198.51.100.1"`), ip("198.51.100.1", "198.51.100.0/24")},
		{"client_ip null", event(`"client_ip":null,"ip":"203.0.113.77"`), ip("203.0.113.77", "203.0.113.0/24")},
		{"client_ip empty", event(`"client_ip":"","ip":"203.0.113.77"`), ip("203.0.113.77", "203.0.113.0/24")},

		{"envelope", `{"log_id":"` + stampedID + `","data":{"type":"s","log_id":"` + stampedID + `"}}`, kind("s")},
		{"envelope, data first", `{"data":{"type":"s"},"log_id":"` + stampedID + `"}`, logID(stampedID)},
		{"envelope without log_id", `{"data":{"type":"s","log_id":"` + stampedID + `"}}`, logID(stampedID)},
		{"envelope's log_id wins", `{"log_id":"` + stampedID + `","data":{"type":"s","log_id":"900other"}}`, logID(stampedID)},
		{"envelope's log_id null", `{"log_id":null,"data":{"type":"s","log_id":"` + stampedID + `"}}`, logID(stampedID)},
		{"envelope with a type of its own", `{"type":"log","log_id":"` + stampedID + `","data":{"type":"s"}}`, kind("s")},
		{"data that is no event", event(`"type":"s","data":{"client_id":"no"}`), kind("s")},
		{"data that is no object", event(`"type":"s","data":"text"`), kind("s")},
		{"data inside data", `{"log_id":"` + stampedID + `","data":{"data":{"type":"no"},"type":"s"}}`, kind("s")},
		{"log_id number", `{"log_id":` + stampedID + `}`, logID(stampedID)},
		{"log_id short", `{"log_id":"1","date":"2025-06-07T08:09:10Z"}`, logID("1")},
		{"type missing", event(`"client_id":"a"`), kind("")},
		{"type unknown", event(`"type":"brand_new"`), kind("brand_new")},

		{"broken UTF-8", event("\"description\":\"a\xffb\""), description("a\uFFFDb")},
		{"broken UTF-8 elsewhere", event("\"\xfe\":\"\xff\",\"description\":\"a\""), description("a")},
		{"lone surrogate", event(`"description":"a\ud800"`), description("a\uFFFD")},
		{"lone surrogate before text", event(`"description":"\udc00bcdefgh"`), description("\uFFFDbcdefgh")},
		{"surrogate pair", event(`"description":"\ud83d\ude00"`), description("😀")},
		{"whitespace around", " \n\t" + event(`"description":"a"`) + "\r\n ", description("a")},
		{"deep details", event(`"description":"a","details":` + strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000)), description("a")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := normalize(t, tt.raw)
			got, want := tt.want(&e)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNormalizeRefusesWhatHasNoKey(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, raw string
		code      schemas.DeadCode
		reason    string
	}{
		{"nothing", ``, "json", "not a JSON object"},
		{"no object", `[]`, "json", "not a JSON object"},
		{"a string", `"x"`, "json", "not a JSON object"},
		{"cut off", `{"log_id":"1`, "json", "unexpected EOF"},
		{"no comma", `{"a":1 "b":2}`, "json", "invalid character"},
		{"name is no string", `{1:2}`, "json", "not a JSON object"},
		{"control character", "{\"a\":\"\n\"}", "json", "invalid character"},
		{"two objects", `{"log_id":"` + stampedID + `"} {}`, "json", "more than one JSON object"},
		{"rubbish behind", `{"log_id":"` + stampedID + `"}x`, "json", "more than one JSON object"},
		{"nested without end", strings.Repeat(`{"data":`, 20000), "json", "not a JSON object"},
		{"nested too deep", event(`"details":` + strings.Repeat(`[`, 20000) + strings.Repeat(`]`, 20000)), "json", "depth"},
		{"no log_id", `{"date":"2025-06-07T08:09:10.123Z","type":"s"}`, "log_id", "no log_id"},
		{"log_id null", `{"log_id":null,"data":{"type":"s","log_id":null}}`, "log_id", "no log_id"},
		{"log_id too long", `{"log_id":"` + strings.Repeat("9", 65) + `"}`, "log_id", "65 characters"},
		{"log_id with a space", `{"log_id":"900 1"}`, "log_id", "printable ASCII"},
		{"log_id not ASCII", `{"log_id":"900é"}`, "log_id", "printable ASCII"},
		{"log_id with a control character", `{"log_id":"900\u0000"}`, "log_id", "printable ASCII"},
		{"no time", `{"log_id":"XXX","type":"s"}`, "time", "no date"},
		{"no time that can be read", `{"log_id":"XXX","date":"yesterday"}`, "time", `"yesterday"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			log := streamLog(tt.raw)
			_, err := NewNormalizer(schemas.EventTypes(), nil).Normalize(&log)
			if err == nil {
				t.Fatal("no error")
			}
			if got := refusalOf(err); got.code != tt.code || !strings.Contains(got.reason, tt.reason) {
				t.Errorf("got %s: %s, want %s: …%s…", got.code, got.reason, tt.code, tt.reason)
			}
			if reason := err.Error(); len(reason) > 300 || strings.ContainsAny(reason, "\n\x00") {
				t.Errorf("reason is no short line: %q", reason)
			}
		})
	}
}

func TestNormalizeTellsWhatIsOdd(t *testing.T) {
	t.Parallel()
	n := NewNormalizer(schemas.EventTypes(), nil)
	for _, tt := range []struct {
		raw  string
		want oddity
	}{
		{event(`"type":"s"`), 0},
		{event(`"type":"s","type":"s"`), oddDuplicate},
		{`{"log_id":"` + stampedID + `","log_id":"` + stampedID + `","data":{"type":"s"}}`, oddDuplicate},
		{`{"log_id":"` + stampedID + `","data":{"type":"s","log_id":"other"}}`, oddLogID},
		{event(`"type":"f"`), 0},
	} {
		log := streamLog(tt.raw)
		if _, err := n.Normalize(&log); err != nil {
			t.Fatal(err)
		}
		if n.odd != tt.want {
			t.Errorf("%s: odd %b, want %b", tt.raw, n.odd, tt.want)
		}
	}
}

func TestNetworkOfAnAddress(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"192.0.2.255":           "192.0.2.0/24",
		"2001:db8:ffff:1::1":    "2001:db8:ffff::/48",
		"::ffff:192.0.2.1":      "192.0.2.0/24",
		"fe80::1%eth0":          "fe80::/48",
		"::ffff:192.0.2.1%eth0": "192.0.2.0/24",
		"::1":                   "::/48",
		"192.0.2.1:443":         "",
		"192.0.2":               "",
		"xxxx":                  "",
		"":                      "",
	} {
		if got := Network(ip); got != want {
			t.Errorf("Network(%q) = %q, want %q", ip, got, want)
		}
	}
}

// sampleFiles are the awkward logs in the tree and, where the folder with logs
// that others have published is at hand, those too.
func sampleFiles(tb testing.TB) []string {
	tb.Helper()
	var files []string
	for _, pattern := range []string{"testdata/*.jsonl", "../../shared/data/samples/*.jsonl"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			tb.Fatal(err)
		}
		files = append(files, found...)
	}
	return files
}

func sampleLines(tb testing.TB, file string) [][]byte {
	tb.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	var lines [][]byte
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		lines = append(lines, bytes.Clone(scanner.Bytes()))
	}
	return lines
}

// TestNormalizeReadsEverySample claims that a sample becomes an event unless
// it truly has no log_id: the one thing that some of the published ones lack.
func TestNormalizeReadsEverySample(t *testing.T) {
	t.Parallel()
	own := 0
	n := NewNormalizer(schemas.EventTypes(), nil)
	for _, file := range sampleFiles(t) {
		for i, raw := range sampleLines(t, file) {
			if strings.HasPrefix(file, "testdata/") {
				own++
			}
			log := streamLog(string(raw))
			e, err := n.Normalize(&log)
			if err != nil {
				if bytes.Contains(raw, []byte(`"log_id"`)) {
					t.Errorf("%s: line %d: %v", file, i+1, err)
				}
				continue
			}
			if e.LogID == "" || e.Type == "" || e.Time.Year() < 2019 {
				t.Errorf("%s: line %d: log_id %q, type %q, time %s", file, i+1, e.LogID, e.Type, e.Time)
			}
		}
	}
	if own < 20 {
		t.Errorf("read %d samples of our own, want them all", own)
	}
}

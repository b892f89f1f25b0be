package detect_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// matches reports whether the rule under test selects e.
func matches(tb testing.TB, set *detect.Set, e schemas.Event) bool {
	tb.Helper()
	if e.ClientID == "" {
		e.ClientID = "a"
	}
	selector := selectorOf(tb, set)
	for _, m := range set.Match(nil, &e) {
		if m.Selector == selector {
			return true
		}
	}
	return false
}

func TestMatch(t *testing.T) {
	raw := func(s string) schemas.Event { return schemas.Event{Type: "sapi", Raw: []byte(s)} }
	for name, tc := range map[string]struct {
		detection string
		fires     []schemas.Event
		quiet     []schemas.Event
	}{
		"equality disregards case": {
			"s: {type: SAPI, description: 'Create a Client'}\ncondition: s",
			[]schemas.Event{{Type: "sapi", Description: "create a client"}, {Type: "Sapi", Description: "CREATE A CLIENT"}},
			[]schemas.Event{{Type: "sapi", Description: "create a client "}, {Type: "fapi", Description: "create a client"}},
		},
		"cased": {
			"s: {description|cased: Abc}\ncondition: s",
			[]schemas.Event{{Description: "Abc"}},
			[]schemas.Event{{Description: "abc"}},
		},
		"contains, startswith, endswith": {
			"s: {description|contains: '%20ß', hostname|startswith: Auth, audience|endswith: /API/}\ncondition: s",
			[]schemas.Event{{Description: "a%20ßb", Hostname: "auth.x", Audience: "https://x/api/"}},
			[]schemas.Event{{Description: "%20ß", Hostname: "x.auth", Audience: "https://x/api/"}, {Description: "%20s", Hostname: "auth", Audience: "/api/"}},
		},
		"all": {
			"s: {description|contains|all: [one, Two]}\ncondition: s",
			[]schemas.Event{{Description: "two and ONE"}},
			[]schemas.Event{{Description: "one and one"}},
		},
		"wildcards": {
			`s: {description: 'Del?te \* *'}` + "\ncondition: s",
			[]schemas.Event{{Description: "delete * a client"}, {Description: "Delxte * "}},
			[]schemas.Event{{Description: "delete x a client"}, {Description: "dete * a"}, {Description: "delete *"}},
		},
		"regular expression": {
			`s: {path|re: '^/api/v2/clients/[^/]+$', method: patch}` + "\ncondition: s",
			[]schemas.Event{{Call: schemas.Call{Path: "/api/v2/clients/x", Method: "PATCH"}}},
			[]schemas.Event{{Call: schemas.Call{Path: "/api/v2/clients/x/y", Method: "PATCH"}}, {Call: schemas.Call{Path: "/API/v2/clients/x", Method: "PATCH"}}},
		},
		"regular expression with flags": {
			`s: {path|re|i: '^/api$'}` + "\ncondition: s",
			[]schemas.Event{{Call: schemas.Call{Path: "/API"}}},
			[]schemas.Event{{Call: schemas.Call{Path: "/APIs"}}},
		},
		"null and exists": {
			"s: {client_name: null, audience|exists: true}\ncondition: s",
			[]schemas.Event{{Audience: "x"}},
			[]schemas.Event{{}, {ClientName: "n", Audience: "x"}},
		},
		"and, or, not, parentheses": {
			"a: {type: a}\nb: {hostname: b}\nc: {audience: c}\ncondition: a and (b or c) and not (b and c)",
			[]schemas.Event{{Type: "a", Hostname: "b"}, {Type: "a", Audience: "c"}},
			[]schemas.Event{{Type: "a"}, {Type: "a", Hostname: "b", Audience: "c"}, {Type: "x", Hostname: "b"}},
		},
		"or binds weaker than and": {
			"a: {type: a}\nb: {hostname: b}\nc: {audience: c}\ncondition: a or b and c",
			[]schemas.Event{{Type: "a"}, {Hostname: "b", Audience: "c"}},
			[]schemas.Event{{Hostname: "b"}, {Audience: "c"}},
		},
		"list of mappings": {
			"s: [{type: a, hostname: x}, {type: b}]\ncondition: s",
			[]schemas.Event{{Type: "a", Hostname: "x"}, {Type: "b"}},
			[]schemas.Event{{Type: "a"}, {Hostname: "x"}},
		},
		"scopes": {
			"s: {'scope|startswith': 'delete:'}\ncondition: s",
			[]schemas.Event{{Scopes: []string{"read:a", "delete:b"}}},
			[]schemas.Event{{Scopes: []string{"read:delete:"}}, {}},
		},
		"what enrichment adds": {
			"s: {asn: [64500, 4294967295], as_org|startswith: example, country: nl}\ncondition: s",
			[]schemas.Event{{ASN: 64500, ASOrg: "Example Cloud", Country: "NL"}, {ASN: 4294967295, ASOrg: "EXAMPLE", Country: "NL"}},
			[]schemas.Event{
				{ASN: 645, ASOrg: "Example Cloud", Country: "NL"},
				{ASN: 64500, ASOrg: "Cloud", Country: "NL"},
				{ASN: 64500, ASOrg: "Example Cloud"},
				raw(`{"asn":64500,"as_org":"example","country":"nl"}`),
			},
		},
		"an unknown autonomous system is absent": {
			"s: {country: NL, asn: null}\ncondition: s",
			[]schemas.Event{{Country: "NL"}},
			[]schemas.Event{{Country: "NL", ASN: 1}},
		},
		"nested fields of the raw log": {
			"s: {type: sapi, data.details.request.body.name: Abc, details.response.statusCode: 201}\ncondition: s",
			[]schemas.Event{
				raw(`{"log_id":"x","data":{"details":{"request":{"body":{"name":"abc"}},"response":{"statusCode":201}}}}`),
				raw(`{"details":{"response":{"statusCode":2.01e2},"request":{"x":[{"body":1}],"body":{"name":"\u0061BC"}}}}`),
			},
			[]schemas.Event{
				raw(`{"details":{"request":{"body":{"name":"abc"}}}}`),
				raw(`{"details":{"request":{"body":{"names":"abc"}},"response":{"statusCode":201}}}`),
				raw(`{"details":"{\"request\":{\"body\":{\"name\":\"abc\"}}}"}`),
				raw(`{"details":{"request":{"body":{"name":"abc"}},"response":{"statusCode":`),
				raw(``), raw(`[]`), raw(`null`), raw(`{"data":{"data":{"details":{}}}}`),
			},
		},
		"arrays": {
			"s: {type: sapi, 'details.scope{}|startswith': ['delete:', 'update:'], details.grants.id: 7}\ncondition: s",
			[]schemas.Event{raw(`{"details":{"scope":["read:x","update:y"],"grants":[{"id":"6"},{"id":7}]}}`)},
			[]schemas.Event{raw(`{"details":{"scope":["read:x"],"grants":[{"id":7}]}}`)},
		},
		"absent in the raw log": {
			"s: {type: sapi, details.user: null, details.on|exists: true, details.off|exists: false}\ncondition: s",
			[]schemas.Event{raw(`{"details":{"user":null,"on":false}}`), raw(`{"details":{"on":""}}`)},
			[]schemas.Event{raw(`{"details":{"user":"","on":1}}`), raw(`{"details":{"user":null,"on":1,"off":0}}`)},
		},
		"wildcards at the ends": {
			`s: {description: ['*@a.example', 'b*', '*c\*c*', '*d?d*']}` + "\ncondition: s",
			[]schemas.Event{{Description: "x@A.example"}, {Description: "B"}, {Description: "xC*cx"}, {Description: "xdXdx"}},
			[]schemas.Event{{Description: "x@a.example.com"}, {Description: "xb"}, {Description: "xcxcx"}, {Description: "xddx"}},
		},
		"a star is whatever is there": {
			"s: {type: sapi, description: '*', data.tenant_name: '*'}\ncondition: s",
			[]schemas.Event{{Type: "sapi", Description: "d", Raw: []byte(`{"tenant_name":""}`)}},
			[]schemas.Event{{Type: "sapi", Raw: []byte(`{"tenant_name":"a"}`)}, {Type: "sapi", Description: "d", Raw: []byte(`{"tenant_name":null}`)}},
		},
		"an empty text is an absent column": {
			"s: {type: x, user_agent: ''}\ncondition: s",
			[]schemas.Event{{Type: "x"}},
			[]schemas.Event{{Type: "x", UserAgent: "curl"}},
		},
		"an empty text in the raw log is no absent one": {
			"s: {type: sapi, details.a: ''}\ncondition: s",
			[]schemas.Event{raw(`{"details":{"a":""}}`)},
			[]schemas.Event{raw(`{"details":{"a":null}}`), raw(`{"details":{}}`), raw(`{"details":{"a":" "}}`)},
		},
		"networks": {
			"s: {ip|cidr: [10.0.0.0/8, '2001:db8::/32', 192.0.2.7]}\ncondition: s",
			[]schemas.Event{{IP: "10.255.0.1"}, {IP: "::ffff:10.1.2.3"}, {IP: "2001:DB8::1"}, {IP: "192.0.2.7"}, {IP: "10.2.0.0/16"}},
			[]schemas.Event{{IP: "11.0.0.1"}, {IP: "2001:db9::1"}, {IP: "192.0.2.8"}, {IP: "10.0.0.0/7"}, {IP: "10.0.0"}, {IP: "cafe"}, {}},
		},
		"orders": {
			"s: {type: sapi, details.n|gte: 3, details.n|lt: 4.5, details.m|gt: -1, details.m|lte: '1e2'}\ncondition: s",
			[]schemas.Event{raw(`{"details":{"n":3,"m":100}}`), raw(`{"details":{"n":"4.49","m":0}}`)},
			[]schemas.Event{
				raw(`{"details":{"n":2.9,"m":0}}`), raw(`{"details":{"n":4.5,"m":0}}`), raw(`{"details":{"n":3,"m":-1}}`),
				raw(`{"details":{"n":3,"m":100.1}}`), raw(`{"details":{"n":"three","m":0}}`), raw(`{"details":{"m":0}}`),
			},
		},
		"booleans": {
			"s: {type: sapi, details.a: false, details.b: 'true'}\ncondition: s",
			[]schemas.Event{raw(`{"details":{"a":false,"b":true}}`), raw(`{"details":{"a":"False","b":"TRUE"}}`)},
			[]schemas.Event{raw(`{"details":{"a":true,"b":true}}`), raw(`{"details":{"a":0,"b":1}}`), raw(`{"details":{"b":true}}`)},
		},
		"fields of the same value": {
			"s: {type: sapi, ip|fieldref: client_ip, details.a|fieldref|endswith: details.b, details.c|fieldref|contains|cased: hostname}\ncondition: s",
			[]schemas.Event{{Type: "sapi", IP: "::A", ClientIP: "::a", Hostname: "H", Raw: []byte(`{"details":{"a":"xY","b":["z","y"],"c":"aHa"}}`)}},
			[]schemas.Event{
				{Type: "sapi", IP: "::A", ClientIP: "::b", Hostname: "H", Raw: []byte(`{"details":{"a":"xY","b":"y","c":"aHa"}}`)},
				{Type: "sapi", IP: "::A", ClientIP: "::a", Hostname: "H", Raw: []byte(`{"details":{"a":"xY","b":"x","c":"aHa"}}`)},
				{Type: "sapi", IP: "::A", ClientIP: "::a", Hostname: "h", Raw: []byte(`{"details":{"a":"xY","b":"y","c":"aHa"}}`)},
				{Type: "sapi", IP: "::A", ClientIP: "::a", Hostname: "H", Raw: []byte(`{"details":{"a":"xY","c":"aHa"}}`)},
				{Type: "sapi", Hostname: "H", Raw: []byte(`{"details":{"a":"xY","b":"y","c":"aHa"}}`)},
			},
		},
		"look-around": {
			`s: {path|re: '^/api/v2/(?!users)[a-z]+$'}` + "\ncondition: s",
			[]schemas.Event{{Call: schemas.Call{Path: "/api/v2/clients"}}},
			[]schemas.Event{{Call: schemas.Call{Path: "/api/v2/users"}}, {Call: schemas.Call{Path: "/api/v2/CLIENTS"}}, {}},
		},
		"look-around with flags": {
			`s: {path|re|i: '^/api/v2/(?!users)[a-z]+$'}` + "\ncondition: s",
			[]schemas.Event{{Call: schemas.Call{Path: "/API/v2/clients"}}},
			[]schemas.Event{{Call: schemas.Call{Path: "/api/v2/Users"}}},
		},
		"1 of": {
			"sel_a: {hostname: a}\nsel_b: {audience: b}\nother: {type: x}\ncondition: other and 1 of sel_*",
			[]schemas.Event{{Type: "x", Hostname: "a"}, {Type: "x", Audience: "b"}},
			[]schemas.Event{{Type: "x"}, {Hostname: "a", Audience: "b"}},
		},
		"all of": {
			"sel_a: {hostname: a}\nsel_b: {audience: b}\ncondition: all of sel*",
			[]schemas.Event{{Hostname: "a", Audience: "b"}},
			[]schemas.Event{{Hostname: "a"}, {Audience: "b"}},
		},
		"not 1 of": {
			"s: {type: x}\nfilter_1: {hostname: a}\nfilter_2: {audience: b}\ncondition: s and not 1 of filter_*",
			[]schemas.Event{{Type: "x"}, {Type: "x", Hostname: "b"}},
			[]schemas.Event{{Type: "x", Hostname: "a"}, {Type: "x", Audience: "b"}},
		},
		"any of them": {
			"a: {hostname: a}\nb: {audience: b}\ncondition: any of them",
			[]schemas.Event{{Hostname: "a"}, {Audience: "b"}},
			[]schemas.Event{{}},
		},
		"all of them": {
			"a: {hostname: a}\nb: {audience: b}\ncondition: all of them",
			[]schemas.Event{{Hostname: "a", Audience: "b"}},
			[]schemas.Event{{Hostname: "a"}},
		},
		"a list of conditions": {
			"a: {hostname: a}\nb: {audience: b}\ncondition: [a, b]",
			[]schemas.Event{{Hostname: "a"}, {Audience: "b"}},
			[]schemas.Event{{}},
		},
		"arrays of objects, and of a list alone": {
			"s: {type: sapi, 'details.body{}.id': 7, 'details.list{}': owner}\ncondition: s",
			[]schemas.Event{raw(`{"details":{"body":[{"id":1},{"id":7}],"list":["x","Owner"]}}`)},
			[]schemas.Event{raw(`{"details":{"body":[{"id":1}],"list":["owner"]}}`), raw(`{"details":{"body":[{"id":7}],"list":[]}}`)},
		},
		"null beside types": {
			"a: {type: null}\nb: {type: pla, details.v: true}\ncondition: a or b",
			[]schemas.Event{{}, {Type: "pla", Raw: []byte(`{"details":{"v":true}}`)}},
			[]schemas.Event{{Type: "s"}, {Type: "pla"}},
		},
		"not bound to a type": {
			"s: {type: a}\ncondition: not s",
			[]schemas.Event{{Type: "b"}, {Type: "never seen"}, {}},
			[]schemas.Event{{Type: "A"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			set := mustParse(t, tc.detection)
			for i, e := range tc.fires {
				if !matches(t, set, e) {
					t.Errorf("event %d does not match and should: %+v %s", i, e, e.Raw)
				}
			}
			for i, e := range tc.quiet {
				if matches(t, set, e) {
					t.Errorf("event %d matches and should not: %+v %s", i, e, e.Raw)
				}
			}
		})
	}
}

func TestMatchCarriesKeyValueAndVersion(t *testing.T) {
	set := workingClient(t)
	at := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	selectors := map[string]string{}
	for _, r := range set.Rules() {
		selectors[r.Name] = r.Selector
	}
	refused := schemas.Event{Tenant: "t", ClientID: "c", Time: at, LogID: "l", Ver: 7, Type: "feccft", Network: "192.0.2.0/24", Source: schemas.SourcePull}
	rotated := schemas.Event{
		Tenant: "t", ClientID: "dashboard", Time: at, LogID: "l", Ver: 8, Type: "sapi",
		Call: schemas.Call{Method: "POST", Path: "/api/v2/clients/c/rotate-secret", Target: "app:c"}, Source: schemas.SourceStream,
	}
	var got []schemas.Match
	for _, e := range []schemas.Event{refused, rotated} {
		got = set.Match(got, &e)
	}
	want := []schemas.Match{
		{Selector: selectors["m2m_token_refused"], Tenant: "t", Key: "c", Time: at, LogID: "l", Value: "192.0.2.0/24", ClientID: "c", Ver: 7, Source: schemas.SourcePull},
		{Selector: selectors["client_secret_rotated"], Tenant: "t", Key: "c", Time: at, LogID: "l", ClientID: "dashboard", Ver: 8, Source: schemas.SourceStream},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMatchWithoutAUsableKeyIsDropped(t *testing.T) {
	set := workingClient(t)
	for name, e := range map[string]schemas.Event{
		"no client":       {Type: "feccft"},
		"endless client":  {Type: "feccft", ClientID: strings.Repeat("x", 257)},
		"target no app":   {Type: "sapi", Call: schemas.Call{Method: "POST", Path: "/api/v2/clients/c/rotate-secret", Target: "user:c"}, ClientID: "c"},
		"target is empty": {Type: "sapi", Call: schemas.Call{Method: "POST", Path: "/api/v2/clients/c/rotate-secret", Target: "app:"}, ClientID: "c"},
	} {
		if got := set.Match(nil, &e); len(got) != 0 {
			t.Errorf("%s: matches %+v, want none", name, got)
		}
	}
}

// A match outlives the raw log that it was read from.
func TestMatchKeepsNothingOfTheRawLog(t *testing.T) {
	set, err := parse(base("under_test", "s: {type: sapi}\ncondition: s", "x-match: {key: client_id, value: details.name}") + frame)
	if err != nil {
		t.Fatal(err)
	}
	e := schemas.Event{Type: "sapi", ClientID: "c", Raw: []byte(`{"details":{"name":"value"}}`)}
	got := set.Match(nil, &e)
	for i := range e.Raw {
		e.Raw[i] = 'x'
	}
	if len(got) != 1 || got[0].Value != "value" {
		t.Errorf("matches %+v, want one with its value", got)
	}
}

func FuzzMatchNeverFails(f *testing.F) {
	set := mustParse(f, "s: {type: sapi, details.a.b: x}\nt: {details.c|contains: é}\ncondition: s or t")
	f.Add("sapi", `{"data":{"details":{"a":[{"b":"\ud800"}],"c":"É"}}}`)
	f.Fuzz(func(t *testing.T, typ, raw string) {
		e := schemas.Event{Type: typ, ClientID: "c", Raw: []byte(raw)}
		first := set.Match(nil, &e)
		if diff := cmp.Diff(first, set.Match(nil, &e)); diff != "" {
			t.Fatalf("two answers for one event:\n%s", diff)
		}
		if string(e.Raw) != raw {
			t.Fatal("the raw log was changed")
		}
	})
}

func missAndHit() (misses, hits map[string]schemas.Event) {
	read := []byte(`{"log_id":"9","data":{"type":"sapi","details":{"request":{"method":"post","path":"/api/v2/clients","body":{"name":"x\"y","grants":["a","b"]}},"response":{"statusCode":201}}}}`)
	misses = map[string]schemas.Event{
		"other type":   {Type: "s", ClientID: "c"},
		"own type":     {Type: "sapi", ClientID: "c", ASN: 64500, Call: schemas.Call{Method: "POST", Path: "/api/v2/clients"}, Raw: read},
		"quota":        {Type: "feccft", ClientID: "c", Description: "Client quota exceeded"},
		"raw log read": {Type: "sapi", ClientID: "c", Call: schemas.Call{Method: "PATCH"}, Raw: read},
	}
	hits = map[string]schemas.Event{
		"seccft": {Type: "seccft", ClientID: "c", Network: "192.0.2.0/24"},
	}
	return misses, hits
}

func benchmarkSet(tb testing.TB) *detect.Set {
	tb.Helper()
	set, err := parse(base("under_test", `s: {type: sapi, details.request.body.name: x"z, details.response.statusCode: 201}
t: {type: sapi, method: post, path|re: '^(/api)?/v2/clients/[^/]+/rotate-secret$'}
q: {type: feccft}
r: {description: [Client quota exceeded, Organization quota exceeded]}
n: {type: sapi, asn: 64511}
condition: s or t or n or (q and not r)`, "") + strings.ReplaceAll(frame, "{type: success}", "{type: seccft}"))
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

func TestMissAllocatesNothing(t *testing.T) {
	set := benchmarkSet(t)
	misses, _ := missAndHit()
	dst := make([]schemas.Match, 0, 8)
	for name, e := range misses {
		if got := set.Match(dst, &e); len(got) != 0 {
			t.Fatalf("%s: %+v, want a miss", name, got)
		}
		if n := testing.AllocsPerRun(1000, func() { set.Match(dst, &e) }); n > poolDrops {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

// BenchmarkMatchOne is one event over and over; see BenchmarkMatch.
func BenchmarkMatchOne(b *testing.B) {
	set := benchmarkSet(b)
	misses, hits := missAndHit()
	dst := make([]schemas.Match, 0, 8)
	for kind, events := range map[string]map[string]schemas.Event{"miss": misses, "hit": hits} {
		for name, e := range events {
			b.Run(kind+"/"+strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					set.Match(dst, &e)
				}
			})
		}
	}
}

// The version of a program changes with each deploy, its name does not.
func TestRuntimeIsTheProgramWithoutItsVersion(t *testing.T) {
	t.Parallel()
	set := load(t, map[string]string{"a.yml": brought("One", "selection: {type: seccft}\ncondition: selection", "level: high\nx-match: {key: client_id, value: runtime}")}, nil)
	for _, c := range []struct {
		event schemas.Event
		want  string
	}{
		{schemas.Event{SDKName: "Auth0-Python", UserAgent: "python-requests/2.31.0"}, "auth0-python"},
		{schemas.Event{UserAgent: "python-requests/2.31.0"}, "python-requests"},
		{schemas.Event{UserAgent: " Go-http-client/2.0"}, "go-http-client"},
		{schemas.Event{UserAgent: "got (https://github.com/sindresorhus/got)"}, "got"},
		{schemas.Event{UserAgent: "Other 0.0.0 / Other 0.0.0"}, ""},
		{schemas.Event{UserAgent: "unknown"}, ""},
		{schemas.Event{}, ""},
	} {
		c.event.Tenant, c.event.Type, c.event.ClientID = "acme", "seccft", "a"
		matches := set.Match(nil, &c.event)
		if len(matches) != 1 || matches[0].Value != c.want {
			t.Errorf("runtime of %q, SDK %q: %+v, want %q", c.event.UserAgent, c.event.SDKName, matches, c.want)
		}
	}
}

// What a correlation counts is matched when it is looked at alone.
func TestSelectingMatchesWhatOthersUse(t *testing.T) {
	set := mustParse(t, "selection: {type: x}\ncondition: selection")
	for _, c := range set.Correlations() {
		for _, r := range c.Rules() {
			e := schemas.Event{Tenant: "acme", Type: r.Types[0], ClientID: "billing", LogID: "1"}
			if got := detect.Selecting(r).Match(nil, &e); len(got) != 1 || got[0].Selector != r.Selector {
				t.Errorf("rule %s selects %v of an event of its type", r.Name, got)
			}
		}
	}
}

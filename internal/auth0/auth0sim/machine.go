package auth0sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// hours says when a machine works at all.
type hours uint8

const (
	always  hours = iota
	working       // weekdays, ten hours
	daily         // a couple of minutes a day
	weekly        // a couple of minutes a week
)

// once is how long the window of a daily or weekly machine is open.
const once = 2 * time.Minute

// caller is one place that a machine asks for tokens from.
type caller struct {
	ip    string
	agent string // raw User-Agent
	sdk   string // auth0_client, JSON
	ja3   string
	ja4   string
	place place
}

// machine is an M2M application. It does not change after New; its secret,
// which does, is the tenant's to keep.
type machine struct {
	index    int
	id, name string
	api      *api
	scopes   []string
	callers  []caller

	period  time.Duration // between two tokens while it works
	hours   hours
	offset  time.Duration // into the day or the week where its hours begin
	phase   float64       // where in a period its tokens fall, [0.1, 0.9)
	retries float64       // share of tokens that are refused first
	flaky   bool          // it fails so often that a failure is no news

	head, tail []byte // the parts of a token log that are the same in all of its
}

// api is an audience with its scopes.
type api struct {
	audience   string
	scopes     []string
	management bool
	action     bool // a credentials-exchange Action runs
}

func newAPIs(domain string) []*api {
	apis := []*api{{audience: "https://" + domain + "/api/v2/", management: true, scopes: strings.Fields(
		"read:users update:users create:users delete:users read:clients update:clients update:client_keys create:client_grants read:logs read:roles update:roles read:connections read:resource_servers")}}
	for i, noun := range []string{"billing", "orders", "ledger", "inventory", "customers", "notifications"} {
		a := &api{audience: "https://api." + domain + "/" + noun, action: i == 2}
		for _, verb := range []string{"read", "create", "update", "delete", "export", "approve", "reconcile"} {
			a.scopes = append(a.scopes, verb+":"+noun)
		}
		apis = append(apis, a)
	}
	return apis
}

const (
	storyName = "invoice-sync"
	flakyName = "legacy-erp-bridge"
)

// machineNames are n distinct ones, the story's first and the flaky one second.
func machineNames(r *rand.Rand, n int) []string {
	names := []string{
		storyName, flakyName, "ci-deployer", "terraform-ci", "user-provisioner", "scim-bridge", "ledger-export",
		"grafana-datasource", "status-page", "nightly-reports", "support-console-backend", "data-lake-loader",
	}
	known := make(map[string]bool)
	for _, name := range names {
		known[name] = true
	}
	var more []string
	for subject := range strings.FieldsSeq("invoice ledger order inventory payment customer pricing catalog shipment tax payroll contract ticket report metrics audit backup search email sms fraud refund loyalty warehouse returns partner supplier forecast quote booking") {
		for role := range strings.FieldsSeq("sync export import worker indexer gateway bridge reconciler notifier archiver api poller scheduler mirror") {
			if name := subject + "-" + role; !known[name] {
				more = append(more, name)
			}
		}
	}
	r.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
	single := len(more)
	for i := 0; len(names)+len(more) < n; i++ {
		more = append(more, fmt.Sprintf("%s-%d", more[i%single], 2+i/single))
	}
	return append(names, more...)[:n]
}

// newMachines makes the population of machines. How often they ask for tokens
// is heavy-tailed: a few make most of the traffic, many hardly any.
func newMachines(r *rand.Rand, n int, domain string, apis []*api) []*machine {
	nets := homeNetworks(r)
	rank := r.Perm(n - 2)
	machines := make([]*machine, n)
	for i, name := range machineNames(r, n) {
		m := &machine{index: i, id: base62(r, 32), name: name, phase: 0.1 + 0.8*r.Float64(), retries: 0.008 * r.Float64()}
		switch i {
		case 0:
			m.period, m.retries = storyPeriod, 0
			nets := []network{storyNetwork()}
			m.callers = newCallers(r, nets)
		case 1:
			m.period, m.retries, m.flaky = 30*time.Minute, 0, true
			m.callers = newCallers(r, nets[:1])
		default:
			m.cadence(r, float64(rank[i-2])/float64(n-2))
			m.callers = newCallers(r, someNetworks(r, nets))
		}
		m.grant(r, apis)
		m.render(domain, r)
		machines[i] = m
	}
	return machines
}

// cadence sets how often a machine asks, from its rank among all, in [0, 1).
func (m *machine) cadence(r *rand.Rand, rank float64) {
	minutes := func(n int) time.Duration { return time.Duration(n) * time.Minute }
	switch {
	case rank < 0.004:
		m.period = minutes(1)
	case rank < 0.009:
		m.period = minutes(3)
	case rank < 0.018:
		m.period = minutes(5)
	case rank < 0.057:
		m.period = minutes(15)
	case rank < 0.133:
		m.period = minutes(30)
	case rank < 0.32:
		m.period = minutes(60)
	case rank < 0.51:
		m.hours, m.period = working, minutes(20+10*r.IntN(5))
		m.offset = between(r, 6*time.Hour, 9*time.Hour).Truncate(time.Minute)
	case rank < 0.65:
		m.period = 6 * time.Hour
	case rank < 0.87:
		m.hours, m.period = daily, once
		m.offset = between(r, 0, 23*time.Hour).Truncate(time.Minute)
	default:
		m.hours, m.period = weekly, once
		m.offset = between(r, 0, 167*time.Hour).Truncate(time.Minute)
	}
}

// grant gives the machine an API and some of its scopes: the Management API to
// those whose name says so and to every twelfth.
func (m *machine) grant(r *rand.Rand, apis []*api) {
	m.api = apis[1+r.IntN(len(apis)-1)]
	switch m.name {
	case storyName:
		m.api = apis[1]
	case "ci-deployer", "terraform-ci", "user-provisioner", "scim-bridge":
		m.api = apis[0]
	default:
		if m.index%12 == 0 {
			m.api = apis[0]
		}
	}
	m.scopes = m.api.scopes[:1+r.IntN(len(m.api.scopes))]
}

func someNetworks(r *rand.Rand, nets []network) []network {
	some := []network{pick(r, nets)}
	if chance(r, 0.3) {
		some = append(some, pick(r, nets))
	}
	return some
}

// newCallers are one or two hosts in each of the networks, all with the same software.
func newCallers(r *rand.Rand, nets []network) []caller {
	software := pick(r, runtimes())
	ja3, ja4 := hexString(r, 32), "t13d"+hexString(r, 6)+"_"+hexString(r, 12)+"_"+hexString(r, 12)
	var callers []caller
	for _, net := range nets {
		for range 1 + r.IntN(2) {
			callers = append(callers, caller{net.host(5 + r.IntN(240)), software.agent, software.sdk, ja3, ja4, net.place})
		}
	}
	return callers
}

type software struct{ agent, sdk string }

func runtimes() []software {
	return []software{
		{"node-auth0/4.10.0 (Node.js 20.11.1; linux x64) undici/6.6.2", `{"name":"node-auth0","version":"4.10.0","env":{"node":"20.11.1"}}`},
		{"Go-Auth0-SDK/1.10.0 (linux/amd64) Go-http-client/2.0", `{"name":"go-auth0","version":"1.10.0","env":{"go":"go1.22.5"}}`},
		{"Python/3.11.9 auth0-python/4.7.1 requests/2.32.3 urllib3/2.2.2", `{"name":"auth0-python","version":"4.7.1","env":{"python":"3.11.9"}}`},
		{"Apache-HttpClient/5.3.1 (Java/21.0.4) auth0-java/2.12.0", `{"name":"auth0-java","version":"2.12.0","env":{"java":"21.0.4"}}`},
		{"Auth0.Net/7.33.0 (.NET 8.0.7; Linux 5.15.0-1066-azure x64)", `{"name":"Auth0.Net","version":"7.33.0","env":{"target":"net8.0"}}`},
		{"Terraform/1.9.5 (+https://www.terraform.io) Terraform-Provider-Auth0/1.6.1 Go-Auth0/1.10.0", `{"name":"go-auth0","version":"1.10.0","env":{"go":"go1.22.5","Terraform-Provider-Auth0":"1.6.1"}}`},
		{"axios/1.7.7 (Node.js 18.20.4; linux x64; service-runtime 3.2.0)", ""},
		{"okhttp/4.12.0", ""},
		{"python-requests/2.32.3", ""},
		{"GuzzleHttp/7", ""},
		{"curl/8.7.1", ""},
		{"Go-http-client/1.1", ""},
	}
}

func (m *machine) management() bool { return m.api.management }

// perDay is how many tokens the machine asks for on an average day.
func (m *machine) perDay() float64 {
	switch m.hours {
	case working:
		return 10 * 5.0 / 7 * float64(time.Hour) / float64(m.period)
	case daily:
		return 1
	case weekly:
		return 1.0 / 7
	default:
		return float64(24*time.Hour) / float64(m.period)
	}
}

// works tells whether the machine's hours include t.
func (m *machine) works(t time.Time) bool {
	return m.hours != working || len(m.windows(t, t.Add(time.Second))) > 0
}

// span is a half-open stretch of time.
type span struct{ from, to time.Time }

// windows are the stretches of [from, to) in which the machine works.
func (m *machine) windows(from, to time.Time) []span {
	if m.hours == always {
		return []span{{from, to}}
	}
	var spans []span
	day := from.UTC().Truncate(24*time.Hour).AddDate(0, 0, -7)
	for ; day.Before(to); day = day.AddDate(0, 0, 1) {
		if s, ok := m.window(day); ok && s.to.After(from) && s.from.Before(to) {
			spans = append(spans, span{later(s.from, from), earlier(s.to, to)})
		}
	}
	return spans
}

// window is the machine's stretch that begins on a day.
func (m *machine) window(day time.Time) (span, bool) {
	switch weekday := day.Weekday(); m.hours {
	case working:
		start := day.Add(m.offset)
		return span{start, start.Add(10 * time.Hour)}, weekday != time.Saturday && weekday != time.Sunday
	case weekly:
		start := day.Add(m.offset % (24 * time.Hour))
		return span{start, start.Add(once)}, weekday == time.Weekday(m.offset/(24*time.Hour))
	default:
		start := day.Add(m.offset)
		return span{start, start.Add(once)}, true
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

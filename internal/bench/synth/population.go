package synth

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// profile is how a machine lives.
type profile int

const (
	service     profile = iota // instances that renew a cached token, day and night
	traffic                    // asks when its users do
	serverless                 // the same, from egress addresses that change
	ci                         // runs on hosted runners, at working hours
	cron                       // by the clock on the wall
	provisioner                // changes users through the Management API
	terraformer                // changes everything, now and then
	endToEnd                   // makes users at night and deletes them
	rotator                    // rotates secrets of others
	developer                  // an engineer with Postman
	monthly
	quarterly
	dormant // not used for weeks or longer
)

// api is what tokens are for.
type api struct {
	audience string
	scopes   []string
}

// machine is a non-human identity.
type machine struct {
	profile profile
	id      string // client_id, or user_id of a programmatic user
	user    bool
	client  string // through which the user logs in
	name    string
	agent   string // agent_id
	org     string
	grant   string // id of its client grant
	rate    float64
	api     api
	scopes  []string
	array   bool // its scope is an array in logs
	zone    *time.Location
	week    bool // it rests on Saturdays and Sundays
	soft    software
	homes   []host
	pool    []*network // where it has no fixed addresses

	minute int           // of the day, of a cron job
	every  time.Duration // of a cron job, 24 h for most

	until    time.Time // it is gone from then on; zero is never
	spells   []spell
	moves    []move
	doublets []doublet
	busy     bool // something labelled happens to it
}

// spell is a time in which a machine does not do as it uses to.
type spell struct {
	from, to time.Time
	mute     bool
	why      string  // its requests fail, for this cause
	retries  float64 // how often it tries again meanwhile
	part     float64 // of its requests that are hit
	factor   float64 // more requests than usual; 0 is as usual
}

// move is a change of where or as what a machine runs, for good.
type move struct {
	at    time.Time
	homes []host
	soft  *software
}

// doublet are instances that run beside the usual ones for a while.
type doublet struct {
	from, to time.Time
	homes    []host
}

func (m *machine) identity() string {
	if m.user {
		return "user:" + m.id
	}
	return "app:" + m.id
}

// name1 names the machine in a log.
func (m *machine) name1(rec *record) {
	if m.user {
		rec.ClientID, rec.ClientName, rec.UserID, rec.UserName = m.client, "Command line", m.id, m.name+"@acme.example"
		rec.Connection, rec.ConnectionID = "Username-Password-Authentication", "con_0000000000000001"
		return
	}
	rec.ClientID, rec.ClientName = m.id, m.name
}

func (m *machine) scopeText() any {
	if m.array {
		return m.scopes
	}
	return strings.Join(m.scopes, " ")
}

// zones are where people set clocks by.
var zones = []string{"Europe/Berlin", "America/New_York", "Europe/London", "UTC", "Asia/Singapore"}

var (
	names  = []string{"billing", "orders", "ledger", "search", "mailer", "crm-sync", "warehouse", "pricing", "reports", "inventory", "webhooks", "fraud", "payouts", "catalog", "exports", "metrics", "chat", "support", "identity", "scheduler"}
	shapes = []string{"service", "worker", "job", "gateway", "importer", "bridge"}
)

// populate makes the machines, and who administers them.
func (g *generator) populate() {
	g.apis = []api{{"https://" + g.domain + "/api/v2/", []string{"read:users", "update:users", "create:users", "delete:users", "read:clients"}}}
	for i := range 12 {
		name := names[i]
		g.apis = append(g.apis, api{"https://" + name + ".acme.example/", []string{"read:" + name, "write:" + name, "list:" + name}})
	}
	for i := range 3 {
		g.admins = append(g.admins, g.newAdmin([]string{"ada", "grace", "edsger"}[i]))
	}
	highest := g.highestRate()
	for i := range g.cfg.Machines {
		g.machines = append(g.machines, g.newMachine(g.profileOf(i), highest))
	}
	for _, factor := range []float64{4, 40} { // two machines ask for most of the tokens
		m := g.machines[g.r.IntN(len(g.machines))]
		for m.profile != service || m.user {
			m = pick(g, g.machines)
		}
		m.rate = g.logUniform(2*highest, factor*highest)
		m.homes = g.hosts(m.homes[0].net, 1+int(m.rate/24/12))
		// It may be said of them that they could keep their tokens for longer.
		g.label(Label{Identity: m.identity(), Kind: "busy", Rules: []string{"MI-15", "MI-16"}, Beside: true, From: g.from, To: g.to})
	}
}

func (g *generator) newAdmin(name string) *admin {
	a := &admin{id: g.person(), name: name, browser: g.tool([]string{tools[5]})}
	a.desk = g.world.host(g.world.network(office, ""))
	return a
}

// highestRate is up to how many tokens a day machines ask for, so that all
// together make about as many events as wanted.
func (g *generator) highestRate() float64 {
	mean := 0.6 * float64(g.cfg.Events) / float64(g.cfg.Machines*g.cfg.Days)
	low, high := 2.0, 1e5
	for range 60 {
		middle := math.Sqrt(low * high)
		if (middle-1)/math.Log(middle) < mean {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// profileOf spreads the profiles: of each there is one before there are many.
func (g *generator) profileOf(i int) profile {
	rare := []profile{
		terraformer, endToEnd, rotator, developer, provisioner, provisioner, provisioner, monthly, quarterly, dormant, dormant, dormant,
		terraformer, provisioner, developer, provisioner, provisioner, monthly, quarterly, dormant, dormant, dormant, developer, monthly,
	}
	if n := i / 4; i%4 == 3 && n < len(rare) {
		return rare[n]
	}
	switch x := g.r.Float64(); {
	case x < 0.45:
		return service
	case x < 0.6:
		return traffic
	case x < 0.7:
		return serverless
	case x < 0.78:
		return ci
	default:
		return cron
	}
}

func (g *generator) newMachine(p profile, highest float64) *machine {
	m := &machine{
		profile: p, id: g.text(base62, 32), grant: "cgr_" + g.text(base62, 16), rate: g.logUniform(1, highest),
		name: pick(g, names) + "-" + pick(g, shapes) + fmt.Sprintf("-%d", g.r.IntN(90)), api: g.apis[1+g.r.IntN(len(g.apis)-1)],
		array: g.chance(0.1), week: g.chance(0.25), soft: g.runtime(),
	}
	m.scopes = m.api.scopes[:1+g.r.IntN(len(m.api.scopes)-1)]
	zone, err := time.LoadLocation(pick(g, zones))
	if err != nil { // time/tzdata has them all
		panic(err)
	}
	m.zone = zone
	cloud := pick(g, []operator{amazon, amazon, google, azure, hetzner})
	m.homes = g.hosts(g.newHome(cloud), 1+g.r.IntN(3))
	switch {
	case (p == service || p == cron) && g.chance(0.12):
		m.user, m.id, m.client = true, g.person(), g.text(base62, 32)
		m.name = "svc-" + m.name
	case p == service && g.chance(0.06):
		m.agent = "agt_" + g.text(base62, 20)
	case p == service && g.chance(0.12):
		m.org = "org_" + g.text(base62, 16)
	}
	g.settle(m)
	return m
}

func (g *generator) newHome(o operator) *network {
	if g.chance(0.05) {
		return g.world.network6(o, pick(g, o.countries))
	}
	return g.world.network(o, "")
}

func (g *generator) hosts(in *network, n int) []host {
	made := make([]host, n)
	for i := range made {
		made[i] = g.world.host(in)
	}
	return made
}

// settle gives a machine what its profile needs.
func (g *generator) settle(m *machine) {
	switch m.profile {
	case service:
		m.week = m.week && g.chance(0.2)
	case serverless:
		country := pick(g, amazon.countries)
		for range 3 + g.r.IntN(6) {
			m.pool = append(m.pool, g.world.network(amazon, country))
		}
	case ci:
		m.week = true
		for range 20 + g.r.IntN(60) {
			m.pool = append(m.pool, g.world.network(azure, ""))
		}
	case cron:
		m.minute, m.every = g.r.IntN(24*60), pick(g, []time.Duration{24 * time.Hour, 24 * time.Hour, 12 * time.Hour, 6 * time.Hour, time.Hour})
		m.rate = float64(24 * time.Hour / m.every)
	case provisioner, endToEnd, rotator, terraformer:
		m.api, m.scopes, m.homes, m.week = g.apis[0], g.apis[0].scopes, m.homes[:1], m.profile == terraformer
		m.rate, m.minute, m.every = g.uniform(2, 12), g.r.IntN(6*60), 24*time.Hour
		if m.profile == terraformer {
			m.soft = g.fingerprint(software{agent: terraform, sdk: &sdk{"go-auth0", "1.20.0"}})
		}
	case developer:
		m.week, m.soft = true, g.tool(tools[postman:postman+1])
		m.homes = []host{g.world.host(g.world.network(pick(g, []operator{office, branch}), ""))}
		m.homes = append(m.homes, g.world.host(g.world.network(homes[g.r.IntN(2)], "DE")))
		if m.homes[0].net.country == "US" {
			m.homes[1] = g.world.host(g.world.network(homes[2], ""))
		}
	case monthly, quarterly:
		m.minute = g.r.IntN(24 * 60)
	}
}

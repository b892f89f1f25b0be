// Package synth makes up the logs of a tenant of machine identities: what they do
// on normal days, what goes wrong, and what attackers do to them, with labels that
// say which is which. It knows nothing of the rules that are tried on it: it
// imports no stage. What it makes is a function of Config alone.
package synth

import (
	"cmp"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // cron runs on local time, wherever this runs
)

// Config says what to make. Every field has a default.
type Config struct {
	Seed     uint64
	Tenant   string // default acme
	Days     int    // of full activity, default 30
	Machines int    // default 200
	// Events is about how many there are; the rates of the machines are scaled to
	// it. Default 120,000.
	Events int
	// From is the beginning of the first day. Default: drawn by the seed from the
	// first days of March 2026, so that a change of clocks, the end of a month and
	// of a quarter lie within.
	From time.Time
}

// History is a tenant's time.
type History struct {
	Tenant   string
	From, To time.Time
	Logs     []Log // in the order of their delivery
	Labels   []Label
	Notes    []Note

	world *world
}

// Log is one log as the stream delivers it.
type Log struct {
	Delivered time.Time
	Raw       []byte // the envelope: log_id and data
}

// Note tells what an identity was doing that is no label: a deploy, a move.
type Note struct {
	Identity string // "*" is every one
	From, To time.Time
	Text     string
}

// Place is what a database of networks would know of an address: the country, the
// number and the owner of the autonomous system; ok is false for other addresses.
func (h *History) Place(addr netip.Addr) (country string, asn uint32, owner string, ok bool) {
	n, ok := h.world.find(addr)
	if !ok {
		return "", 0, "", false
	}
	return n.country, n.asn, n.owner, true
}

// Doing tells what the notes and labels say of an identity at a time.
func (h *History) Doing(identity string, first, last time.Time) []string {
	var doing []string
	for _, n := range h.Notes {
		if (n.Identity == identity || n.Identity == Anyone) && !first.After(n.To) && !last.Before(n.From) {
			doing = append(doing, n.Text)
		}
	}
	for i := range h.Labels {
		if l := &h.Labels[i]; l.Identity == identity && !first.After(l.To.Add(Grace)) && !last.Before(l.From) {
			doing = append(doing, "label "+l.Kind+" for "+strings.Join(l.Rules, " "))
		}
	}
	return doing
}

// generator is a history in the making.
type generator struct {
	cfg      Config
	r        *rand.Rand
	from, to time.Time
	quiet    int // the week, from 0, in which nothing labelled begins or ends
	world    *world
	domain   string
	apis     []api
	machines []*machine
	admins   []*admin
	pending  []pending
	labels   []Label
	notes    []Note
	gaps     []gap
	failing  []failing
}

// pending is a log that is not written yet: its id depends on the order of all.
type pending struct {
	at, delivered time.Time
	record        *record
}

// Generate makes the history.
func Generate(cfg Config) *History {
	cfg.Tenant = cmp.Or(cfg.Tenant, "acme")
	cfg.Days = cmp.Or(cfg.Days, 30)
	cfg.Machines = cmp.Or(cfg.Machines, 200)
	cfg.Events = cmp.Or(cfg.Events, 120_000)
	g := &generator{cfg: cfg, r: rand.New(rand.NewPCG(cfg.Seed, 0x6d326d)), domain: cfg.Tenant + ".eu.auth0.com"}
	g.from = cfg.From
	if g.from.IsZero() {
		g.from = time.Date(2026, 3, 2+g.r.IntN(6), 0, 0, 0, 0, time.UTC)
	}
	g.to = g.from.AddDate(0, 0, cfg.Days)
	g.quiet = 1 + g.r.IntN(max(1, cfg.Days/7-1))
	g.world = newWorld(g.r)
	g.populate()
	g.live()
	g.attack()
	g.work()
	g.failed()
	g.held()
	return g.finish()
}

// finish writes the logs in the order of their delivery.
func (g *generator) finish() *History {
	slices.SortStableFunc(g.pending, func(a, b pending) int { return a.delivered.Compare(b.delivered) })
	h := &History{Tenant: g.cfg.Tenant, From: g.from, To: g.to, Notes: g.notes, world: g.world}
	h.Logs = make([]Log, len(g.pending))
	for i := range g.pending {
		p := &g.pending[i]
		h.Logs[i] = Log{p.delivered, p.record.envelope(p.at, uint64(i), g.cfg.Tenant)}
	}
	slices.SortStableFunc(g.labels, func(a, b Label) int { return a.From.Compare(b.From) })
	h.Labels = g.labels
	return h
}

// emit adds a log, which comes a little later than it is dated.
func (g *generator) emit(at time.Time, rec *record) { g.emitLate(at, g.delay(), rec) }

func (g *generator) emitLate(at time.Time, delay time.Duration, rec *record) {
	if at.Before(g.to) {
		at = at.Truncate(time.Millisecond)
		g.pending = append(g.pending, pending{at, at.Add(delay), rec})
	}
}

// delay is how long after its date a log comes: mostly a second, sometimes a minute.
func (g *generator) delay() time.Duration {
	if g.chance(0.002) {
		return time.Duration(g.logUniform(5, 180) * float64(time.Second))
	}
	return time.Duration(g.logUniform(0.2, 4) * float64(time.Second))
}

func (g *generator) label(l Label) {
	l.Tenant = g.cfg.Tenant
	if l.To.After(g.to) {
		l.To = g.to
	}
	l.From = l.From.Truncate(time.Millisecond) // as dates of logs are
	g.labels = append(g.labels, l)
}

func (g *generator) note(identity string, from, to time.Time, text string) {
	g.notes = append(g.notes, Note{identity, from, to, text})
}

func (g *generator) tenantIdentity() string { return TenantPrefix + g.cfg.Tenant }

func (g *generator) chance(p float64) bool { return g.r.Float64() < p }

// uniform draws from [low, high).
func (g *generator) uniform(low, high float64) float64 { return low + (high-low)*g.r.Float64() }

// logUniform draws so that every factor is as likely as any other.
func (g *generator) logUniform(low, high float64) float64 {
	return math.Exp(g.uniform(math.Log(low), math.Log(high)))
}

// count is a logUniform number of at least low.
func (g *generator) count(low, high float64) int { return int(math.Round(g.logUniform(low, high))) }

// span is a logUniform duration.
func (g *generator) span(low, high time.Duration) time.Duration {
	return time.Duration(g.logUniform(float64(low), float64(high)))
}

// text makes up an id.
func (g *generator) text(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[g.r.IntN(len(alphabet))]
	}
	return string(b)
}

const (
	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	hex    = "0123456789abcdef"
)

func pick[T any](g *generator, from []T) T { return from[g.r.IntN(len(from))] }

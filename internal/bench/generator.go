// Package bench measures the store: it fills a data directory with a simulated
// tenant's month and times what people ask of it. Nothing of the product
// imports it.
package bench

import (
	"iter"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// The population: machines whose rates are heavy-tailed, and people.
const (
	machines = 10_000
	people   = 20_000
)

// Generator makes the month. What it gives is a function of its fields. Token
// and trace ids have 128 random bits, log ids Auth0's form: ids that repeat, or
// count up, would flatter the store.
type Generator struct {
	Seed   uint64
	Events int
	Days   int       // that they are spread over
	To     time.Time // the end of the last day, exclusive; days need not begin at midnight

	tenant *auth0sim.Tenant
}

// Tenant is the name of the tenant whose records these are.
const Tenant = "acme"

func (g *Generator) simulated() *auth0sim.Tenant {
	if g.tenant == nil {
		g.tenant = auth0sim.New(auth0sim.Config{Name: Tenant, Seed: g.Seed, Machines: machines, People: people})
	}
	return g.tenant
}

// From is the beginning of the first day.
func (g *Generator) From() time.Time { return g.To.AddDate(0, 0, -g.Days) }

// Day yields the records of one day, 0 to Days-1, in the order of
// their dates. A yielded slice is the receiver's to keep.
func (g *Generator) Day(day int) iter.Seq[[]byte] {
	from := g.From().AddDate(0, 0, day)
	events := g.Events*(day+1)/g.Days - g.Events*day/g.Days
	return g.simulated().HistoryPart(day, from, from.AddDate(0, 0, 1), events)
}

// Stretch yields what follows the days, from..to, at their rate. part is its number,
// counted from Days on.
func (g *Generator) Stretch(part int, from, to time.Time) iter.Seq[[]byte] {
	month := time.Duration(g.Days) * 24 * time.Hour
	return g.simulated().HistoryPart(part, from, to, int(float64(g.Events)*to.Sub(from).Seconds()/month.Seconds()))
}

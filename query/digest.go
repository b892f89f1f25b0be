package query

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

type digestInput struct {
	Tenant string `query:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
	Owner  string `query:"owner" maxLength:"256" doc:"Of this owner, as the inventory has it; - for what nobody owns." example:"billing"`
	Period
}

type digestOutput struct{ Body schemas.Digest }

func (a *API) registerDigest(api huma.API) {
	huma.Register(api, operation("get-digest", "/digest", "Show what nobody was woken for",
		"Findings up to medium and urgent ones that paged nobody, new, failing, silent and wasteful machines by owner, noisy rules and gaps in what was stored; without from and to of the last seven days.", http.StatusBadRequest), a.digest)
}

const week = 7 * 24 * time.Hour

func (a *API) digest(ctx context.Context, in *digestInput) (*digestOutput, error) {
	from, to, err := in.resolve(a.cfg.Now())
	if err != nil {
		return nil, err
	}
	f := schemas.DigestFilter{Tenant: in.Tenant, From: from, To: to}
	if f.To.IsZero() {
		f.To = a.cfg.Now().UTC().Truncate(time.Millisecond)
	}
	if f.From.IsZero() {
		f.From = f.To.Add(-week)
	}
	if in.Owner != "" {
		owner := strings.TrimPrefix(in.Owner, "-")
		f.Owner = &owner
	}
	d, err := ask(ctx, a, "store", func(ctx context.Context) (schemas.Digest, error) { return Digest(ctx, a.cfg.Store, f) })
	if err != nil {
		return nil, err
	}
	return &digestOutput{Body: d}, nil
}

// Digest is what the store has for f.
func Digest(ctx context.Context, store Store, f schemas.DigestFilter) (schemas.Digest, error) {
	d := &digester{API: New(Config{Store: store}), filter: f, owners: map[string]*schemas.OwnerDigest{}, machines: map[machine]string{}}
	for _, read := range []func(context.Context) error{d.readMachines, d.readWaste, d.readFindings, d.readGaps} {
		if err := read(ctx); err != nil {
			return schemas.Digest{}, err
		}
	}
	return d.finish(), nil
}

// digester puts a digest together.
type digester struct {
	*API
	filter   schemas.DigestFilter
	digest   schemas.Digest
	owners   map[string]*schemas.OwnerDigest
	machines map[machine]string // those that were looked up, with their owners
	names    map[machine]string
}

// machine is an identity of a tenant.
type machine struct{ tenant, id string }

// How much a digest looks at: pages of a thousand.
const (
	digestPages  = 10
	digestBefore = 90 * 24 * time.Hour // a machine that was not seen for so long before is new
	silentAfter  = 28 * 24 * time.Hour // one that was seen so lately is missed
	failingShare = 10                  // one of so many events that failed
	wasteFactor  = 10
	wasteLeast   = 100
	longestPause = 3 * time.Hour // without a log of a tenant, that is no gap
)

// owner is the part of one, or nil where nobody asks for it.
func (d *digester) owner(name string) *schemas.OwnerDigest {
	if d.filter.Owner != nil && *d.filter.Owner != name {
		return nil
	}
	if d.owners[name] == nil {
		d.owners[name] = &schemas.OwnerDigest{
			Owner: name, Findings: []schemas.DigestFinding{}, New: []schemas.DigestMachine{}, Failing: []schemas.DigestMachine{}, Silent: []schemas.DigestMachine{}, Wasteful: []schemas.DigestMachine{},
		}
	}
	return d.owners[name]
}

// identities are the machines that were seen in a range, with what the inventory
// knows of them.
func (d *digester) identities(ctx context.Context, from, to time.Time) ([]schemas.IdentitySummary, error) {
	f := schemas.IdentityFilter{
		Tenant: d.filter.Tenant, From: from, To: to, Known: true, Limit: 1000,
		Where: []schemas.Condition{{Field: "identity_kind", Values: []schemas.Pattern{{string(schemas.KindMachine)}}}},
	}
	var all []schemas.IdentitySummary
	for range digestPages {
		page, err := d.cfg.Store.Identities(ctx, f)
		if err != nil {
			return nil, err
		}
		seen := slices.Clone(page)
		seen = slices.DeleteFunc(seen, func(s schemas.IdentitySummary) bool { return s.Count == 0 })
		all = append(all, seen...)
		if len(page) < f.Limit || len(seen) < len(page) { // what was not seen comes last
			return all, d.nameIdentities(ctx, all)
		}
		last := &page[len(page)-1]
		f.After = &schemas.IdentityCursor{Last: last.Last, Tenant: last.Tenant, ID: last.ID}
	}
	d.digest.Coverage.More = true
	return all, d.nameIdentities(ctx, all)
}

func ownerOf(s *schemas.IdentitySummary) string {
	if s.Inventory == nil {
		return ""
	}
	return s.Inventory.Owner
}

func digestMachine(s *schemas.IdentitySummary) schemas.DigestMachine {
	return schemas.DigestMachine{Tenant: s.Tenant, ID: s.ID, Name: s.Name, Last: s.Last, Events: s.Count, Failures: s.Failures}
}

// readMachines tells new, failing and silent ones apart.
func (d *digester) readMachines(ctx context.Context) error {
	now, err := d.identities(ctx, d.filter.From, d.filter.To)
	if err != nil {
		return err
	}
	before, err := d.identities(ctx, d.filter.From.Add(-digestBefore), d.filter.From)
	if err != nil {
		return err
	}
	known := map[machine]bool{}
	for i := range before {
		known[machine{before[i].Tenant, before[i].ID}] = true
	}
	d.names = map[machine]string{}
	for i := range now {
		s := &now[i]
		m, owner := machine{s.Tenant, s.ID}, ownerOf(s)
		d.machines[m], d.names[m] = owner, s.Name
		d.digest.Coverage.Machines++
		if owner == "" {
			d.digest.Coverage.WithoutOwner++
		}
		of := d.owner(owner)
		if of == nil {
			continue
		}
		if !known[m] {
			of.New = append(of.New, digestMachine(s))
		}
		if s.Failures*failingShare >= s.Count {
			of.Failing = append(of.Failing, digestMachine(s))
		}
	}
	d.addSilent(before)
	return nil
}

// addSilent adds those that were seen lately before the range, and not in it. What
// was deleted is missed by nobody.
func (d *digester) addSilent(before []schemas.IdentitySummary) {
	for i := range before {
		s := &before[i]
		m := machine{s.Tenant, s.ID}
		_, seen := d.machines[m]
		gone := s.Inventory != nil && !s.Inventory.Deleted.IsZero()
		if seen || gone || s.Last.Before(d.filter.From.Add(-silentAfter)) {
			continue
		}
		d.machines[m] = ownerOf(s)
		if of := d.owner(d.machines[m]); of != nil {
			of.Silent = append(of.Silent, digestMachine(s))
		}
	}
}

// readWaste holds the tokens of each machine and API against their lifetime.
func (d *digester) readWaste(ctx context.Context) error {
	const limit = 10_000
	rows, err := d.cfg.Store.Stats(ctx, schemas.StatsFilter{
		Tenant: d.filter.Tenant, By: []string{"tenant", "identity", "audience", "network"}, From: d.filter.From, To: d.filter.To, Limit: limit,
		Where: []schemas.Condition{{Field: "type", Values: []schemas.Pattern{{"seccft"}}}},
	})
	if err != nil {
		return err
	}
	d.digest.Coverage.More = d.digest.Coverage.More || len(rows) >= limit
	lifetimes, err := d.lifetimes(ctx)
	if err != nil {
		return err
	}
	type use struct {
		machine
		audience string
	}
	tokens, networks := map[use]uint64{}, map[use]uint64{}
	for _, row := range rows {
		u := use{machine{row.Values[0], row.Values[1]}, row.Values[2]}
		tokens[u] += row.Count
		networks[u]++
	}
	wasted := map[machine]*schemas.DigestMachine{}
	for u, n := range tokens {
		lifetime, ok := lifetimes[machine{u.tenant, u.audience}]
		if !ok {
			lifetime = schemas.TokenLifetime
		}
		needed := networks[u] * uint64((d.filter.To.Sub(d.filter.From)+lifetime-1)/lifetime)
		if n < wasteLeast || n < wasteFactor*needed {
			continue
		}
		if wasted[u.machine] == nil {
			wasted[u.machine] = &schemas.DigestMachine{Tenant: u.tenant, ID: u.id, Name: d.names[u.machine]}
		}
		wasted[u.machine].Tokens += n
		wasted[u.machine].Needed += needed
	}
	for m, w := range wasted {
		if of := d.owner(d.machines[m]); of != nil {
			of.Wasteful = append(of.Wasteful, *w)
		}
	}
	return nil
}

// lifetimes are those of the tokens of APIs, by tenant and audience.
func (d *digester) lifetimes(ctx context.Context) (map[machine]time.Duration, error) {
	apis, err := d.cfg.Store.Inventory(ctx, schemas.InventoryFilter{Tenant: d.filter.Tenant, Kind: schemas.InventoryAPIs, Limit: 1000})
	lifetimes := map[machine]time.Duration{}
	for i := range apis {
		if m := &apis[i].Members; m.TokenLifetime > 0 {
			lifetimes[machine{apis[i].Tenant, m.Audience}] = time.Duration(m.TokenLifetime) * time.Second
		}
	}
	return lifetimes, err
}

// readFindings reads what was active in the range: of those up to medium each one,
// of rules how much they found.
func (d *digester) readFindings(ctx context.Context) error {
	var all []schemas.Finding
	f := schemas.FindingFilter{Tenant: d.filter.Tenant, From: d.filter.From, To: d.filter.To, Limit: 1000}
	for page := 0; ; page++ {
		some, err := d.cfg.Store.Findings(ctx, f)
		if err != nil {
			return err
		}
		all = append(all, some...)
		if len(some) < f.Limit {
			break
		}
		if page+1 == digestPages {
			d.digest.Coverage.More = true
			break
		}
		last := &some[len(some)-1]
		f.After = &schemas.FindingCursor{Last: last.Last, ID: last.ID}
	}
	if err := d.lookUp(ctx, all); err != nil {
		return err
	}
	d.addFindings(all)
	return nil
}

// lookUp looks up the owners of what findings are about.
func (d *digester) lookUp(ctx context.Context, findings []schemas.Finding) error {
	missing := map[string][]string{}
	for i := range findings {
		m := machine{findings[i].Tenant, findings[i].Identity}
		if _, ok := d.machines[m]; !ok && m.id != "" {
			d.machines[m] = ""
			missing[m.tenant] = append(missing[m.tenant], m.id)
		}
	}
	for tenant, ids := range missing {
		inventories, _, err := d.cfg.Store.IdentityInventories(ctx, tenant, ids)
		if err != nil {
			return err
		}
		for id, of := range inventories {
			d.machines[machine{tenant, id}] = of.Owner
		}
	}
	return nil
}

func (d *digester) addFindings(findings []schemas.Finding) {
	rules, identities := map[string]*schemas.DigestRule{}, map[string]map[machine]bool{}
	for i := range findings {
		f := &findings[i]
		m := machine{f.Tenant, f.Identity}
		of := d.owner(d.machines[m])
		if of == nil {
			continue
		}
		if rules[f.RuleID] == nil {
			rules[f.RuleID], identities[f.RuleID] = &schemas.DigestRule{RuleID: f.RuleID}, map[machine]bool{}
		}
		rules[f.RuleID].Findings++
		identities[f.RuleID][m] = true
		if f.State == schemas.StateWithdrawn {
			rules[f.RuleID].Withdrawn++
			continue
		}
		if !f.Level.AtLeast(schemas.LevelHigh) || heldBack(f.Paging) {
			of.Findings = append(of.Findings, schemas.DigestFinding{ID: f.ID, RuleID: f.RuleID, Title: f.Title, Tenant: f.Tenant, Identity: f.Identity, Level: f.Level, State: f.State, Last: f.Last})
		}
	}
	for id, r := range rules {
		r.Identities = uint64(len(identities[id]))
		d.digest.Rules = append(d.digest.Rules, *r)
	}
}

// heldBack reports whether nobody was told of an urgent finding, nor of its attack by
// another one. Of what is over or of a former build that is not known.
func heldBack(p schemas.Paging) bool {
	return p != "" && p != schemas.PagingPage && p != schemas.PagingContinued
}

// readGaps looks for hours without a log of a tenant, also before its first of the
// range, if it had any in the weeks before, and behind its last.
func (d *digester) readGaps(ctx context.Context) error {
	rows, err := d.cfg.Store.Stats(ctx, schemas.StatsFilter{
		Tenant: d.filter.Tenant, By: []string{"tenant"}, Interval: schemas.IntervalHour, From: d.filter.From, To: d.filter.To, Limit: 10_000,
	})
	if err != nil {
		return err
	}
	known, err := d.cfg.Store.Stats(ctx, schemas.StatsFilter{Tenant: d.filter.Tenant, By: []string{"tenant"}, From: d.filter.From.Add(-silentAfter), To: d.filter.From, Limit: 10_000})
	if err != nil {
		return err
	}
	last := map[string]time.Time{} // the hour of the last log
	for _, row := range known {
		last[row.Values[0]] = d.filter.From.Add(-time.Hour)
	}
	for _, row := range rows { // by time
		tenant := row.Values[0]
		if before, ok := last[tenant]; ok && row.Time.Sub(before) > longestPause {
			d.digest.Coverage.Gaps = append(d.digest.Coverage.Gaps, schemas.DigestGap{Tenant: tenant, From: before.Add(time.Hour), To: row.Time})
		}
		last[tenant] = row.Time
	}
	for _, tenant := range slices.Sorted(maps.Keys(last)) {
		if before := last[tenant]; d.filter.To.Sub(before) > longestPause {
			d.digest.Coverage.Gaps = append(d.digest.Coverage.Gaps, schemas.DigestGap{Tenant: tenant, From: before.Add(time.Hour), To: d.filter.To})
		}
	}
	return nil
}

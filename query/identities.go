package query

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// identitiesInput narrows by what hourly and daily counts have.
type identitiesInput struct {
	Tenant         string `query:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
	Identity       string `query:"identity" maxLength:"4096" doc:"This and the parameters below narrow the events that are looked at; see list-events for what they take." example:"app:*"`
	IdentityKind   string `query:"identity_kind" maxLength:"4096" doc:"machine, human or unknown." example:"machine"`
	ClientID       string `query:"client_id" maxLength:"4096" example:"invoice-*"`
	Type           string `query:"type" maxLength:"4096" example:"seccft,feccft"`
	Outcome        string `query:"outcome" maxLength:"4096" example:"failure"`
	Cause          string `query:"cause" maxLength:"4096" example:"wrong_credentials"`
	OrganizationID string `query:"organization_id" maxLength:"4096" example:"org_7Yx2"`
	Audience       string `query:"audience" maxLength:"4096" example:"https://api.acme.example/*"`
	Network        string `query:"network" maxLength:"4096" example:"192.0.2.*"`
	All            bool   `query:"all" doc:"Also those that never succeeded in all that is stored and are not in the inventory: anyone can fail with any client id."`
	Owner          string `query:"owner" maxLength:"4096" doc:"Whose owner in the inventory is one of these, in the language of the parameters above." example:"billing"`
	Has            string `query:"has" maxLength:"256" doc:"What the inventory has of them: inventory, owner, grants, credentials; all of those named, with ! before one that it must not have." example:"inventory,!owner"`
	UnusedSince    string `query:"unused_since" maxLength:"64" doc:"Who was not seen from then on, in the forms of from. Without from all that is stored is looked at." example:"90d"`
	Period
	Page
}

func (in *identitiesInput) conditions() ([]schemas.Condition, error) {
	f := Filter{
		Identity: in.Identity, IdentityKind: in.IdentityKind, ClientID: in.ClientID, Type: in.Type, Outcome: in.Outcome,
		Cause: in.Cause, OrganizationID: in.OrganizationID, Audience: in.Audience, Network: in.Network,
	}
	return f.conditions()
}

// inventory reads what narrows by the inventory.
func (in *identitiesInput) inventory(f *schemas.IdentityFilter, now time.Time) error {
	owner, some, err := schemas.ReadCondition("owner", in.Owner)
	if err != nil {
		return invalid(err.Error())
	}
	if some {
		f.Owner = &owner
	}
	if f.Facts, err = schemas.ParseFacts(in.Has); err != nil {
		return invalid(err.Error())
	}
	if f.UnusedSince, err = parseTime("unused_since", in.UnusedSince, now); err != nil {
		return err
	}
	if !f.UnusedSince.IsZero() && !f.From.Before(f.UnusedSince) {
		return invalid(fmt.Sprintf("unused_since: %s is not after from, %s: nobody was seen in between", f.UnusedSince.Format(timeFormat), f.From.Format(timeFormat)))
	}
	return nil
}

type identitiesOutput struct {
	Next
	Body schemas.IdentityPage
}

type identityInput struct {
	Tenant string `path:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
	ID     string `path:"id" maxLength:"512" doc:"app:, user: or agent: and an id." example:"app:invoice-sync"`
	Period
}

type identityOutput struct {
	Body schemas.IdentityDetail
}

func (a *API) registerIdentities(api huma.API) {
	huma.Register(api, operation("list-identities", "/identities", "List identities",
		"Who was seen, the last seen first: applications, users, agents; then machines that the inventory knows and that were not seen, unless what narrows asks about events.", http.StatusBadRequest), a.identities)
	huma.Register(api, operation("get-identity", "/identities/{tenant}/{id}", "Show one identity",
		"What an identity did, from where, what it failed at, and what was found. The range is that of whole UTC days.", http.StatusNotFound), a.identity)
}

func (a *API) identities(ctx context.Context, in *identitiesInput) (*identitiesOutput, error) {
	f := schemas.IdentityFilter{Tenant: in.Tenant, Known: !in.All, Limit: in.Limit}
	var err error
	if f.Where, err = in.conditions(); err != nil {
		return nil, err
	}
	if f.From, f.To, err = in.resolve(a.cfg.Now()); err != nil {
		return nil, err
	}
	if err := in.inventory(&f, a.cfg.Now()); err != nil {
		return nil, err
	}
	f.After, err = decodeCursor(in.Cursor, func(c schemas.IdentityCursor) bool {
		return c.ID != "" && schemas.CheckTenant(c.Tenant) == nil && (c.Last.IsZero() || inRange(c.Last))
	})
	if err != nil {
		return nil, err
	}
	identities, err := ask(ctx, a, "store", func(ctx context.Context) ([]schemas.IdentitySummary, error) {
		found, err := a.cfg.Store.Identities(ctx, f)
		if err != nil {
			return nil, err
		}
		return found, a.nameIdentities(ctx, found)
	})
	if err != nil {
		return nil, err
	}
	page := schemas.IdentityPage{Identities: identities}
	if len(identities) == f.Limit { // the next page may turn out empty
		last := &identities[len(identities)-1]
		page.Next = encodeCursor(schemas.IdentityCursor{Last: last.Last, Tenant: last.Tenant, ID: last.ID})
	}
	return &identitiesOutput{Next: in.next(page.Next), Body: page}, nil
}

// nameIdentities adds names, and what the inventory has.
func (a *API) nameIdentities(ctx context.Context, identities []schemas.IdentitySummary) error {
	if err := a.nameApplications(ctx, identities); err != nil {
		return err
	}
	byTenant := map[string][]string{}
	for i := range identities {
		byTenant[identities[i].Tenant] = append(byTenant[identities[i].Tenant], identities[i].ID)
	}
	for tenant, ids := range byTenant {
		inventories, names, err := a.cfg.Store.IdentityInventories(ctx, tenant, ids)
		if err != nil {
			return err
		}
		warm, err := a.cfg.Store.Warm(ctx, tenant, ids, a.cfg.Now())
		if err != nil {
			return err
		}
		for i := range identities {
			if identities[i].Tenant == tenant {
				identities[i].Warm = warm[identities[i].ID]
			}
			of, known := inventories[identities[i].ID]
			if identities[i].Tenant != tenant || !known {
				continue
			}
			identities[i].Inventory = &of
			if name := names[identities[i].ID]; name != "" {
				identities[i].Name = name
			}
		}
	}
	return nil
}

// nameApplications names applications as they were last logged.
func (a *API) nameApplications(ctx context.Context, identities []schemas.IdentitySummary) error {
	names := newClientNames()
	for i := range identities {
		if clientID, isApp := strings.CutPrefix(identities[i].ID, schemas.AppID("")); isApp {
			names.want(identities[i].Tenant, clientID)
		}
	}
	if err := names.read(ctx, a.cfg.Store); err != nil {
		return err
	}
	for i := range identities {
		if clientID, isApp := strings.CutPrefix(identities[i].ID, schemas.AppID("")); isApp {
			identities[i].Name = names.of(identities[i].Tenant, clientID)
		}
	}
	return nil
}

const day = 24 * time.Hour

// identity reads whole days, since presence is kept by day.
func (a *API) identity(ctx context.Context, in *identityInput) (*identityOutput, error) {
	from, to, err := in.resolve(a.cfg.Now())
	if err != nil {
		return nil, err
	}
	from = from.Truncate(day)
	if !to.IsZero() {
		to = to.Add(day - 1).Truncate(day)
	}
	d, err := ask(ctx, a, "store", func(ctx context.Context) (schemas.IdentityDetail, error) {
		return a.readIdentity(ctx, in.Tenant, in.ID, from, to)
	})
	if err != nil {
		return nil, named(err, fmt.Sprintf("Nothing of %s is stored for the tenant %s in this time, and its inventory does not know it; see list-identities.", in.ID, in.Tenant))
	}
	return &identityOutput{Body: d}, nil
}

func (a *API) readIdentity(ctx context.Context, tenant, id string, from, to time.Time) (schemas.IdentityDetail, error) {
	d := schemas.IdentityDetail{}
	only := schemas.Condition{Field: "identity", Values: []schemas.Pattern{{id}}}
	found, err := a.cfg.Store.Identities(ctx, schemas.IdentityFilter{Tenant: tenant, Where: []schemas.Condition{only}, From: from, To: to, Deleted: true, Limit: 1})
	if err != nil {
		return d, err
	}
	if len(found) == 0 {
		return d, fmt.Errorf("identity %s of tenant %s: %w", clip(id, 64), tenant, schemas.ErrNotFound)
	}
	if err := a.nameIdentities(ctx, found); err != nil {
		return d, err
	}
	d.IdentitySummary = found[0]
	presenceTo := to
	if !to.IsZero() {
		presenceTo = to.Add(-1) // of the last day
	}
	seen, err := a.cfg.Store.Presence(ctx, tenant, id, from, presenceTo)
	if err != nil {
		return d, err
	}
	addSeen(&d, seen)
	for by, tallies := range map[string]*[]schemas.Tally{"type": &d.Types, "cause": &d.Causes} {
		rows, err := a.cfg.Store.Stats(ctx, schemas.StatsFilter{Tenant: tenant, By: []string{by}, Where: []schemas.Condition{only}, From: from, To: to, Limit: 1000})
		if err != nil {
			return d, err
		}
		for _, row := range rows {
			if value := row.Values[0]; value != "" {
				*tallies = append(*tallies, schemas.Tally{Value: value, Count: row.Count})
			}
		}
	}
	d.Findings, err = a.cfg.Store.Findings(ctx, schemas.FindingFilter{Tenant: tenant, Identity: id, Limit: 100})
	return d, err
}

// addSeen sorts what presence tells by attribute.
func addSeen(d *schemas.IdentityDetail, seen []schemas.Presence) {
	lists := map[string]*[]schemas.Seen{
		schemas.AttributeNetwork: &d.Networks, schemas.AttributeCountry: &d.Countries, schemas.AttributeASN: &d.ASNs,
		schemas.AttributeUserAgentClass: &d.UserAgentClasses, schemas.AttributeJA4: &d.JA4s,
		schemas.AttributeAudience: &d.Audiences, schemas.AttributeOrganization: &d.Organizations,
	}
	for _, p := range seen {
		if p.Attribute == schemas.AttributeIdentity {
			d.Days = p.Days
			continue
		}
		if list := lists[p.Attribute]; list != nil {
			*list = append(*list, schemas.Seen{Value: p.Value, First: p.First, Last: p.Last, Days: p.Days, Count: p.Count})
		}
	}
}

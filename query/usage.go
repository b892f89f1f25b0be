package query

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

type usageInput struct {
	Tenant         string           `query:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
	ClientID       string           `query:"client_id" maxLength:"4096" doc:"This, audience and organization_id take what the parameters of list-events take." example:"invoice-sync"`
	Audience       string           `query:"audience" maxLength:"4096" example:"https://api.acme.example/*"`
	OrganizationID string           `query:"organization_id" maxLength:"4096" example:"org_7Yx2"`
	By             []string         `query:"by" maxItems:"3" uniqueItems:"true" nullable:"false" default:"client_id" enum:"client_id,audience,organization_id" doc:"What to count by, separated by commas." example:"client_id,audience"`
	Interval       schemas.Interval `query:"interval" enum:"day,month" default:"month" doc:"Days or months of UTC, as Auth0 counts them."`
	Period
	Limit int `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"The most rows to answer."`
}

type usageOutput struct {
	Body schemas.UsagePage
}

func (a *API) registerUsage(api huma.API) {
	op := operation("count-tokens", "/usage", "Count tokens",
		"Access tokens that clients got by their credentials, and exchanges that failed, by client, audience and organization. Auth0 bills tokens by calendar month (UTC), those for its own APIs apart.", http.StatusBadRequest)
	huma.Register(api, op, a.usage)
}

func (a *API) usage(ctx context.Context, in *usageInput) (*usageOutput, error) {
	f := schemas.UsageFilter{Tenant: in.Tenant, By: in.By, Interval: in.Interval, Limit: in.Limit + 1}
	var err error
	filter := Filter{ClientID: in.ClientID, Audience: in.Audience, OrganizationID: in.OrganizationID}
	if f.Where, err = filter.conditions(); err != nil {
		return nil, err
	}
	if f.From, f.To, err = in.resolve(a.cfg.Now()); err != nil {
		return nil, err
	}
	page, err := ask(ctx, a, "store", func(ctx context.Context) (schemas.UsagePage, error) { return a.readUsage(ctx, f) })
	if err != nil {
		return nil, err
	}
	return &usageOutput{Body: page}, nil
}

func (a *API) readUsage(ctx context.Context, f schemas.UsageFilter) (schemas.UsagePage, error) {
	var page schemas.UsagePage
	rows, err := a.cfg.Store.Usage(ctx, f)
	if err != nil {
		return page, err
	}
	page.Truncated = len(rows) == f.Limit
	rows = rows[:min(len(rows), f.Limit-1)]
	sum := f
	sum.By, sum.Interval = nil, schemas.IntervalNone
	totals, err := a.cfg.Store.Usage(ctx, sum)
	if err != nil {
		return page, err
	}
	for _, t := range totals {
		total := &page.Billed
		if t.BuiltIn {
			total = &page.BuiltIn
		}
		total.Issued += t.Issued
		total.Failed += t.Failed
	}
	page.Rows, err = a.usageEntries(ctx, f.By, rows)
	return page, err
}

func (a *API) usageEntries(ctx context.Context, by []string, rows []schemas.UsageRow) ([]schemas.UsageEntry, error) {
	client := slices.Index(by, "client_id")
	names := newClientNames()
	entries := make([]schemas.UsageEntry, len(rows))
	for i, row := range rows {
		e := &entries[i]
		*e = schemas.UsageEntry{Time: row.Time, Tenant: row.Tenant, BuiltIn: row.BuiltIn, Issued: row.Issued, Failed: row.Failed}
		for j, name := range by {
			*map[string]*string{"client_id": &e.ClientID, "audience": &e.Audience, "organization_id": &e.OrganizationID}[name] = row.Values[j]
		}
		if client >= 0 && i < maxNamed {
			names.want(e.Tenant, e.ClientID)
		}
	}
	if err := names.read(ctx, a.cfg.Store); err != nil {
		return nil, err
	}
	for i := range entries {
		entries[i].ClientName = names.of(entries[i].Tenant, entries[i].ClientID)
	}
	return entries, nil
}

// maxNamed bounds of how many rows the clients are named: each costs a look.
const maxNamed = 1000

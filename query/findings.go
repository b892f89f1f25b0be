package query

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

type findingsInput struct {
	Tenant   string `query:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
	RuleID   string `query:"rule_id" maxLength:"128" example:"MI-02"`
	State    string `query:"state" enum:"open,acknowledged,resolved,withdrawn"`
	Level    string `query:"level" enum:"informational,low,medium,high,critical"`
	Key      string `query:"key" maxLength:"512" doc:"What the rule groups by, such as a client_id." example:"invoice-sync"`
	Identity string `query:"identity" maxLength:"512" doc:"Whose it is." example:"app:invoice-sync"`
	Period
	Page
}

type findingsOutput struct {
	Next
	Body schemas.FindingPage
}

type findingInput struct {
	ID string `path:"id" maxLength:"64" example:"7c1e5a0b9d3f42e68a1c0b7d"`
}

type findingOutput struct {
	Body schemas.FindingDetail
}

func (a *API) registerFindings(api huma.API) {
	huma.Register(api, operation("list-findings", "/findings", "List findings",
		"What the rules found, the last active first; from and to bound the last event of a finding.", http.StatusBadRequest), a.findings)
	huma.Register(api, operation("get-finding", "/findings/{id}", "Show one finding",
		"A finding with its evidence, the history of its state, and what people did about it.", http.StatusNotFound), a.finding)
}

func (a *API) findings(ctx context.Context, in *findingsInput) (*findingsOutput, error) {
	f, err := a.findingFilter(in)
	if err != nil {
		return nil, err
	}
	findings, err := ask(ctx, a, "store", func(ctx context.Context) ([]schemas.Finding, error) {
		return a.cfg.Store.Findings(ctx, f)
	})
	if err != nil {
		return nil, err
	}
	page := schemas.FindingPage{Findings: findings}
	if len(findings) == f.Limit { // the next page may turn out empty
		last := &findings[len(findings)-1]
		page.Next = encodeCursor(schemas.FindingCursor{Last: last.Last, ID: last.ID})
	}
	return &findingsOutput{Next: in.next(page.Next), Body: page}, nil
}

func (a *API) findingFilter(in *findingsInput) (schemas.FindingFilter, error) {
	f := schemas.FindingFilter{
		Tenant: in.Tenant, RuleID: in.RuleID, Key: in.Key, Identity: in.Identity,
		State: schemas.State(in.State), Level: schemas.Level(in.Level), Limit: in.Limit,
	}
	var err error
	if f.From, f.To, err = in.resolve(a.cfg.Now()); err != nil {
		return f, err
	}
	f.After, err = decodeCursor(in.Cursor, func(c schemas.FindingCursor) bool {
		return c.ID != "" && inRange(c.Last)
	})
	return f, err
}

func (a *API) finding(ctx context.Context, in *findingInput) (*findingOutput, error) {
	f, err := ask(ctx, a, "store", func(ctx context.Context) (d schemas.FindingDetail, err error) {
		if d.Finding, err = a.cfg.Store.Finding(ctx, in.ID); err != nil {
			return d, err
		}
		if d.Acts, err = a.cfg.Acts.Acts(ctx, d.Tenant, d.ID); err != nil {
			return d, err
		}
		if d.History, err = a.cfg.Store.FindingHistory(ctx, d.Finding); err == nil && a.cfg.Explain != nil {
			err = a.cfg.Explain(ctx, &d.Finding)
		}
		return d, err
	})
	if err != nil {
		return nil, named(err, fmt.Sprintf("No finding has the id %s.", in.ID))
	}
	return &findingOutput{Body: f}, nil
}

package query

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

type statsInput struct {
	Filter
	By       []string         `query:"by" maxItems:"6" uniqueItems:"true" nullable:"false" default:"type" doc:"The dimensions to count by, separated by commas." example:"type,client_id"`
	Interval schemas.Interval `query:"interval" enum:"hour,day,month" doc:"Count each hour, day or month of UTC by itself."`
	Period
	Limit int `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"The most rows to answer."`
}

type statsOutput struct {
	Body schemas.StatsPage
}

func (a *API) registerStats(api huma.API) {
	op := operation("count-events", "/stats", "Count events",
		"Counts of distinct log_ids by one or more dimensions, the highest first, within each interval where there is one. A log_id counts once, however often it was delivered. An interval without events has no row.")
	huma.Register(api, op, a.stats)

	registered := api.OpenAPI().Paths["/stats"].Get
	for _, p := range registered.Parameters {
		if p.Name == "by" {
			listDimensions(p.Schema.Items)
		}
	}
	api.OpenAPI().Components.Schemas.Map()["StatsEntry"] = statsEntrySchema()
}

// listDimensions makes huma refuse what is not in schemas.StatsDimensions, in
// words that list them.
func listDimensions(s *huma.Schema) {
	s.Enum = nil
	for _, name := range schemas.StatsDimensions {
		s.Enum = append(s.Enum, name)
	}
	s.PrecomputeMessages()
}

// statsEntrySchema describes the JSON of a StatsEntry, which its fields do not.
func statsEntrySchema() *huma.Schema {
	zero := 0.0
	s := &huma.Schema{
		Type:        huma.TypeObject,
		Description: "A member for each dimension that was asked for, and the count.",
		Properties: map[string]*huma.Schema{
			"time":  {Type: huma.TypeString, Format: "date-time", Description: "When the interval begins, where there is one."},
			"count": {Type: huma.TypeInteger, Format: "int64", Minimum: &zero, Description: "Distinct log_ids."},
		},
		Required:             []string{"count"},
		AdditionalProperties: false,
	}
	for _, name := range schemas.StatsDimensions {
		s.Properties[name] = &huma.Schema{Type: huma.TypeString}
	}
	return s
}

func (a *API) stats(ctx context.Context, in *statsInput) (*statsOutput, error) {
	f := schemas.StatsFilter{Tenant: in.Tenant, By: in.By, Interval: in.Interval, Limit: in.Limit + 1}
	var err error
	if f.Where, err = in.conditions(); err != nil {
		return nil, err
	}
	if f.From, f.To, err = in.resolve(a.cfg.Now()); err != nil {
		return nil, err
	}
	rows, err := ask(ctx, a, "store", func(ctx context.Context) ([]schemas.StatsRow, error) {
		return a.cfg.Store.Stats(ctx, f)
	})
	if err != nil {
		return nil, err
	}
	dirty, err := ask(ctx, a, "store", func(ctx context.Context) (int, error) {
		return a.cfg.Store.DirtyHours(ctx, f.Tenant, f.From, f.To)
	})
	if err != nil {
		return nil, err
	}
	page := schemas.StatsPage{DirtyHours: dirty, Truncated: len(rows) > in.Limit}
	rows = rows[:min(len(rows), in.Limit)]
	page.Rows = make([]schemas.StatsEntry, len(rows))
	for i, r := range rows {
		page.Rows[i] = schemas.StatsEntry{Time: r.Time, By: f.By, Values: r.Values, Count: r.Count}
	}
	return &statsOutput{Body: page}, nil
}

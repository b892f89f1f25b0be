package query

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

type tablesOutput struct {
	Body schemas.TablesView
}

func (a *API) registerTables(api huma.API) {
	huma.Register(api, operation("get-tables", "/tables", "Compare the store's tables",
		"How the tables are against what this build makes of them, and whether what is inserted is synced to disk. All lists are empty where nothing is wrong."), a.tables)
}

func (a *API) tables(ctx context.Context, _ *struct{}) (*tablesOutput, error) {
	view, err := ask(ctx, a, "store", a.cfg.Store.Tables)
	if err != nil {
		return nil, err
	}
	for _, list := range []*[]string{&view.Pending, &view.Missing, &view.Differs, &view.Unsynced} {
		if *list == nil {
			*list = []string{}
		}
	}
	return &tablesOutput{Body: view}, nil
}

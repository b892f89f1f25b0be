package query

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

type eventTypesOutput struct {
	Body schemas.EventTypePage
}

func (a *API) registerEventTypes(api huma.API) {
	huma.Register(api, operation("list-event-types", "/event-types", "List event types",
		"Auth0's event type codes as this instance knows them. Codes that it does not know are stored all the same."), a.eventTypes)
}

func (a *API) eventTypes(context.Context, *struct{}) (*eventTypesOutput, error) {
	page := schemas.EventTypePage{}
	for _, t := range a.cfg.Catalogue.All() {
		page.EventTypes = append(page.EventTypes, schemas.EventTypeView(t))
	}
	return &eventTypesOutput{Body: page}, nil
}

package query

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

type eventsInput struct {
	Filter
	Text string `query:"text" maxLength:"256" doc:"Any of the texts that an event shows has it, whatever its case." example:"terraform"`
	Period
	Page
}

type eventsOutput struct {
	Next
	Body schemas.EventPage
}

type eventInput struct {
	Tenant string `path:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
	LogID  string `path:"log_id" maxLength:"256" example:"90020250314120000000000000000000000001223372036854775807"`
	Raw    bool   `query:"raw" doc:"Answer the bytes of the raw record alone."`
}

type eventOutput struct {
	Body eventDetail
}

func (a *API) registerEvents(api huma.API) {
	huma.Register(api, operation("list-events", "/events", "List events",
		"Events, newest first. No log_id is listed twice, however often it was delivered.", http.StatusBadRequest), a.events)
	huma.Register(api, operation("get-event", "/events/{tenant}/{log_id}", "Show one event",
		"An event with the record that it was made of.", http.StatusNotFound), a.event)
}

func (a *API) events(ctx context.Context, in *eventsInput) (*eventsOutput, error) {
	f, err := a.eventFilter(in)
	if err != nil {
		return nil, err
	}
	events, err := ask(ctx, a, "store", func(ctx context.Context) ([]schemas.Event, error) {
		return a.cfg.Store.Events(ctx, f)
	})
	if err != nil {
		return nil, err
	}
	page := schemas.EventPage{Events: make([]schemas.EventView, len(events))}
	for i := range events {
		page.Events[i] = viewEvent(&events[i])
	}
	if len(events) == f.Limit { // the next page may turn out empty
		last := &events[len(events)-1]
		page.Next = encodeCursor(schemas.EventCursor{Time: last.Time, LogID: last.LogID, Tenant: last.Tenant})
	}
	return &eventsOutput{Next: in.next(page.Next), Body: page}, nil
}

func (a *API) eventFilter(in *eventsInput) (schemas.EventFilter, error) {
	f, err := in.eventFilter()
	if err != nil {
		return f, err
	}
	f.Text, f.Limit = in.Text, in.Limit
	if f.From, f.To, err = in.resolve(a.cfg.Now()); err != nil {
		return f, err
	}
	f.After, err = decodeCursor(in.Cursor, func(c schemas.EventCursor) bool {
		return c.LogID != "" && schemas.CheckTenant(c.Tenant) == nil && inRange(c.Time)
	})
	return f, err
}

func (a *API) event(ctx context.Context, in *eventInput) (*eventOutput, error) {
	e, err := ask(ctx, a, "store", func(ctx context.Context) (schemas.Event, error) {
		return a.cfg.Store.Event(ctx, in.Tenant, in.LogID)
	})
	if err != nil {
		return nil, named(err, fmt.Sprintf("No event with the log_id %s is stored for the tenant %s.", in.LogID, in.Tenant))
	}
	detail := schemas.EventDetail{EventView: viewEvent(&e), Raw: e.Raw}
	return &eventOutput{Body: eventDetail{EventDetail: detail, alone: in.Raw}}, nil
}

// viewEvent is an event as the API shows it, without the raw record.
func viewEvent(e *schemas.Event) schemas.EventView {
	return schemas.EventView{
		LogID: e.LogID, Tenant: e.Tenant, Time: e.Time, Type: e.Type,
		ClientID: e.ClientID, ClientName: e.ClientName,
		IP: e.IP, ClientIP: e.ClientIP, Network: e.Network, Country: e.Country, ASN: e.ASN, ASOrg: e.ASOrg,
		UserAgent: e.UserAgent, UserAgentClass: e.UserAgentClass, JA3: e.JA3, JA4: e.JA4,
		SDKName: e.SDKName, SDKVersion: e.SDKVersion,
		Audience: e.Audience, Scopes: e.Scopes, GrantType: e.GrantType,
		Outcome: e.Outcome, Description: e.Description, Cause: e.Cause,
		UserID: e.UserID, UserName: e.UserName,
		Connection: e.Connection, ConnectionID: e.ConnectionID, Strategy: e.Strategy, StrategyType: e.StrategyType,
		OrganizationID: e.OrganizationID, OrganizationName: e.OrganizationName, Hostname: e.Hostname,
		TokenID: e.TokenID, UsedTokenID: e.UsedTokenID, SessionID: e.SessionID, MTLSThumbprint: e.MTLSThumbprint,
		AgentID: e.AgentID, ExternalAgentID: e.ExternalAgentID, ActorSubject: e.ActorSubject,
		CorrelationID: e.CorrelationID, TraceID: e.TraceID,
		Method: e.Call.Method, Path: e.Call.Path, Status: e.Call.Status, Channel: e.Call.Channel, Target: e.Call.Target,
		Quota: schemas.QuotaView(e.Quota), Selectors: e.Selectors,
		Source: e.Source.String(), IngestedAt: e.IngestedAt, StoredAt: e.StoredAt,
		Identity: e.Identity, RawMasked: e.RawMasked,
	}
}

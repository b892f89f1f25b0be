package query

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// ProvisionLog keeps what provisioning commands changed. internal/clickhouse has the
// one for ClickHouse. RecordCalls returns when the calls are on disk; a call that is
// recorded twice is there once.
type ProvisionLog interface {
	RecordCalls(ctx context.Context, calls []schemas.ProvisionCall) error
	// Calls are those recorded, the newest first.
	Calls(ctx context.Context, f schemas.ProvisionFilter) ([]schemas.ProvisionCall, error)
}

type recordCallsInput struct {
	Body schemas.ProvisionCalls
}

type recordCallsOutput struct {
	Body schemas.Recorded
}

type callsInput struct {
	Domain   string `query:"domain" maxLength:"255" example:"acme.eu.auth0.com"`
	ClientID string `query:"client_id" maxLength:"256" doc:"The application they were made as."`
	Period
	Page
}

type callsOutput struct {
	Next
	Body schemas.ProvisionPage
}

func (a *API) registerProvision(api huma.API) {
	record := operation("record-provision-calls", "/provision-log", "Record calls that change a tenant",
		"For provisioning commands, which record each call before they make it, and how it ended. The answer comes when the calls are on disk; one that is recorded twice is there once.")
	record.Method = http.MethodPost
	huma.Register(api, record, a.recordCalls)
	huma.Register(api, operation("list-provision-calls", "/provision-log", "List calls that changed a tenant",
		"What provisioning commands did, the newest first: that of other tools, and of the Dashboard, is in the tenant's logs alone.", http.StatusBadRequest), a.calls)
}

func (a *API) recordCalls(ctx context.Context, in *recordCallsInput) (*recordCallsOutput, error) {
	latest := a.cfg.Now().Add(24 * time.Hour) // as of an event: a clock that is wrong must not make partitions
	for i := range in.Body.Calls {
		c := &in.Body.Calls[i]
		c.At = c.At.UTC().Truncate(time.Millisecond)
		if c.At.Before(firstTime) || c.At.After(latest) {
			return nil, invalid(fmt.Sprintf("calls[%d].at: %s is not a time when it can have been", i, c.At.Format(timeFormat)))
		}
	}
	_, err := ask(ctx, a, "store", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, a.cfg.Provision.RecordCalls(ctx, in.Body.Calls)
	})
	if err != nil {
		return nil, err
	}
	return &recordCallsOutput{Body: schemas.Recorded{Recorded: len(in.Body.Calls)}}, nil
}

func (a *API) calls(ctx context.Context, in *callsInput) (*callsOutput, error) {
	f := schemas.ProvisionFilter{Domain: in.Domain, ClientID: in.ClientID, Limit: in.Limit}
	var err error
	if f.From, f.To, err = in.resolve(a.cfg.Now()); err != nil {
		return nil, err
	}
	f.After, err = decodeCursor(in.Cursor, func(c schemas.ProvisionCursor) bool { return c.ID != "" && inRange(c.At) })
	if err != nil {
		return nil, err
	}
	calls, err := ask(ctx, a, "store", func(ctx context.Context) ([]schemas.ProvisionCall, error) {
		return a.cfg.Provision.Calls(ctx, f)
	})
	if err != nil {
		return nil, err
	}
	page := schemas.ProvisionPage{Calls: calls}
	if len(calls) == f.Limit { // the next page may turn out empty
		last := &calls[len(calls)-1]
		page.Next = encodeCursor(schemas.ProvisionCursor{At: last.At, ID: last.ID})
	}
	return &callsOutput{Next: in.next(page.Next), Body: page}, nil
}

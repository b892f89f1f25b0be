package query

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// Expectations keeps what is declared to be normal for identities.
// internal/clickhouse has the one for ClickHouse. Declare returns when it is on disk;
// the correlator computes the findings of the identities anew. The later declaration
// of an identity counts.
type Expectations interface {
	Declare(ctx context.Context, list []schemas.Expectation) error
	// Expectations are those of a tenant, or, of "", of all.
	Expectations(ctx context.Context, tenant string) ([]schemas.Expectation, error)
}

type declareInput struct {
	Body schemas.Declaration
}

type declareOutput struct {
	Body schemas.Declared
}

type expectationsInput struct {
	Domain string `query:"domain" maxLength:"255" doc:"Of the tenant of this domain." example:"acme.eu.auth0.com"`
}

type expectationsOutput struct {
	Body schemas.Expectations
}

func (a *API) registerExpectations(api huma.API) {
	declare := operation("declare-expectations", "/expectations", "Declare what is normal for identities",
		"In place of what was declared of them; nothing takes it away. For m2mwatch apply, which reads it in machines.yaml. The answer comes when it is on disk; the processor computes the findings of the last 90 days of these identities anew soon after. Nothing is written to Auth0.",
		http.StatusNotFound)
	declare.Method, declare.DefaultStatus = http.MethodPost, http.StatusAccepted
	huma.Register(api, declare, a.declare)
	huma.Register(api, operation("list-expectations", "/expectations", "List what is declared to be normal",
		"By tenant and identity.", http.StatusNotFound), a.expectations)
}

// tenantAt is the tenant that the configuration has at a domain.
func (a *API) tenantAt(domain string) (string, error) {
	if a.cfg.TenantAt != nil {
		if tenant := a.cfg.TenantAt(domain); tenant != "" {
			return tenant, nil
		}
	}
	return "", &httpserver.Error{
		Status: http.StatusNotFound, Code: "no_such_tenant",
		Message: fmt.Sprintf("No tenant of the configuration has the domain %s: give the tenant its domain (tenants: domain).", domain),
	}
}

func (a *API) declare(ctx context.Context, in *declareInput) (*declareOutput, error) {
	tenant, err := a.tenantAt(in.Body.Domain)
	if err != nil {
		return nil, err
	}
	for i := range in.Body.Expectations {
		e := &in.Body.Expectations[i]
		if !strings.HasPrefix(e.Identity, schemas.AppID("")) && !strings.HasPrefix(e.Identity, schemas.UserID("")) {
			return nil, invalid(fmt.Sprintf("expectations[%d].identity: want app:CLIENT_ID or user:USER_ID", i))
		}
		if err := e.Expect.Validate(); err != nil {
			return nil, invalid(fmt.Sprintf("expectations[%d].expect: %v", i, err))
		}
	}
	changed, err := ask(ctx, a, "store", func(ctx context.Context) (int, error) {
		before, err := a.cfg.Expectations.Expectations(ctx, tenant)
		if err != nil {
			return 0, err
		}
		changed := a.changed(tenant, before, in.Body.Expectations)
		if len(changed) == 0 {
			return 0, nil
		}
		return len(changed), a.cfg.Expectations.Declare(ctx, changed)
	})
	if err != nil {
		return nil, err
	}
	return &declareOutput{Body: schemas.Declared{Changed: changed}}, nil
}

// changed are those of what is declared that were declared otherwise before. One that
// is repeated keeps its time, and each has a later one than the one before it, whatever
// the clock says.
func (a *API) changed(tenant string, before []schemas.Expectation, list []schemas.DeclaredExpectation) []schemas.Expectation {
	was := map[string]schemas.Expectation{}
	for _, e := range before {
		was[e.Identity] = e
	}
	var changed []schemas.Expectation
	for _, d := range list {
		old := was[d.Identity]
		if reflect.DeepEqual(old.Expect, d.Expect) || old.Expect.Empty() && d.Expect.Empty() {
			continue
		}
		now := schemas.Expectation{Tenant: tenant, Identity: d.Identity, Expect: d.Expect, DeclaredAt: a.cfg.Now().UTC().Truncate(time.Millisecond)}
		if !now.DeclaredAt.After(old.DeclaredAt) {
			now.DeclaredAt = old.DeclaredAt.Add(time.Millisecond)
		}
		changed = append(changed, now)
		was[d.Identity] = now
	}
	return changed
}

func (a *API) expectations(ctx context.Context, in *expectationsInput) (*expectationsOutput, error) {
	tenant := ""
	if in.Domain != "" {
		var err error
		if tenant, err = a.tenantAt(in.Domain); err != nil {
			return nil, err
		}
	}
	list, err := ask(ctx, a, "store", func(ctx context.Context) ([]schemas.Expectation, error) {
		return a.cfg.Expectations.Expectations(ctx, tenant)
	})
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = []schemas.Expectation{}
	}
	return &expectationsOutput{Body: schemas.Expectations{Expectations: list}}, nil
}

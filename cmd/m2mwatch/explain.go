package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// findingContexts tells what is known beside the events of a finding.
type findingContexts interface {
	FindingContext(ctx context.Context, f schemas.Finding, at time.Time) (schemas.FindingContext, error)
}

// explainBy adds to findings what is known at the moment that they are told.
func (s *server) explainBy(store findingContexts) func(context.Context, *schemas.Finding) error {
	return func(ctx context.Context, f *schemas.Finding) error {
		c, err := store.FindingContext(ctx, *f, time.Now())
		if err != nil {
			return fmt.Errorf("explain finding %s: %w", f.ID, err)
		}
		f.Explain(c, s.domainOf(f.Tenant), runbookOf(f.RuleID))
		return nil
	}
}

// domainOf is a tenant's domain at Auth0, "" where the configuration has none.
func (s *server) domainOf(tenant string) string {
	for _, t := range s.tenantsNow() {
		if t.Name == tenant {
			return t.Domain
		}
	}
	return ""
}

// tenantAt is the tenant that has a domain at Auth0, "" where none has. A domain is
// configured where the Management API is asked; so the only tenant that there is may
// be meant by any, as long as it has none.
func (s *server) tenantAt(domain string) string {
	tenants := s.tenantsNow()
	for _, t := range tenants {
		if strings.EqualFold(t.Domain, domain) && domain != "" {
			return t.Name
		}
	}
	if len(tenants) == 1 && tenants[0].Domain == "" {
		return tenants[0].Name
	}
	return ""
}

// tenantsNow are those of the configuration as it was read last.
func (s *server) tenantsNow() []config.Tenant {
	if now := s.configured.Load(); now != nil {
		return *now
	}
	return s.cfg.Tenants
}

// contextRows tell what is known beside the events of a finding, and what to do.
func contextRows(e schemas.Evidence) [][2]string {
	var rows [][2]string
	if e.SourceKnown != nil {
		rows = append(rows, [2]string{"source", map[bool]string{
			true: "known: it succeeded from there in the 30 days before", false: "new: it had not succeeded from there in the 30 days before",
		}[*e.SourceKnown]})
	}
	if e.TokensUntil != nil {
		rows = append(rows, [2]string{"tokens", fmt.Sprintf("%d still good, the last until %s", e.TokensAlive, clock(*e.TokensUntil))})
	}
	for _, told := range [][2]string{{"contain", e.Contain}, {"undo", e.Undo}, {"runbook", e.Runbook}} {
		if told[1] != "" {
			rows = append(rows, told)
		}
	}
	return rows
}

package clickhouse

import (
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// eventColumn is one column of events: its name, its value when an event is
// written, and where the value goes when it is read.
type eventColumn struct {
	name  string
	value func(*schemas.Event) any
	into  func(*schemas.Event) any
}

// text is a column of strings.
func text(name string, field func(*schemas.Event) *string) eventColumn {
	return eventColumn{
		name,
		func(e *schemas.Event) any { return *field(e) },
		func(e *schemas.Event) any { return field(e) },
	}
}

// eventColumns are the columns of events but raw, and those that the store
// fills: deleted and stored_at.
func eventColumns() []eventColumn {
	type event = schemas.Event
	return []eventColumn{
		text("tenant", func(e *event) *string { return &e.Tenant }),
		text("client_id", func(e *event) *string { return &e.ClientID }),
		{"time", func(e *event) any { return e.Time.UnixMilli() }, func(e *event) any { return &e.Time }},
		text("log_id", func(e *event) *string { return &e.LogID }),
		{"ver", func(e *event) any { return e.Ver }, func(e *event) any { return &e.Ver }},

		text("type", func(e *event) *string { return &e.Type }),
		text("outcome", func(e *event) *string { return (*string)(&e.Outcome) }),
		text("description", func(e *event) *string { return &e.Description }),
		text("cause", func(e *event) *string { return (*string)(&e.Cause) }),
		text("identity", func(e *event) *string { return &e.Identity.ID }),
		text("identity_kind", func(e *event) *string { return (*string)(&e.Identity.Kind) }),
		text("identity_reason", func(e *event) *string { return &e.Identity.Reason }),

		text("client_name", func(e *event) *string { return &e.ClientName }),
		text("user_id", func(e *event) *string { return &e.UserID }),
		text("user_name", func(e *event) *string { return &e.UserName }),
		text("connection", func(e *event) *string { return &e.Connection }),
		text("connection_id", func(e *event) *string { return &e.ConnectionID }),
		text("strategy", func(e *event) *string { return &e.Strategy }),
		text("strategy_type", func(e *event) *string { return &e.StrategyType }),

		text("ip", func(e *event) *string { return &e.IP }),
		text("client_ip", func(e *event) *string { return &e.ClientIP }),
		text("network", func(e *event) *string { return &e.Network }),
		text("country", func(e *event) *string { return &e.Country }),
		{"asn", func(e *event) any { return e.ASN }, func(e *event) any { return &e.ASN }},
		text("as_org", func(e *event) *string { return &e.ASOrg }),
		text("user_agent", func(e *event) *string { return &e.UserAgent }),
		text("user_agent_class", func(e *event) *string { return &e.UserAgentClass }),
		text("ja3", func(e *event) *string { return &e.JA3 }),
		text("ja4", func(e *event) *string { return &e.JA4 }),
		text("sdk_name", func(e *event) *string { return &e.SDKName }),
		text("sdk_version", func(e *event) *string { return &e.SDKVersion }),
		text("hostname", func(e *event) *string { return &e.Hostname }),

		text("audience", func(e *event) *string { return &e.Audience }),
		{"scopes", func(e *event) any { return e.Scopes }, func(e *event) any { return &e.Scopes }},
		text("grant_type", func(e *event) *string { return &e.GrantType }),
		text("organization_id", func(e *event) *string { return &e.OrganizationID }),
		text("organization_name", func(e *event) *string { return &e.OrganizationName }),
		text("token_id", func(e *event) *string { return &e.TokenID }),
		text("used_token_id", func(e *event) *string { return &e.UsedTokenID }),
		text("session_id", func(e *event) *string { return &e.SessionID }),
		text("mtls_thumbprint", func(e *event) *string { return &e.MTLSThumbprint }),
		text("agent_id", func(e *event) *string { return &e.AgentID }),
		text("external_agent_id", func(e *event) *string { return &e.ExternalAgentID }),
		text("actor_subject", func(e *event) *string { return &e.ActorSubject }),
		text("correlation_id", func(e *event) *string { return &e.CorrelationID }),
		text("trace_id", func(e *event) *string { return &e.TraceID }),

		text("method", func(e *event) *string { return &e.Call.Method }),
		text("path", func(e *event) *string { return &e.Call.Path }),
		{"status", func(e *event) any { return e.Call.Status }, func(e *event) any { return &e.Call.Status }},
		text("channel", func(e *event) *string { return &e.Call.Channel }),
		text("target", func(e *event) *string { return &e.Call.Target }),

		text("quota_bucket", func(e *event) *string { return &e.Quota.Bucket }),
		text("quota_entity_type", func(e *event) *string { return &e.Quota.EntityType }),
		text("quota_entity_id", func(e *event) *string { return &e.Quota.EntityID }),
		{"quota_size", func(e *event) any { return e.Quota.Size }, func(e *event) any { return &e.Quota.Size }},
		{"quota_used", func(e *event) any { return e.Quota.Used }, func(e *event) any { return &e.Quota.Used }},
		{"quota_percent", func(e *event) any { return e.Quota.Percent }, func(e *event) any { return &e.Quota.Percent }},

		{"selectors", func(e *event) any { return e.Selectors }, func(e *event) any { return &e.Selectors }},
		{"source", func(e *event) any { return int8(e.Source) }, func(e *event) any { return &sourceName{&e.Source} }},
		{"ingested_at", func(e *event) any { return e.IngestedAt.UnixMilli() }, func(e *event) any { return &e.IngestedAt }},
	}
}

// sourceName reads a source from its name, which is how the driver gives an
// enum.
type sourceName struct{ source *schemas.Source }

// Scan implements sql.Scanner.
func (s *sourceName) Scan(value any) (err error) {
	name, _ := value.(string)
	*s.source, err = schemas.ParseSource(name)
	return err
}

// insertedColumns are what an insert of events fills.
func insertedColumns() []column[schemas.Event] {
	var columns []column[schemas.Event]
	for _, c := range eventColumns() {
		columns = append(columns, column[schemas.Event]{c.name, c.value})
	}
	return append(columns,
		column[schemas.Event]{"raw", func(e *schemas.Event) any { return cutRaw(e) }},
		column[schemas.Event]{"raw_masked", func(e *schemas.Event) any { return flag(e.RawMasked) }})
}

// eventFields are the columns that eventScan reads, as a list.
func eventFields() string {
	var names []string
	for _, c := range eventColumns() {
		names = append(names, c.name)
	}
	return strings.Join(append(names, "stored_at", "raw_masked"), ", ")
}

// eventScan reads one row after the other of eventFields, and more columns
// that follow them.
type eventScan struct {
	columns []eventColumn
	dest    []any
}

func newEventScan() *eventScan { return &eventScan{columns: eventColumns()} }

func (s *eventScan) row(scan scanner, more ...any) (schemas.Event, error) {
	var (
		e      schemas.Event
		masked uint8
	)
	s.dest = s.dest[:0]
	for _, c := range s.columns {
		s.dest = append(s.dest, c.into(&e))
	}
	s.dest = append(s.dest, &e.StoredAt, &masked)
	err := scan(append(s.dest, more...)...)
	e.Time, e.IngestedAt, e.StoredAt = e.Time.UTC(), e.IngestedAt.UTC(), e.StoredAt.UTC()
	e.RawMasked = masked != 0
	if len(e.Selectors) == 0 {
		e.Selectors = nil
	}
	return e, err
}

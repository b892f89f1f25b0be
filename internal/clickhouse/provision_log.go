package clickhouse

import (
	"context"
	"fmt"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// ProvisionLog is the table of what provisioning commands changed. Its reads see
// every insert that has returned. Its methods may be called concurrently.
type ProvisionLog struct {
	db   *DB
	read *Reader
}

// NewProvisionLog makes a ProvisionLog of db, whose user must be allowed to read and
// insert. db stays the caller's to close.
func NewProvisionLog(db *DB) *ProvisionLog { return &ProvisionLog{db, NewReader(db)} }

// RecordCalls stores calls, and returns when they are synced. A call that is
// recorded again is as its outcome says; one that has ended never begins anew.
func (s *ProvisionLog) RecordCalls(ctx context.Context, calls []schemas.ProvisionCall) error {
	for i := range calls {
		if err := checkTime("at", calls[i].At); err != nil {
			return fmt.Errorf("record %d calls: %w", len(calls), err)
		}
	}
	if len(calls) == 0 {
		return nil
	}
	partition := func(c *schemas.ProvisionCall) int64 { return monthOf(c.At) }
	return insert(ctx, s.db, "provision_log", provisionColumns(), partition, calls)
}

func provisionColumns() []column[schemas.ProvisionCall] {
	type call = schemas.ProvisionCall
	return []column[call]{
		{"at", func(c *call) any { return c.At.UnixMilli() }},
		{"id", func(c *call) any { return c.ID }},
		{"domain", func(c *call) any { return c.Domain }},
		{"client_id", func(c *call) any { return c.ClientID }},
		{"operator", func(c *call) any { return c.Operator }},
		{"command", func(c *call) any { return c.Command }},
		{"method", func(c *call) any { return c.Method }},
		{"path", func(c *call) any { return c.Path }},
		{"outcome", func(c *call) any { return string(c.Outcome) }},
		{"made", func(c *call) any { return c.Made }},
		{"ver", func(c *call) any { return provisionVersion(c.Outcome) }},
	}
}

// provisionVersion lets the end of a call stand above its beginning, and what is
// known above what is not, in whatever order they come.
func provisionVersion(o schemas.ProvisionOutcome) uint64 {
	switch o {
	case schemas.ProvisionBegun:
		return 0
	case schemas.ProvisionUnknown:
		return 1
	}
	return 2
}

const selectProvision = `SELECT at, id, domain, client_id, operator, command, method, path, outcome, made
FROM provision_log FINAL
`

// Calls are those recorded, the newest first.
func (s *ProvisionLog) Calls(ctx context.Context, f schemas.ProvisionFilter) ([]schemas.ProvisionCall, error) {
	w := where{}
	w.equal("domain", f.Domain)
	w.equal("client_id", f.ClientID)
	w.since("at", later(f.From, s.read.edge("provision_log")))
	if !f.To.IsZero() {
		w.and("at < "+milliseconds("to"), "to", ceilMilli(f.To))
	}
	if f.After != nil {
		w.and("(at < "+milliseconds("after")+" OR at = "+milliseconds("after")+" AND id > {after_id:String})", "after", f.After.At.UnixMilli())
		w.param("after_id", f.After.ID)
	}
	w.param("limit", listingLimit(f.Limit))
	return collect(ctx, s.db.conn, "list what was provisioned", w.query(selectProvision, "ORDER BY at DESC, id\nLIMIT {limit:UInt32}"), scanProvision)
}

func scanProvision(scan scanner) (schemas.ProvisionCall, error) {
	var (
		c       schemas.ProvisionCall
		outcome string
	)
	err := scan(&c.At, &c.ID, &c.Domain, &c.ClientID, &c.Operator, &c.Command, &c.Method, &c.Path, &outcome, &c.Made)
	c.At, c.Outcome = c.At.UTC(), schemas.ProvisionOutcome(outcome)
	return c, err
}

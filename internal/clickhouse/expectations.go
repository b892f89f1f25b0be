package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Expectations is the table of what is declared to be normal for identities. Its
// reads see every insert that has returned. Its methods may be called concurrently;
// of two declarations of one identity at once the later counts.
type Expectations struct {
	db     *DB
	writer *Writer
}

// NewExpectations makes an Expectations of db, whose user must be allowed to read and
// insert. db stays the caller's to close.
func NewExpectations(db *DB) *Expectations { return &Expectations{db, NewWriter(db)} }

// Declare stores what is declared of identities of one tenant, and behind it a touch
// of each for the correlator, which computes their findings anew. After an error any
// of them may be there; the same may be declared again.
func (s *Expectations) Declare(ctx context.Context, list []schemas.Expectation) error {
	columns := []column[schemas.Expectation]{
		{"tenant", func(e *schemas.Expectation) any { return e.Tenant }},
		{"identity", func(e *schemas.Expectation) any { return e.Identity }},
		{"expect", func(e *schemas.Expectation) any { return expectText(e.Expect) }},
		{"declared_at", func(e *schemas.Expectation) any { return e.DeclaredAt.UnixMilli() }},
		{"ver", func(e *schemas.Expectation) any { return uint64(max(e.DeclaredAt.UnixMilli(), 0)) }},
	}
	for i := range list {
		if err := checkTime("declared_at", list[i].DeclaredAt); err != nil {
			return fmt.Errorf("declare what is normal for %s: %w", list[i].Identity, err)
		}
	}
	if err := insert(ctx, s.db, "expectations", columns, func(*schemas.Expectation) int64 { return 0 }, list); err != nil {
		return err
	}
	flush, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("name a flush: %w", err)
	}
	touches := make([]schemas.Touch, len(list))
	for i, e := range list {
		touches[i] = schemas.Touch{Flush: flush.String(), Selector: schemas.SelectorExpected, Tenant: e.Tenant, Key: e.Identity, Bucket: e.DeclaredAt.Truncate(time.Hour)}
	}
	return s.writer.InsertTouches(ctx, touches)
}

// expectText is what is declared as the table has it: "" for nothing.
func expectText(e schemas.Expect) string {
	if e.Empty() {
		return ""
	}
	b, err := json.Marshal(e)
	if err != nil { // a struct of strings always marshals
		panic(err)
	}
	return string(b)
}

// Expectations are those of a tenant, or of all, by tenant and identity.
func (s *Expectations) Expectations(ctx context.Context, tenant string) ([]schemas.Expectation, error) {
	return expectations(ctx, s.db, tenant)
}

// Expectations are those that are declared.
func (s *FindingStore) Expectations(ctx context.Context) ([]schemas.Expectation, error) {
	return expectations(ctx, s.db, "")
}

// Expectations are those that are declared.
func (s *BacktestStore) Expectations(ctx context.Context) ([]schemas.Expectation, error) {
	return expectations(ctx, s.fence.db, "")
}

func expectations(ctx context.Context, db *DB, tenant string) ([]schemas.Expectation, error) {
	w := where{}
	if tenant != "" {
		w.and("tenant = {tenant:String}", "tenant", tenant)
	}
	list, err := collect(ctx, db.conn, "read what is declared", w.query("SELECT tenant, identity, expect, declared_at FROM expectations FINAL\n", "ORDER BY tenant, identity"), scanExpectation)
	return slices.DeleteFunc(list, func(e schemas.Expectation) bool { return e.Expect.Empty() }), err
}

func scanExpectation(scan scanner) (schemas.Expectation, error) {
	var (
		e    schemas.Expectation
		text string
	)
	if err := scan(&e.Tenant, &e.Identity, &text, &e.DeclaredAt); err != nil {
		return e, err
	}
	e.DeclaredAt = e.DeclaredAt.UTC()
	if text == "" {
		return e, nil
	}
	if err := json.Unmarshal([]byte(text), &e.Expect); err != nil {
		return e, fmt.Errorf("read what is declared of %s: %w", e.Identity, err)
	}
	return e, nil
}

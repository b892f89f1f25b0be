package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// FindingActs is the table of what people do about findings. Its reads see every
// insert that has returned. Its methods may be called concurrently.
type FindingActs struct {
	db     *DB
	writer *Writer
}

// NewFindingActs makes a FindingActs of db, whose user must be allowed to read and
// insert. db stays the caller's to close.
func NewFindingActs(db *DB) *FindingActs { return &FindingActs{db, NewWriter(db)} }

// RecordAct stores an act, and behind it a touch for the correlator, which carries it
// out. After an error the act may be there all the same, and is carried out with the
// next one of the finding, or when the finding changes.
func (s *FindingActs) RecordAct(ctx context.Context, a schemas.FindingAct) error {
	if err := checkTime("at", a.At); err != nil {
		return fmt.Errorf("record an act: %w", err)
	}
	if err := insertActs(ctx, s.db, []schemas.FindingAct{a}); err != nil {
		return err
	}
	flush, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("name a flush: %w", err)
	}
	touch := schemas.Touch{Flush: flush.String(), Selector: schemas.SelectorActs, Tenant: a.Tenant, Key: a.FindingID, Bucket: a.Period.Truncate(time.Hour)}
	return s.writer.InsertTouches(ctx, []schemas.Touch{touch})
}

// InsertFindingActs stores acts that the correlator knows of already. A repeat is stored
// once.
func (s *FindingStore) InsertFindingActs(ctx context.Context, acts []schemas.FindingAct) error {
	return insertActs(ctx, s.db, acts)
}

func insertActs(ctx context.Context, db *DB, acts []schemas.FindingAct) error {
	partition := func(a *schemas.FindingAct) int64 { return monthOf(a.Period) }
	return insert(ctx, db, "finding_acts", actColumns(), partition, acts)
}

func actColumns() []column[schemas.FindingAct] {
	type act = schemas.FindingAct
	return []column[act]{
		{"tenant", func(a *act) any { return a.Tenant }},
		{"finding_id", func(a *act) any { return a.FindingID }},
		{"rule_id", func(a *act) any { return a.RuleID }},
		{"key", func(a *act) any { return a.Key }},
		{"period", func(a *act) any { return a.Period.UnixMilli() }},
		{"at", func(a *act) any { return a.At.UnixMilli() }},
		{"id", func(a *act) any { return a.ID }},
		{"act", func(a *act) any { return string(a.Act) }},
		{"who", func(a *act) any { return a.Who }},
		{"reason", func(a *act) any { return a.Reason }},
	}
}

const selectActs = `SELECT tenant, finding_id, rule_id, key, period, at, id, act, who, reason
FROM finding_acts FINAL
`

// Acts are those of one finding, the first first.
func (s *FindingActs) Acts(ctx context.Context, tenant, findingID string) ([]schemas.FindingAct, error) {
	return actsOf(ctx, s.db, tenant, []string{findingID})
}

// Acts are those of findings of a tenant, the first first.
func (s *FindingStore) Acts(ctx context.Context, tenant string, findings []string) ([]schemas.FindingAct, error) {
	return actsOf(ctx, s.db, tenant, findings)
}

func actsOf(ctx context.Context, db *DB, tenant string, findings []string) ([]schemas.FindingAct, error) {
	if len(findings) == 0 {
		return nil, nil
	}
	w := where{}
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.and("finding_id IN {ids:Array(String)}", "ids", findings)
	return collect(ctx, db.conn, "read the acts of findings", w.query(selectActs, "ORDER BY finding_id, at, id"), scanAct)
}

func scanAct(scan scanner) (schemas.FindingAct, error) {
	var (
		a   schemas.FindingAct
		act string
	)
	err := scan(&a.Tenant, &a.FindingID, &a.RuleID, &a.Key, &a.Period, &a.At, &a.ID, &act, &a.Who, &a.Reason)
	a.Act, a.Period, a.At = schemas.Act(act), a.Period.UTC(), a.At.UTC()
	return a, err
}

// ActedFindings are those of some findings of a tenant about which somebody did
// something.
func (s *FindingStore) ActedFindings(ctx context.Context, tenant string, findings []string) ([]schemas.Finding, error) {
	if len(findings) == 0 {
		return nil, nil
	}
	w := where{}
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.and(`(rule_id, key, period, id) IN (
    SELECT rule_id, key, period, finding_id FROM finding_acts WHERE tenant = {tenant:String} AND finding_id IN {ids:Array(String)})`, "ids", findings)
	return collect(ctx, s.db.conn, "read the findings of acts", w.query(selectFindings, "ORDER BY rule_id, key, period"), scanFinding)
}

// OverdueFindings are up to limit findings, the first active first, that stand and of
// which nothing happened and nothing was found since before.
func (s *FindingStore) OverdueFindings(ctx context.Context, before time.Time, limit int) ([]schemas.Finding, error) {
	w := where{}
	w.and("state IN ('open', 'acknowledged') AND last < "+milliseconds("before")+" AND found_at < "+milliseconds("before"), "before", ceilMilli(before))
	w.param("limit", limit)
	return collect(ctx, s.db.conn, "look for findings that are over", w.query(selectFindings, "ORDER BY last, id\nLIMIT {limit:UInt32}"), scanFinding)
}

// HeldFindings are up to limit findings, the first found first, that are open and
// whose page was held back for a time: by a rotation, a silence or a storm.
func (s *FindingStore) HeldFindings(ctx context.Context, limit int) ([]schemas.Finding, error) {
	w := where{}
	w.and("state = 'open' AND paging IN {paging:Array(String)}", "paging", []string{string(schemas.PagingHeld), string(schemas.PagingSilenced), string(schemas.PagingStorm)})
	w.param("limit", limit)
	return collect(ctx, s.db.conn, "look for findings that are held back", w.query(selectFindings, "ORDER BY found_at, id\nLIMIT {limit:UInt32}"), scanFinding)
}

// FoundLate are those of some identities of a tenant of which people were told since
// a time when a gap was closed.
func (s *FindingStore) FoundLate(ctx context.Context, tenant string, identities []string, since time.Time) ([]string, error) {
	w := where{}
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.and("identity IN {identities:Array(String)} AND source = 'repair' AND state IN ('open', 'acknowledged')", "identities", identities)
	w.and("paged_at >= "+milliseconds("since"), "since", ceilMilli(since))
	return collect(ctx, s.db.conn, "look for what was found late", w.query("SELECT DISTINCT identity FROM findings FINAL\n", ""), scanOne[string])
}

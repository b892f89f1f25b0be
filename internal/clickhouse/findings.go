package clickhouse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// InsertFindings stores findings of one epoch, Ver >> 32. Of one id the highest
// Ver survives, whatever the order of the inserts. Where a later epoch has
// begun nothing is stored, and that is no error: its holder computes them anew.
func (s *FindingStore) InsertFindings(ctx context.Context, findings []schemas.Finding) error {
	for i := range findings {
		if err := checkFinding(&findings[i]); err != nil {
			return fmt.Errorf("insert %d findings: %w", len(findings), err)
		}
	}
	if len(findings) == 0 {
		return nil
	}
	return insertFenced(ctx, s.fence, findings[0].Ver>>32, "findings", findingColumns(), func(f *schemas.Finding) int64 { return monthOf(f.Period) }, findings)
}

func checkFinding(f *schemas.Finding) error {
	return errors.Join(checkTime("first", f.First), checkTime("last", f.Last), checkTime("period", f.Period), checkSource(f.Source))
}

func findingColumns() []column[schemas.Finding] {
	type finding = schemas.Finding
	return []column[finding]{
		{"id", func(f *finding) any { return f.ID }},
		{"rule_id", func(f *finding) any { return f.RuleID }},
		{"title", func(f *finding) any { return f.Title }},
		{"tenant", func(f *finding) any { return f.Tenant }},
		{"key", func(f *finding) any { return f.Key }},
		{"identity", func(f *finding) any { return f.Identity }},
		{"level", func(f *finding) any { return string(f.Level) }},
		{"state", func(f *finding) any { return string(f.State) }},
		{"first", func(f *finding) any { return f.First.UnixMilli() }},
		{"last", func(f *finding) any { return f.Last.UnixMilli() }},
		{"count", func(f *finding) any { return f.Count }},
		{"evidence", func(f *finding) any { return f.Evidence.MarshalString() }},
		{"period", func(f *finding) any { return f.Period.UnixMilli() }},
		{"changes", func(f *finding) any { return f.Changes }},
		{"source", func(f *finding) any { return int8(f.Source) }},
		{"paging", func(f *finding) any { return string(f.Paging) }},
		{"paging_reason", func(f *finding) any { return f.PagingReason }},
		{"paged_at", func(f *finding) any { return noTime(f.PagedAt) }},
		{"found_at", func(f *finding) any { return noTime(f.FoundAt) }},
		{"ver", func(f *finding) any { return f.Ver }},
	}
}

// selectFindings ends in FINAL, so that conditions see what survived. A
// finding's id fixes its period, so no copy lies in another partition.
const selectFindings = `SELECT id, rule_id, title, tenant, key, identity, level, state, first, last, count, evidence, period, changes, source, ver,
    paging, paging_reason, paged_at, found_at
FROM findings FINAL
`

func scanFinding(scan scanner) (schemas.Finding, error) {
	var (
		f            schemas.Finding
		level, state string
		evidence     string
		source       int8
		paging       string
	)
	if err := scan(&f.ID, &f.RuleID, &f.Title, &f.Tenant, &f.Key, &f.Identity, &level, &state,
		&f.First, &f.Last, &f.Count, &evidence, &f.Period, &f.Changes, &source, &f.Ver,
		&paging, &f.PagingReason, &f.PagedAt, &f.FoundAt); err != nil {
		return f, err
	}
	f.Level, f.State, f.Source = schemas.Level(level), schemas.State(state), schemas.Source(source)
	f.First, f.Last, f.Period = f.First.UTC(), f.Last.UTC(), f.Period.UTC()
	f.Paging, f.PagedAt, f.FoundAt = schemas.Paging(paging), timeOrNone(f.PagedAt), timeOrNone(f.FoundAt)
	if err := json.Unmarshal([]byte(evidence), &f.Evidence); err != nil {
		return f, fmt.Errorf("finding %s: its evidence is not readable: %w", f.ID, err)
	}
	return f, nil
}

// Findings returns the stored findings, withdrawn ones too, of a rule and of
// keys of a tenant whose period starts in [from, to), by key and period.
func (s *FindingStore) Findings(ctx context.Context, tenant, ruleID string, keys []string, from, to time.Time) ([]schemas.Finding, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	w := where{}
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.and("rule_id = {rule_id:String}", "rule_id", ruleID)
	w.and("key IN {keys:Array(String)}", "keys", keys)
	w.and("period >= "+milliseconds("from"), "from", ceilMilli(from))
	w.and("period < "+milliseconds("to"), "to", ceilMilli(to))
	return collect(ctx, s.db.conn, "read findings", w.query(selectFindings, "ORDER BY key, period"), scanFinding)
}

// FindingKeys are up to limit of the keys that have findings, withdrawn ones too.
func (s *FindingStore) FindingKeys(ctx context.Context, limit int) ([]schemas.FindingKey, error) {
	q := schemas.Query{SQL: "SELECT DISTINCT tenant, rule_id, key FROM findings\nLIMIT {limit:UInt32}", Params: map[string]any{"limit": limit}}
	return collect(ctx, s.db.conn, "read which keys have findings", q, func(scan scanner) (k schemas.FindingKey, err error) {
		err = scan(&k.Tenant, &k.RuleID, &k.Key)
		return k, err
	})
}

// LatestMatches are when keys last had a match of some selectors, believed or not, but
// for those that had none since a time: up to limit keys of each selector.
func (s *FindingStore) LatestMatches(ctx context.Context, selectors []string, since time.Time, limit int) ([]schemas.LatestMatch, error) {
	q := schemas.Query{
		SQL: `SELECT selector, tenant, key, toInt64(max(t)) FROM matches
WHERE selector IN {selectors:Array(String)} AND bucket >= {since:Date}
GROUP BY selector, tenant, key
LIMIT {limit:UInt32} BY selector`,
		Params: map[string]any{"selectors": selectors, "since": since.UTC().Format(time.DateOnly), "limit": limit},
	}
	return collect(ctx, s.db.conn, "read when keys last had a match", q, func(scan scanner) (m schemas.LatestMatch, err error) {
		var last int64
		err = scan(&m.Selector, &m.Tenant, &m.Key, &last)
		m.Last = time.UnixMilli(last).UTC()
		return m, err
	})
}

// OpenFindings are up to limit findings that stand, by id.
func (s *FindingStore) OpenFindings(ctx context.Context, f schemas.OpenFindings, limit int) ([]schemas.Finding, error) {
	w := where{}
	w.and("state IN {states:Array(String)}", "states", []string{string(schemas.StateOpen), string(schemas.StateAcknowledged)})
	if f.RuleID != "" {
		w.equal("rule_id", f.RuleID)
	} else {
		w.and("rule_id NOT IN {except:Array(String)}", "except", f.Except)
	}
	w.and("id > {after:String}", "after", f.After)
	w.param("limit", limit)
	return collect(ctx, s.db.conn, "look for open findings", w.query(selectFindings, "ORDER BY id\nLIMIT {limit:UInt32}"), scanFinding)
}

// Findings lists findings, the last active first.
func (r *Reader) Findings(ctx context.Context, f schemas.FindingFilter) ([]schemas.Finding, error) {
	return collect(ctx, r.conn, "list findings", findingsQuery(f, r.edge("findings")), scanFinding)
}

func findingsQuery(f schemas.FindingFilter, edge time.Time) schemas.Query {
	w := where{}
	w.equal("tenant", f.Tenant)
	w.equal("rule_id", f.RuleID)
	w.equal("key", f.Key)
	w.equal("identity", f.Identity)
	w.equal("state", string(f.State))
	w.equal("level", string(f.Level))
	if !f.From.IsZero() {
		w.and("last >= "+milliseconds("from"), "from", ceilMilli(f.From))
	}
	if !f.To.IsZero() {
		w.and("last < "+milliseconds("to"), "to", ceilMilli(f.To))
	}
	w.since("period", edge)
	if f.After != nil {
		w.and("(last, id) < ("+milliseconds("after_last")+", {after_id:String})", "after_last", f.After.Last.UnixMilli())
		w.params["after_id"] = f.After.ID
	}
	w.param("limit", listingLimit(f.Limit))
	return w.query(selectFindings, "ORDER BY last DESC, id DESC\nLIMIT {limit:UInt32}")
}

// Finding returns one finding by its id.
func (r *Reader) Finding(ctx context.Context, id string) (schemas.Finding, error) {
	w := where{}
	w.and("id = {id:String}", "id", id)
	w.since("period", r.edge("findings"))
	findings, err := collect(ctx, r.conn, "read a finding", w.query(selectFindings, "LIMIT 1"), scanFinding)
	if err != nil {
		return schemas.Finding{}, err
	}
	if len(findings) == 0 {
		return schemas.Finding{}, fmt.Errorf("finding %s: %w", clip(id, maxErrorQuoted), schemas.ErrNotFound)
	}
	return findings[0], nil
}

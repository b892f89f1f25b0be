package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// InsertFindingChanges stores changes of findings of one epoch, Ver >> 32. Of
// one N of a finding the highest Ver survives, so that a repeat makes no second
// one. Where a later epoch has begun nothing is stored, and that is no error.
func (s *FindingStore) InsertFindingChanges(ctx context.Context, changes []schemas.FindingChange) error {
	for i := range changes {
		if err := checkTime("at", changes[i].At); err != nil {
			return fmt.Errorf("insert %d changes of findings: %w", len(changes), err)
		}
	}
	if len(changes) == 0 {
		return nil
	}
	partition := func(c *schemas.FindingChange) int64 { return monthOf(c.Period) }
	return insertFenced(ctx, s.fence, changes[0].Ver>>32, "finding_changes", changeColumns(), partition, changes)
}

// changeColumns write an extent that is not there as zeros: none has a count
// of zero.
func changeColumns() []column[schemas.FindingChange] {
	type change = schemas.FindingChange
	columns := []column[change]{
		{"tenant", func(c *change) any { return c.Tenant }},
		{"finding_id", func(c *change) any { return c.FindingID }},
		{"n", func(c *change) any { return c.N }},
		{"state", func(c *change) any { return string(c.State) }},
		{"reason", func(c *change) any { return string(c.Reason) }},
		{"at", func(c *change) any { return c.At.UnixMilli() }},
		{"period", func(c *change) any { return c.Period.UnixMilli() }},
		{"paging", func(c *change) any { return string(c.Paging) }},
		{"paging_reason", func(c *change) any { return c.PagingReason }},
		{"ver", func(c *change) any { return c.Ver }},
	}
	columns = append(columns, extentColumns("_before", func(c *change) *schemas.FindingExtent { return c.Before })...)
	return append(columns, extentColumns("", func(c *change) *schemas.FindingExtent { return c.After })...)
}

func extentColumns(suffix string, of func(*schemas.FindingChange) *schemas.FindingExtent) []column[schemas.FindingChange] {
	extent := func(c *schemas.FindingChange) schemas.FindingExtent {
		if e := of(c); e != nil {
			return *e
		}
		return schemas.FindingExtent{First: minTime, Last: minTime}
	}
	return []column[schemas.FindingChange]{
		{"count" + suffix, func(c *schemas.FindingChange) any { return extent(c).Count }},
		{"first" + suffix, func(c *schemas.FindingChange) any { return extent(c).First.UnixMilli() }},
		{"last" + suffix, func(c *schemas.FindingChange) any { return extent(c).Last.UnixMilli() }},
	}
}

const selectChanges = `SELECT tenant, finding_id, n, state, reason, at, period, paging, paging_reason, ver,
    count_before, first_before, last_before, count, first, last
FROM finding_changes FINAL
`

// FindingHistory returns the changes that made a finding what it is, the first
// first.
func (r *Reader) FindingHistory(ctx context.Context, f schemas.Finding) ([]schemas.FindingChange, error) {
	w := where{}
	w.and("tenant = {tenant:String}", "tenant", f.Tenant)
	w.and("finding_id = {id:String}", "id", f.ID)
	w.and("n <= {changes:UInt32}", "changes", f.Changes)
	w.since("period", r.edge("finding_changes"))
	return collect(ctx, r.conn, "read the history of a finding", w.query(selectChanges, "ORDER BY n"), scanFindingChange)
}

func scanFindingChange(scan scanner) (schemas.FindingChange, error) {
	var (
		c             schemas.FindingChange
		state, reason string
		paging        string
		before, after schemas.FindingExtent
	)
	err := scan(&c.Tenant, &c.FindingID, &c.N, &state, &reason, &c.At, &c.Period, &paging, &c.PagingReason, &c.Ver,
		&before.Count, &before.First, &before.Last, &after.Count, &after.First, &after.Last)
	c.State, c.Reason, c.Paging = schemas.State(state), schemas.Reason(reason), schemas.Paging(paging)
	c.Before, c.After = extentOrNone(before), extentOrNone(after)
	for _, t := range []*time.Time{&c.At, &c.Period} {
		*t = t.UTC()
	}
	return c, err
}

func extentOrNone(e schemas.FindingExtent) *schemas.FindingExtent {
	if e.Count == 0 {
		return nil
	}
	e.First, e.Last = e.First.UTC(), e.Last.UTC()
	return &e
}

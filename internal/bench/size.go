package bench

import (
	"context"
	"fmt"
	"strings"
)

// Size is what a column, or a whole table, takes on disk per stored event.
type Size struct {
	Table    string  `json:"table"`
	Column   string  `json:"column,omitempty"` // "" for the whole table
	PerEvent float64 `json:"bytes_per_event"`
}

// counted out of the size of the store: what every engine writes of itself.
const ownTables = "database = currentDatabase() AND active"

// sizes tells what lies on disk, per stored event.
func (m *measuring) sizes(ctx context.Context, r *Report) error {
	r.Events = m.progress.Events
	var err error
	if r.Rows, err = scalar[uint64](ctx, m.raw, "SELECT count() FROM events"); err != nil {
		return err
	}
	total, err := scalar[uint64](ctx, m.raw, "SELECT sum(bytes_on_disk) FROM system.parts WHERE "+ownTables)
	if err != nil {
		return err
	}
	parts, err := scalar[uint64](ctx, m.raw, "SELECT count() FROM system.parts WHERE table = 'events' AND "+ownTables)
	if err != nil {
		return err
	}
	r.Lines = append(r.Lines,
		Measurement{"a log, as Auth0 sends it", fmt.Sprintf("%.0f bytes", float64(m.progress.Bytes)/float64(m.progress.Events)), ""},
		Measurement{"rows of events, and the parts they lie in", fmt.Sprintf("%d in %d", r.Rows, parts), ""},
		Measurement{"all of the store on disk, per event", fmt.Sprintf("%.1f bytes", float64(total)/float64(r.Events)), "80 bytes"})
	tables, err := m.sizesOf(ctx, "SELECT table, '', sum(bytes_on_disk) AS n FROM system.parts WHERE "+ownTables+" GROUP BY table ORDER BY n DESC")
	if err != nil {
		return err
	}
	columns, err := m.sizesOf(ctx, "SELECT table, column, sum(column_bytes_on_disk) AS n FROM system.parts_columns WHERE "+ownTables+" GROUP BY table, column ORDER BY n DESC")
	if err != nil {
		return err
	}
	var texts []string
	records := 0.0
	for _, t := range tables {
		if strings.HasPrefix(t.Table, "events") {
			records += t.PerEvent
		}
		if t.PerEvent >= 0.05 {
			texts = append(texts, fmt.Sprintf("%s %.1f", t.Table, t.PerEvent))
		}
	}
	r.Lines = append(r.Lines,
		Measurement{"of that, events with their raw and every index of them", fmt.Sprintf("%.1f bytes", records), ""},
		Measurement{"of that, by table", strings.Join(texts, ", "), ""})
	r.Columns = columns
	return nil
}

func (m *measuring) sizesOf(ctx context.Context, sql string) ([]Size, error) {
	return collect(ctx, m.raw, sql, func(scan func(...any) error) (s Size, err error) {
		var n uint64
		err = scan(&s.Table, &s.Column, &n)
		s.PerEvent = float64(n) / float64(m.progress.Events)
		return s, err
	})
}

// mergeDays brings every day of every table to the parts that it comes to in
// the end by itself. One partition at a time: an answer is not waited for
// without end.
func (m *measuring) mergeDays(ctx context.Context) error {
	type partition struct{ table, id string }
	partitions, err := collect(ctx, m.raw, "SELECT DISTINCT table, partition_id FROM system.parts WHERE "+ownTables+" ORDER BY ALL",
		func(scan func(...any) error) (p partition, err error) { return p, scan(&p.table, &p.id) })
	if err != nil {
		return err
	}
	for i, p := range partitions {
		if i == 0 || p.table != partitions[i-1].table {
			m.say("merging %s", p.table)
		}
		err := m.raw.Exec(ctx, "OPTIMIZE TABLE "+p.table+" PARTITION ID '"+p.id+"' FINAL SETTINGS optimize_skip_merged_partitions = 1")
		if err != nil {
			return err
		}
	}
	return nil
}

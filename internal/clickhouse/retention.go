package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Retention says for how many days, by their own time, rows are kept; 0 is for
// ever.
type Retention struct {
	Days    int            // of each table but those of ByTable
	ByTable map[string]int // tables that retained names
}

// retained are the tables that lose old rows, and the expression each counts a
// row's age from. The rest is the queue of touches, which is dropped when it is
// done, and lists that stay short.
func retained() map[string]string {
	return map[string]string{
		"events":             "toDateTime(time)",
		"events_by_time":     "toDateTime(time)",
		"events_by_identity": "toDateTime(time)",
		"events_by_token":    "toDateTime(time)",
		"versions":           "toDateTime(time)",
		"matches":            "bucket",
		"findings":           "toDateTime(period)",
		"finding_changes":    "toDateTime(period)",
		"finding_acts":       "toDateTime(period)",
		"deliveries":         "toDateTime(time)",
		"counts_hourly":      "hour",
		"counts_daily":       "day",
		"usage_daily":        "day",
		"presence":           "day",
		"successes":          "toLastDayOfMonth(month)",
		"reprocess_jobs":     "toDateTime(created_at)",
		"backtests":          "toDateTime(created_at)",
		"provision_log":      "toDateTime(at)",
		"inventory_changes":  "toDateTime(found_at)",
		"inventory_syncs":    "toDateTime(created_at)",
	}
}

// follows names the table for as long as which another one is kept, as it only
// says where to look in that, or the same with less; "" for a table of its own.
func follows(table string) string {
	switch table {
	case "events_by_time", "events_by_identity", "events_by_token", "versions":
		return "events"
	case "finding_acts":
		return "findings"
	case "usage_daily", "successes":
		return "counts_daily"
	}
	return ""
}

// Of is for how long the rows of a table are kept; 0 is for ever.
func (r Retention) Of(table string) time.Duration {
	return time.Duration(r.days(table)) * 24 * time.Hour
}

func (r Retention) days(table string) int {
	table = cmp.Or(follows(table), table)
	if days, ok := r.ByTable[table]; ok {
		return days
	}
	return r.Days
}

// Evidence is for how long all that a finding rests on is kept: events and
// matches.
func (r Retention) Evidence() time.Duration {
	events, matches := r.Of("events"), r.Of("matches")
	if events == 0 || matches == 0 {
		return max(events, matches)
	}
	return min(events, matches)
}

// Validate returns every problem at once.
func (r Retention) Validate() error {
	var errs []error
	if r.Days < 0 {
		errs = append(errs, fmt.Errorf("retention of %d days: want 0 (for ever) or more", r.Days))
	}
	tables := slices.DeleteFunc(slices.Sorted(maps.Keys(retained())), func(table string) bool { return follows(table) != "" })
	for _, table := range slices.Sorted(maps.Keys(r.ByTable)) {
		if !slices.Contains(tables, table) {
			errs = append(errs, fmt.Errorf("retention of %q: want one of %s", clip(table, maxErrorQuoted), strings.Join(tables, ", ")))
		}
		if days := r.ByTable[table]; days < 0 {
			errs = append(errs, fmt.Errorf("retention of %s, %d days: want 0 (for ever) or more", table, days))
		}
	}
	return errors.Join(errs...)
}

// edge is the time that the readers of a table begin at; see
// schemas.RetentionEdge.
func (db *DB) edge(table string) time.Time {
	return schemas.RetentionEdge(db.now(), db.retained.Of(table))
}

// ApplyRetention makes tables lose rows that are older than Config.Retention
// says. A table that has it already is left alone. Whole parts are dropped, in
// the background, within hours of their time; until then readers leave them out.
func ApplyRetention(ctx context.Context, db *DB) error {
	all := retained()
	for _, table := range slices.Sorted(maps.Keys(all)) {
		if err := db.retain(ctx, table, all[table], db.retained.days(table)); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) retain(ctx context.Context, table, age string, days int) error {
	has, err := db.retention(ctx, table)
	if err != nil {
		return err
	}
	if has == days {
		return nil
	}
	action := fmt.Sprintf("MODIFY TTL %s + toIntervalDay(%d)", age, days)
	if days == 0 {
		action = "REMOVE TTL"
	}
	if err := db.alter(ctx, table, action); err != nil {
		return db.wrap("set the retention of "+table+" in", err)
	}
	return nil
}

// ttlDays finds the days in a table's definition as the server writes it.
var ttlDays = regexp.MustCompile(`\bTTL .*\+ toIntervalDay\((\d+)\)`)

// retention is a table's retention in days, 0 where it has none, and -1 where
// it has one that is not ours.
func (db *DB) retention(ctx context.Context, table string) (int, error) {
	var definition string
	err := db.conn.QueryRow(ctx, "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}",
		ch.Named("database", db.database), ch.Named("table", db.topology.stored(table))).Scan(&definition)
	if err != nil {
		return 0, db.wrap("read the retention of "+table+" in", err)
	}
	if !strings.Contains(definition, " TTL ") {
		return 0, nil
	}
	found := ttlDays.FindStringSubmatch(definition)
	if found == nil {
		return -1, nil
	}
	days, err := strconv.Atoi(found[1])
	if err != nil {
		return -1, nil //nolint:nilerr // a number that large is not ours
	}
	return days, nil
}

package clickhouse

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// retained are the tables that lose old rows, and the expression each counts a
// row's age from.
func retained() map[string]string {
	return map[string]string{
		"events":             "toDateTime(time)",
		"events_by_time":     "toDateTime(time)",
		"events_by_identity": "toDateTime(time)",
		"tokens":             "toDateTime(time)",
		"matches":            "bucket",
	}
}

// ApplyRetention makes events, their indexes and matches lose rows older than so many days, by
// their own time; 0 keeps them for ever. A table that has it already is left
// alone. Whole parts are dropped, in the background, within hours of their
// time; until then readers see rows that are older.
func ApplyRetention(ctx context.Context, db *DB, days int) error {
	if days < 0 {
		return fmt.Errorf("set retention: %d days: want 0 (never) or more", days)
	}
	for table, age := range retained() {
		if err := db.retain(ctx, table, age, days); err != nil {
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

package clickhouse_test

import (
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// TestACorrelationIsPlannedWithoutWhatItDoesNotNeed asks the server with what settings it
// answers.
func TestACorrelationIsPlannedWithoutWhatItDoesNotNeed(t *testing.T) {
	store := clickhouse.NewFindingStore(clickhousetest.New(t))
	rows, err := store.Correlate(t.Context(), schemas.Query{SQL: `
SELECT toString(getSetting('optimize_and_compare_chain')) AS key, ` + noRow})
	if err != nil || len(rows) != 1 || rows[0].Key != "false" {
		t.Errorf("%v, %v; want the setting to be false", rows, err)
	}
}

// noRow are the columns of a correlation's row behind its key, of nothing.
const noRow = `toUInt64(0) AS period, toUInt64(0) AS t, t AS last_t, toUInt64(0) AS n,
    CAST([], 'Array(String)') AS vals, vals AS logs, toUInt8(0) AS imported, toUInt64(0) AS baseline, toFloat64(0) AS baseline_days,
    toUInt64(0) AS last_success, CAST(map(), 'Map(String, String)') AS facts`

// TestAPatientQueryTakesOneThread asks, too.
func TestAPatientQueryTakesOneThread(t *testing.T) {
	store := clickhouse.NewFindingStore(clickhousetest.New(t))
	for patient, want := range map[bool]string{true: "1 5", false: " 0"} {
		rows, err := store.Correlate(t.Context(), schemas.Query{Patient: patient, SQL: `
SELECT concat(toString(getSetting('max_threads')), ' ', toString(getSetting('os_thread_priority'))) AS key, ` + noRow})
		if err != nil || len(rows) != 1 || !strings.HasSuffix(rows[0].Key, want) {
			t.Errorf("patient %t: %v, %v; want max_threads and os_thread_priority to end in %q", patient, rows, err, want)
		}
	}
}

// TestStepsOfACorrelationAreShared claims that a step which a statement mentions
// twice is answered once, where it says so.
func TestStepsOfACorrelationAreShared(t *testing.T) {
	store := clickhouse.NewFindingStore(clickhousetest.New(t))
	for as, want := range map[string]string{"AS MATERIALIZED": "same", "AS": "other"} {
		rows, err := store.Correlate(t.Context(), schemas.Query{SQL: `WITH drawn ` + as + ` (SELECT generateUUIDv4() AS id)
SELECT if(a.id = b.id, 'same', 'other') AS key, ` + noRow + `
FROM drawn AS a CROSS JOIN drawn AS b`})
		if err != nil || len(rows) != 1 || rows[0].Key != want {
			t.Errorf("%s: %v, %v; want the %s", as, rows, err, want)
		}
	}
}

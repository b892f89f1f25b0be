package clickhouse

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

var (
	someTime = time.UnixMilli(1_700_000_000_123)
	someMS   = int64(1_700_000_000_123)
	hostile  = "') OR 1=1 --"
)

// conditions are the lines of a query that begin with PREWHERE, WHERE or AND.
func conditions(q schemas.Query) []string {
	var lines []string
	for line := range strings.Lines(q.SQL) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "PREWHERE ") || strings.HasPrefix(line, "WHERE ") || strings.HasPrefix(line, "AND ") {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestQueriesNarrowByWhatTheFilterNames(t *testing.T) {
	stats := func(f schemas.StatsFilter, c *counted) schemas.Query {
		q, err := statsQuery(f, c)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	const from, to = "time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')", "time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')"
	key := "AND (tenant, client_id, time, log_id) IN ("
	ofOne := &counted{
		tenant: hostile, from: time.Unix(1_700_000_000, 0), to: time.Unix(1_700_179_200, 0), dirty: []dirtyHour{{hostile, 1_700_010_000}},
	}
	tests := map[string]struct {
		query      schemas.Query
		conditions []string
		params     map[string]any
	}{
		"events": {
			eventsQuery(schemas.EventFilter{}, nil, 1, 2, 3),
			[]string{"PREWHERE " + from, "AND " + to, key, "WHERE " + from, "AND " + to},
			map[string]any{"from": int64(1), "to": int64(2), "limit": 3},
		},
		"events by everything": {
			eventsQuery(schemas.EventFilter{Tenant: hostile, ClientID: "c", UserID: "u", Type: "t", After: &schemas.EventCursor{Time: someTime, LogID: "l", Tenant: "a"}}, nil, 1, 2, 3),
			[]string{
				"PREWHERE " + from, "AND " + to, key, "WHERE " + from, "AND " + to,
				"AND tenant = {tenant:String}", "AND client_id = {client_id:String}", "AND user_id = {user_id:String}", "AND type = {type:String}",
				"AND (time, log_id, tenant) < (fromUnixTimestamp64Milli({after_time:Int64}, 'UTC'), {after_log_id:String}, {after_tenant:String})",
			},
			map[string]any{
				"from": int64(1), "to": int64(2), "limit": 3, "tenant": hostile, "client_id": "c", "user_id": "u", "type": "t",
				"after_time": someMS, "after_log_id": "l", "after_tenant": "a",
			},
		},
		"stats": {stats(schemas.StatsFilter{Limit: 20_000}, nil), nil, map[string]any{"limit": 10_001}},
		"events of an application": {
			eventsQuery(schemas.EventFilter{Tenant: "a", Identity: "app:" + hostile}, placesOf(schemas.EventFilter{Identity: "app:" + hostile}), 1, 2, 3),
			[]string{
				"PREWHERE " + from, "AND " + to, key, "WHERE " + from, "AND " + to,
				"AND tenant = {tenant:String}", "AND identity = {identity:String}", "AND (tenant, client_id, time) IN (",
				"WHERE " + from, "AND " + to, "AND tenant = {tenant:String}", "AND client_id IN {place_0:Array(String)}",
				"WHERE " + from, "AND " + to, "AND tenant = {tenant:String}", "AND identity IN {place_1:Array(String)}",
			},
			map[string]any{
				"from": int64(1), "to": int64(2), "limit": 3, "tenant": "a", "identity": "app:" + hostile, "place_0": []string{hostile}, "place_1": []string{"app:" + hostile},
			},
		},
		"batch of a type": {
			batchQuery(placesOf(schemas.EventFilter{Type: hostile}), schemas.EventFilter{Tenant: "a"}, 1, 2, 3),
			[]string{"WHERE " + from, "AND " + to, "AND tenant = {tenant:String}", "AND type IN {place_0:Array(String)}"},
			map[string]any{"from": int64(1), "to": int64(2), "count": 3, "tenant": "a", "place_0": []string{hostile}},
		},
		"stats by everything": {
			stats(schemas.StatsFilter{Tenant: hostile, By: []string{"source", "type"}, From: someTime, To: someTime, Limit: 5}, nil),
			[]string{"WHERE tenant = {tenant:String}", "AND " + from, "AND " + to},
			map[string]any{"tenant": hostile, "from": someMS, "to": someMS, "limit": 5},
		},
		"events by conditions": {
			eventsQuery(schemas.EventFilter{Where: append(parseWhere(t, "type", "!a,b_*%"), parseWhere(t, "asn", hostile)...), Text: hostile}, nil, 1, 2, 3),
			[]string{
				"PREWHERE " + from, "AND " + to, key, "WHERE " + from, "AND " + to,
				"AND NOT (type LIKE {filter_0_1:String} OR type IN {filter_0:Array(String)})",
				"AND (if(asn = 0, '', toString(asn)) IN {filter_1:Array(String)})",
				"AND (positionCaseInsensitiveUTF8(" + strings.Join(textColumns, ", {text:String}) > 0 OR positionCaseInsensitiveUTF8(") + ", {text:String}) > 0)",
			},
			map[string]any{
				"from": int64(1), "to": int64(2), "limit": 3, "filter_0": []string{"a"}, "filter_0_1": `b\_%\%`, "filter_1": []string{hostile}, "text": hostile,
			},
		},
		"stats of counts": {
			stats(schemas.StatsFilter{Tenant: hostile, By: []string{"type"}, Limit: 5}, ofOne),
			[]string{
				"PREWHERE tenant = {tenant:String} AND " + ofOne.fromDays(), "WHERE count > 0",
				"PREWHERE tenant = {tenant:String} AND " + ofOne.fromHours(), "WHERE count > 0",
				"PREWHERE tenant = {tenant:String} AND " + ofOne.fromEvents(),
			},
			map[string]any{
				"tenant": hostile, "limit": 5, "from": int64(1_700_000_000_000), "to": int64(1_700_179_200_000),
				"first_hour": int64(1_700_002_800), "last_hour": int64(1_700_179_200), "first_day": int64(1_700_006_400), "last_day": int64(1_700_179_200),
				"dirty_tenants": []string{hostile}, "dirty_hours": []int64{1_700_010_000}, "dirty_days": []int64{1_700_006_400},
				"event_days": []uint64{20231114, 20231115}, "event_hours": []int64{1_699_999_200, 1_700_010_000}, "hour_days": []int64{1_699_920_000, 1_700_006_400},
			},
		},
		"findings": {findingsQuery(schemas.FindingFilter{}, time.Time{}), nil, map[string]any{"limit": 1000}},
		"findings by everything": {
			findingsQuery(schemas.FindingFilter{
				Tenant: hostile, RuleID: "r", Key: "k", State: "s", Level: "l", From: someTime, To: someTime, Limit: 5,
				After: &schemas.FindingCursor{Last: someTime, ID: "i"},
			}, someTime),
			[]string{
				"WHERE tenant = {tenant:String}", "AND rule_id = {rule_id:String}", "AND key = {key:String}", "AND state = {state:String}", "AND level = {level:String}",
				"AND last >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')", "AND last < fromUnixTimestamp64Milli({to:Int64}, 'UTC')", "AND period >= fromUnixTimestamp64Milli({edge:Int64}, 'UTC')",
				"AND (last, id) < (fromUnixTimestamp64Milli({after_last:Int64}, 'UTC'), {after_id:String})",
			},
			map[string]any{
				"tenant": hostile, "rule_id": "r", "key": "k", "state": "s", "level": "l", "from": someMS, "to": someMS, "limit": 5,
				"edge": someMS, "after_last": someMS, "after_id": "i",
			},
		},
	}
	placeholder := regexp.MustCompile(`\{(\w+):`)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.conditions, conditions(tt.query)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s\n%s", diff, tt.query.SQL)
			}
			if diff := cmp.Diff(tt.params, tt.query.Params); diff != "" {
				t.Errorf("params (-want +got):\n%s", diff)
			}
			for _, p := range placeholder.FindAllStringSubmatch(tt.query.SQL, -1) {
				if _, ok := tt.query.Params[p[1]]; !ok {
					t.Errorf("placeholder %s has no value", p[1])
				}
			}
			if strings.Contains(tt.query.SQL, hostile) {
				t.Errorf("a value is in the text: %s", tt.query.SQL)
			}
		})
	}
}

func TestStatsQueryGroupsByTheColumnsNamed(t *testing.T) {
	q, err := statsQuery(schemas.StatsFilter{By: []string{"source", "type"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `SELECT toInt64(0) AS since, CAST([toString(source), type], 'Array(String)') AS dimensions, count() AS events
FROM events FINAL
GROUP BY toString(source), type
ORDER BY events DESC, toString(source), type
LIMIT {limit:UInt32}
SETTINGS do_not_merge_across_partitions_select_final = 1`
	if diff := cmp.Diff(want, q.SQL); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEveryStatsDimensionHasAColumn(t *testing.T) {
	for _, by := range schemas.StatsDimensions {
		if filterColumns[by] == "" {
			t.Errorf("dimension %s has no column", by)
		}
	}
	if len(filterColumns) != len(schemas.StatsDimensions) {
		t.Errorf("%d columns, want one for each of %d dimensions", len(filterColumns), len(schemas.StatsDimensions))
	}
}

func parseWhere(t *testing.T, field, text string) []schemas.Condition {
	t.Helper()
	c, _, err := schemas.ParseCondition(field, text)
	if err != nil {
		t.Fatal(err)
	}
	return []schemas.Condition{c}
}

func TestPlacesOfAFilterNameAllThatItLetsThrough(t *testing.T) {
	tests := map[string]struct {
		filter schemas.EventFilter
		want   places
	}{
		"nothing":        {schemas.EventFilter{}, places{{"events_by_time", "", nil}}},
		"type":           {schemas.EventFilter{Tenant: "a", Type: "t"}, places{{"events_by_time", "type", []string{"t"}}}},
		"types":          {schemas.EventFilter{Where: parseWhere(t, "type", "t,u")}, places{{"events_by_time", "type", []string{"t", "u"}}}},
		"some types":     {schemas.EventFilter{Where: parseWhere(t, "type", "t,u*")}, places{{"events_by_time", "", nil}}},
		"other types":    {schemas.EventFilter{Where: parseWhere(t, "type", "!t")}, places{{"events_by_time", "", nil}}},
		"clients":        {schemas.EventFilter{Type: "t", Where: parseWhere(t, "client_id", "a,b")}, nil},
		"client":         {schemas.EventFilter{ClientID: "c", Identity: "user:u", Type: "t"}, nil},
		"user":           {schemas.EventFilter{UserID: "u", Type: "t"}, places{{"events_by_identity", "identity", []string{"user:u"}}}},
		"identity":       {schemas.EventFilter{Identity: "agent:x", UserID: "u"}, places{{"events_by_identity", "identity", []string{"agent:x"}}}},
		"an application": {schemas.EventFilter{Identity: "app:c"}, places{{"events", "client_id", []string{"c"}}, {"events_by_identity", "identity", []string{"app:c"}}}},
	}
	for name, tt := range tests {
		if diff := cmp.Diff(tt.want, placesOf(tt.filter), cmp.AllowUnexported(place{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWindowsCoverTheRangeOnceFromItsEnd(t *testing.T) {
	const day = dayMilli
	tests := []struct {
		from, to int64
		want     [][2]int64
	}{
		{5, 5, nil},
		{6, 5, nil},
		{5, 6, [][2]int64{{5, 6}}},
		{0, day, [][2]int64{{0, day}}},
		{0, day + 1, [][2]int64{{day, day + 1}, {0, day}}},
		{7, 30*day + 9, [][2]int64{{30 * day, 30*day + 9}, {26 * day, 30 * day}, {10 * day, 26 * day}, {7, 10 * day}}},
	}
	for _, tt := range tests {
		var got [][2]int64
		for lo, hi := range windows(tt.from, tt.to) {
			got = append(got, [2]int64{lo, hi})
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("windows(%d, %d) (-want +got):\n%s", tt.from, tt.to, diff)
		}
	}
}

func TestSplitPartitionsKeepsEveryRowAndTheLimit(t *testing.T) {
	partition := func(n *int) int64 { return int64(*n % 7) }
	rows := make([]int, 40)
	for i := range rows {
		rows[i] = i * 5
	}
	for limit := 1; limit <= 8; limit++ {
		var all []int
		for _, part := range splitPartitions(rows, partition, limit) {
			distinct := make(map[int64]bool)
			for _, n := range part {
				distinct[partition(&n)] = true
			}
			if len(distinct) > limit {
				t.Errorf("limit %d: a part has %d partitions", limit, len(distinct))
			}
			all = append(all, part...)
		}
		slices.Sort(all)
		if !slices.Equal(all, rows) {
			t.Errorf("limit %d: got %v, want every row once", limit, all)
		}
	}
}

func TestErrorTextIsClippedAndQuotesNoValues(t *testing.T) {
	tests := map[string]struct {
		err  error
		want string
	}{
		"long quote":   {&ch.Exception{Code: 6, Message: "Cannot parse 'short' in '" + strings.Repeat("x", 40) + "' here"}, "code 6: Cannot parse 'short' in '…' here"},
		"constraint":   {&ch.Exception{Code: 469, Message: "Constraint `c` is violated at row 1. Expression: (x). Column values: x = 'y'"}, "code 469: Constraint `c` is violated at row 1"},
		"bad value":    {&ch.Exception{Code: 457, Message: "Value y cannot be parsed as UInt64 for query parameter 'n' because"}, "code 457: a value does not fit its parameter 'n' because"},
		"network":      {errors.New("dial tcp:\nrefused " + strings.Repeat("é", 200)), "dial tcp: refused " + strings.Repeat("é", 91) + "…"},
		"not UTF-8":    {errors.New("a\xffb"), "a?b"},
		"open quote":   {&ch.Exception{Code: 1, Message: "it's " + strings.Repeat("x", 40)}, "code 1: it'…"},
		"wrapped once": {fmt.Errorf("column raw: %w", &ch.Exception{Code: 1, Message: "m"}), "code 1: m"},
	}
	for name, tt := range tests {
		if got := queryError(t.Context(), "try", tt.err).Error(); got != "try: "+tt.want {
			t.Errorf("%s:\ngot  %s\nwant try: %s", name, got, tt.want)
		}
	}
}

func TestOnlyBlameOfTheRowsIsARefusal(t *testing.T) {
	for code, want := range map[int32]bool{
		codeViolated: true, 117: true, 321: true,
		53: false, 60: false, 81: false, 159: false, 164: false, 202: false, 210: false, 241: false, 243: false, 252: false, 497: false, 516: false, 1000: false,
	} {
		err := insertError(t.Context(), "insert", fmt.Errorf("wrapped: %w", &ch.Exception{Code: code}))
		if got := errors.Is(err, schemas.ErrRefused); got != want {
			t.Errorf("code %d: refused is %v, want %v", code, got, want)
		}
	}
}

// FuzzValuesNeverBecomeText claims that what a caller gives is always a
// parameter: whatever it is, the text of a query is the one for another value of
// that form.
func FuzzValuesNeverBecomeText(f *testing.F) {
	for _, seed := range []string{"a", hostile, "a','b", "*", "!a", `\`, "{tenant:String}", "\x00\xff", "a,*b"} {
		f.Add(seed, uint8(0))
	}
	f.Fuzz(func(t *testing.T, value string, n uint8) {
		field := schemas.FilterFields()[int(n)%len(schemas.FilterFields())]
		given, some, err := schemas.ParseCondition(field, value)
		if err != nil || !some {
			return
		}
		plain := given
		plain.Values = nil
		for _, p := range given.Values {
			plain.Values = append(plain.Values, make(schemas.Pattern, len(p)))
		}
		c := &counted{tenant: "a", from: minTime, to: maxTime}
		texts := func(value string, condition schemas.Condition) []string {
			where := []schemas.Condition{condition}
			stats, err := statsQuery(schemas.StatsFilter{Tenant: value, By: []string{"type"}, Where: where}, nil)
			if err != nil {
				t.Fatal(err)
			}
			counts := countStats(schemas.StatsFilter{Tenant: value, Where: where, Interval: schemas.IntervalDay}, nil, c)
			events := schemas.EventFilter{Tenant: value, Where: where, Text: value, Identity: value, After: &schemas.EventCursor{LogID: value, Tenant: value}}
			return []string{
				stats.SQL, counts.SQL, eventsQuery(events, placesOf(events), 1, 2, 3).SQL,
				usageQuery(schemas.UsageFilter{Tenant: value, By: []string{"client_id"}, Where: where}, c).SQL,
				identitiesQuery(schemas.IdentityFilter{Tenant: value, Where: where, Known: true, After: &schemas.IdentityCursor{Tenant: value, ID: value}}, c, time.Time{}).SQL,
				eventsStoredQuery(events, minTime, maxTime, []uint64{1}).SQL, storedQuery(events, minTime, maxTime).SQL, namesQuery(value, []string{value}, c).SQL, eventQuery(value, value, minTime, maxTime).SQL,
				presenceQuery(value, value, c).SQL, findingsQuery(schemas.FindingFilter{Tenant: value, Key: value, Identity: value}, minTime).SQL,
			}
		}
		if diff := cmp.Diff(texts("agent:x", plain), texts("agent:"+value, given)); diff != "" {
			t.Errorf("%q (-another +this):\n%s", value, diff)
		}
	})
}

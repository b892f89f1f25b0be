package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// CountStore is what the recount reads and writes: touches, events, counts and
// presence. Its reads see every insert that has returned. Its methods may be
// called concurrently.
type CountStore struct {
	db    *DB
	fence fence
}

// NewCountStore makes a CountStore of db, whose user must be allowed to read
// and insert. db stays the caller's to close.
func NewCountStore(db *DB) *CountStore { return &CountStore{db, fence{db, ReaderRecount}} }

// LastEpoch is the highest epoch that began, 0 where none has.
func (s *CountStore) LastEpoch(ctx context.Context) (uint64, error) { return s.fence.lastEpoch(ctx) }

// BeginEpoch records that a holder of the lease begins, before it reads
// anything, and returns when nothing of an earlier holder can be written any
// more.
func (s *CountStore) BeginEpoch(ctx context.Context, epoch uint64) error {
	return s.fence.begin(ctx, epoch)
}

// TouchedFlushes are the flushes, up to limit and oldest first, that are not
// recounted.
func (s *CountStore) TouchedFlushes(ctx context.Context, limit int) ([]schemas.Flush, error) {
	return undoneFlushes(ctx, s.db, ReaderRecount, limit, nil)
}

// TouchedHours are the hours that flushes have touched, by tenant and time.
func (s *CountStore) TouchedHours(ctx context.Context, flushes []string) ([]schemas.TouchedHour, error) {
	q := schemas.Query{SQL: touchedHoursQuery, Params: map[string]any{"flushes": flushes}}
	return collect(ctx, s.db.conn, "read touched hours", q, func(scan scanner) (h schemas.TouchedHour, err error) {
		err = scan(&h.Tenant, &h.Hour, &h.Since, &h.Touched)
		h.Hour, h.Since, h.Touched = h.Hour.UTC(), h.Since.UTC(), h.Touched.UTC()
		return h, err
	})
}

// countTouches are the touches of flushes that the recount reads.
const countTouches = `FROM touches
WHERE selector = '` + schemas.SelectorCounts + `' AND flush IN (SELECT arrayJoin({flushes:Array(UUID)}))`

const touchedHoursQuery = `SELECT tenant, bucket, min(since), max(touched)
` + countTouches + `
GROUP BY tenant, bucket
ORDER BY tenant, bucket`

// FoldTouches puts what flushes have touched, without the given hours, into
// one flush of its own, and then marks them done. A crash between the two
// leaves it there twice, which only means that it is done twice. Where a later
// epoch has begun nothing is written.
func (s *CountStore) FoldTouches(ctx context.Context, epoch uint64, into string, flushes []string, without []schemas.TouchedHour) error {
	at, err := flushTime(into)
	if err != nil {
		return err
	}
	tenants, hours := make([]string, len(without)), make([]int64, len(without))
	for i, h := range without {
		tenants[i], hours[i] = h.Tenant, h.Hour.Unix()
	}
	q := schemas.Query{SQL: foldTouches, Params: map[string]any{
		"day": at.Format(time.DateOnly), "into": into, "flushes": flushes, "tenants": tenants, "hours": hours,
	}}
	if err := s.fence.exec(ctx, "fold touches", epoch, q); err != nil {
		return err
	}
	return markTouched(ctx, s.fence, epoch, ReaderRecount, flushes)
}

const foldTouches = `INSERT INTO touches (day, flush, selector, tenant, key, bucket, since, touched)
SELECT {day:Date}, {into:UUID}, any(selector), tenant, key, bucket, min(t.since), max(t.touched)
FROM (
    SELECT selector, tenant, key, bucket, since, touched
    ` + countTouches + `
      AND (tenant, toInt64(toUnixTimestamp(bucket))) NOT IN (SELECT arrayJoin(arrayZip({tenants:Array(String)}, {hours:Array(Int64)})))
) AS t
WHERE ` + holds + `
GROUP BY tenant, key, bucket`

// maxShards is into how many parts a recount is cut at most that is too much
// at once.
const maxShards = 1 << 10

// Recount counts anew what r names. The hours come first, since the day is
// their sum, as usage is the day's, and successes are read from days. A crash or an error in between leaves rows
// of both kinds; the touches are not marked done then, so that nobody reads
// them. A recount that is too much for one query is cut by clients.
//
// What it touches for the correlator goes in before the recounted touches are
// marked done, so that a crash in between means that it is touched again.
func (s *CountStore) Recount(ctx context.Context, r schemas.Recount) error {
	if len(r.Hours) == 0 {
		return nil
	}
	for _, statement := range []string{recountHours, recountDay, recountUsage, recountPresence, recountSuccesses} {
		if err := s.recount(ctx, r, statement, 0, 1); err != nil {
			return err
		}
	}
	return s.touchStale(ctx, r, 0, 1)
}

func (s *CountStore) recount(ctx context.Context, r schemas.Recount, statement string, shard, shards uint64) error {
	q := recountQuery(r, statement, shard, shards)
	q.Params["ver"] = r.Ver
	err := s.fence.exec(ctx, fmt.Sprint("recount ", q.Params["day"]), r.Ver>>32, q, ch.WithSettings(recountSettings()))
	if !errors.Is(err, schemas.ErrQueryTooLarge) || shards >= maxShards {
		return err
	}
	for _, part := range []uint64{shard, shard + shards} {
		if err := s.recount(ctx, r, statement, part, shards*2); err != nil {
			return err
		}
	}
	return nil
}

// recountQuery is a statement about a share of the clients that r names.
func recountQuery(r schemas.Recount, statement string, shard, shards uint64) schemas.Query {
	hours := make([]int64, len(r.Hours))
	for i, h := range r.Hours {
		hours[i] = h.Unix()
	}
	day := slices.MinFunc(r.Hours, time.Time.Compare).UTC()
	return schemas.Query{SQL: statement, Params: map[string]any{
		"tenant": r.Tenant, "flushes": r.Flushes, "hours": hours,
		"day": day.Format(time.DateOnly), "shard": shard, "shards": shards,
	}}
}

// recountSettings: a day's copies are in one partition, and so are a unit's
// counts. What does not fit into memory goes to disk.
func recountSettings() ch.Settings {
	return ch.Settings{
		"do_not_merge_across_partitions_select_final": 1,
		"max_bytes_before_external_group_by":          64 << 20,
	}
}

// countKey are the columns that counts are kept by, behind the time, and
// usageKey those of usage_daily.
const (
	countKey = "client_id, identity, identity_kind, type, outcome, audience, organization_id, network, cause"
	usageKey = "client_id, type, outcome, audience, organization_id, cause"
)

// touchedUnits are the clients, and touchedClients those with their hours, that
// are to be recounted.
const (
	touchedUnits = `SELECT key, toInt64(toUnixTimestamp(bucket))
        ` + thisShare
	touchedClients = `SELECT key
        ` + thisShare
	thisShare = countTouches + `
          AND tenant = {tenant:String} AND toInt64(toUnixTimestamp(bucket)) IN {hours:Array(Int64)}
          AND cityHash64(key) % {shards:UInt64} = {shard:UInt64}`

	ofTheDay = "tenant = {tenant:String} AND toYYYYMMDD(time) = toYYYYMMDD({day:Date})"
	never    = "fromUnixTimestamp64Milli(toInt64(0), 'UTC')"
)

// Each statement is what survives now, and a zero for what is stored and may
// not be there any more, added up.
var (
	recountHours = recountStatement("counts_hourly", "hour, "+countKey,
		`    SELECT tenant, toStartOfHour(time) AS hour, `+countKey+`, 1 AS n, time AS first, time AS last
    FROM events FINAL
    WHERE `+ofTheDay+`
      AND client_id IN (`+touchedClients+`)
      AND (client_id, toInt64(toUnixTimestamp(toStartOfHour(time)))) IN (`+touchedUnits+`)`,
		`toInt64(toUnixTimestamp(hour)) IN {hours:Array(Int64)} AND (client_id, toInt64(toUnixTimestamp(hour))) IN (`+touchedUnits+`)`)

	recountDay = recountStatement("counts_daily", "day, "+countKey,
		`    SELECT tenant, toDate(hour) AS day, `+countKey+`, count AS n, first, last
    FROM counts_hourly FINAL
    WHERE tenant = {tenant:String} AND hour >= {day:Date} AND hour < {day:Date} + 1 AND count > 0
      AND client_id IN (`+touchedClients+`)`,
		`day = {day:Date} AND client_id IN (`+touchedClients+`)`)

	recountUsage = recountStatement("usage_daily", "day, "+usageKey,
		`    SELECT tenant, day, `+usageKey+`, count AS n, first, last
    FROM counts_daily FINAL
    WHERE tenant = {tenant:String} AND day = {day:Date} AND count > 0 AND client_id IN (`+touchedClients+`)`,
		`day = {day:Date} AND client_id IN (`+touchedClients+`)`)

	recountPresence = recountStatement("presence", "identity, attribute, value, day, client_id",
		`    SELECT tenant, identity, a.1 AS attribute, a.2 AS value, toDate(time) AS day, client_id, 1 AS n, time AS first, time AS last
    FROM (
        SELECT tenant, identity, client_id, time, `+strings.Join(presenceAttributes, ", ")+`
        FROM events FINAL
        WHERE `+ofTheDay+` AND identity != '' AND client_id IN (`+touchedClients+`)
    )
    ARRAY JOIN `+attributePairs()+` AS a
    WHERE attribute = '' OR value != ''`,
		`day = {day:Date} AND client_id IN (`+touchedClients+`)`)
)

// recountStatement writes the rows of a table with this key anew: those of
// survivors, and zeros for those that are stored and of the units.
func recountStatement(table, key, survivors, units string) string {
	return `INSERT INTO ` + table + ` (tenant, ` + key + `, count, first, last, ver)
SELECT tenant, ` + key + `, sum(n), minIf(t.first, n > 0), max(t.last), {ver:UInt64}
FROM (
` + survivors + `
    UNION ALL
    SELECT tenant, ` + key + `, 0, ` + never + `, ` + never + `
    FROM ` + table + ` FINAL
    WHERE tenant = {tenant:String} AND ` + units + ` AND count > 0
) AS t
WHERE ` + holds + `
GROUP BY tenant, ` + key
}

// recountSuccesses writes who succeeded on the day and was not known to have done
// so as late in its month, and, of whom that day was the last and is no more, the
// last day before. Only for the latter, of whom a copy that lost had told, it looks
// at other days.
var recountSuccesses = `INSERT INTO successes (tenant, identity, client_id, month, last, ver)
SELECT {tenant:String}, identity, client_id, toStartOfMonth({day:Date}), max(t.on), {ver:UInt64}
FROM (
    SELECT identity, client_id, {day:Date} AS on
    FROM ` + successesOn("day = {day:Date}") + `
      AND (identity, client_id) NOT IN (
          SELECT identity, client_id FROM successes FINAL
          WHERE tenant = {tenant:String} AND month = toStartOfMonth({day:Date}) AND last >= {day:Date}
      )
    UNION ALL
    SELECT identity, client_id, day AS on
    FROM ` + successesOn("day >= toStartOfMonth({day:Date}) AND day < {day:Date}") + `
      AND (identity, client_id) IN (` + noSuccessAnyMore + `)
    UNION ALL
    SELECT identity, client_id, toDate(0) AS on FROM (` + noSuccessAnyMore + `)
) AS t
WHERE ` + holds + `
GROUP BY identity, client_id` + withinPartitions

// successesOn are the counts of successes on days, of the touched clients.
func successesOn(days string) string {
	return `counts_daily FINAL
    WHERE tenant = {tenant:String} AND ` + days + ` AND client_id IN (` + touchedClients + `)
      AND outcome != 'failure' AND identity != '' AND count > 0`
}

var noSuccessAnyMore = `
        SELECT identity, client_id FROM successes FINAL
        WHERE tenant = {tenant:String} AND month = toStartOfMonth({day:Date}) AND last = {day:Date} AND client_id IN (` + touchedClients + `)
          AND (identity, client_id) NOT IN (SELECT identity, client_id FROM ` + successesOn("day = {day:Date}") + `)`

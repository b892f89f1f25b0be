package detect

import (
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// streamSilence finds tenants of which nothing comes. It looks at all their events,
// whatever selects them, so it reads no matches: they would be one more row for each
// event. The key is the tenant's name.
//
// What it finds, with minutes aligned to the epoch:
//
//   - The events of a minute are together. A pause lies between the last event of a
//     minute and the first of the next minute that has any; the last pause has no end
//     yet.
//   - Usual is the rank-th longest of the pauses that began and ended in the history
//     before a pause, and none where there are fewer: an outage or two do not make
//     the next one usual, and a night does.
//   - The limit is times × what is usual, and least at least. A limit above most is
//     never reached.
//   - A pause triggers at its beginning + its limit, if it is longer; if the tenant
//     is known: something came of it in a minute of the history that lies known
//     before; and if something came in the same stretch a week before, so that
//     whoever rests on Sundays is not missed.
//   - Per period with a trigger there is one finding. It holds the last event before
//     each such pause, and ends with the last trigger. Its facts are those of the last
//     pause: when it began, its limit, and when something came again.
//
// Time alone makes a finding, so each tick looks at each tenant, and what has come
// late takes it away. Events that were moved to another time stay in the index of
// times: there they are as good as any other.
type streamSilence struct {
	history, known, least, most time.Duration
	rank                        uint64
	times                       float64
}

const silenceWeek = 7 * 24 * time.Hour

// readStreamSilence reads x-stream-silence.
func readStreamSilence(_ *pending, d *document) pendingKind {
	s := &pendingStreamSilence{}
	m := d.child("x-stream-silence")
	if m == nil {
		return s
	}
	s.history, s.known, s.rank = m.duration("history"), m.duration("known"), m.uint("rank")
	s.times, s.least, s.most = m.positive("times"), m.duration("least"), m.duration("most")
	if s.least < 2*time.Minute || s.most < s.least || s.known > s.history || s.history < silenceWeek || s.rank < 1 || s.rank > 100 {
		m.on(m.node, "x-stream-silence: want a least of 2m or more, a most that is no less, a history of 7d or more that is no less than known, and a rank from 1 to 100")
	}
	m.rest("x-stream-silence")
	return s
}

type pendingStreamSilence struct{ streamSilence }

func (*pendingStreamSilence) names() []*yaml.Node { return nil }

// resolve gives the correlation a rule that selects nothing: it says what the key is.
func (s *pendingStreamSilence) resolve(_ *pending, c *Correlation, _ func(string) *Rule) kind {
	c.Main = &Rule{ID: c.ID, Name: c.Name, key: fields{wholeTenant}, idle: true}
	return s.streamSilence
}

func (streamSilence) uses(*Correlation) []*Rule { return nil }
func (streamSilence) learns() bool              { return false }
func (streamSilence) trail() time.Duration      { return 0 } // nothing touches it
func (streamSilence) looksBack() bool           { return true }

func (s streamSilence) reach(*Correlation) time.Duration {
	return s.most + s.history + 2*time.Minute
}

func (s streamSilence) params(a asked, lo time.Time) map[string]any {
	minutes := func(d time.Duration) int64 { return int64(d / time.Minute) }
	return map[string]any{
		"tenant": a.tenant, "keys": a.keys, "lo": millis(lo), "from": millis(a.from), "to": millis(a.to), "until": millis(a.to.Add(s.most)),
		"history": minutes(s.history), "known": minutes(s.known), "week": minutes(silenceWeek), "rank": s.rank, "times": s.times,
		"least": uint64(s.least.Milliseconds()), "most": uint64(s.most.Milliseconds()),
	}
}

func (s streamSilence) query(c *Correlation, a asked) schemas.Query {
	params := s.params(a, a.from.Add(-c.Reach()))
	params["dedupe"] = uint64(c.Dedupe.Milliseconds())
	return schemas.Query{SQL: streamPausesSQL + streamSilenceSQL, Params: params}
}

// candidates are tenants with a pause that is long enough for any limit.
func (s streamSilence) candidates(_ *Correlation, a asked) schemas.Query {
	return schemas.Query{SQL: streamPausesSQL + `
SELECT {tenant:String} AS key, ` + keysOnly + `
FROM long
WHERE has({keys:Array(String)}, {tenant:String})
LIMIT 1
`, Params: s.params(a, a.from.Add(-s.most-2*time.Minute))}
}

// overdue is the tenant, always: nothing touches it when something came late.
func (streamSilence) overdue(_ *Correlation, tenant string, _, _ time.Time, share Share) schemas.Query {
	return schemas.Query{SQL: "SELECT {tenant:String} AS key, " + keysOnly + " WHERE {has:Bool}", Params: map[string]any{"tenant": tenant, "has": share.Has(tenant)}}
}

// streamPausesSQL has the pauses of a tenant. Its steps, by name:
//
//	minutes  those with an event
//	pauses   with the next event behind
//	long     those that a trigger of [from, to) may lie in
const streamPausesSQL = `
WITH minutes AS (
    SELECT 1 AS one, toInt64(intDiv(toUnixTimestamp64Milli(time), 60000)) AS minute,
        toUInt64(toUnixTimestamp64Milli(min(time))) AS head, toUInt64(toUnixTimestamp64Milli(max(time))) AS tail
    FROM events_by_time
    WHERE tenant = {tenant:String}
      AND time >= fromUnixTimestamp64Milli(toInt64({lo:UInt64}), 'UTC') AND time < fromUnixTimestamp64Milli(toInt64({until:UInt64}), 'UTC')
    GROUP BY minute
),
pauses AS (
    SELECT one, minute, tail AS since, leadInFrame(head, 1, toUInt64(0)) OVER (ORDER BY minute ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next
    FROM minutes
),
long AS (
    SELECT * FROM pauses
    WHERE (next = 0 OR next > since + {least:UInt64}) AND since + {least:UInt64} < {to:UInt64} AND since + {most:UInt64} >= {from:UInt64}
)`

// streamSilenceSQL goes on behind streamPausesSQL. Its steps, by name:
//
//	habits    long ones with the longest pauses before; none that is shorter than
//	          least by times can matter
//	limits    with their limit
//	weekly    with the minute that is the first behind their beginning, a week before
//	silences  those that trigger
//	lasts     the events that they begin with
const streamSilenceSQL = `,
habits AS (
    SELECT any(l.one) AS one, any(l.minute) AS minute, l.since AS since, any(l.next) AS next,
        arrayReverseSort(groupArrayIf(p.next - p.since, p.since < l.since AND p.minute + {history:Int64} >= l.minute)) AS before
    FROM long AS l LEFT JOIN (SELECT * FROM pauses WHERE next > 0 AND (next - since) * {times:Float64} > {least:UInt64}) AS p ON l.one = p.one
    GROUP BY since
),
limits AS (
    SELECT *, before[{rank:UInt64}] AS usual, since + greatest({least:UInt64}, toUInt64({times:Float64} * usual)) AS trigger, minute - {history:Int64} AS oldest, minute - {week:Int64} AS week
    FROM habits
),
weekly AS (
    SELECT limits.*, w.minute AS week_minute FROM limits ASOF LEFT JOIN minutes AS w ON limits.one = w.one AND limits.week < w.minute
),
silences AS (
    SELECT k.since AS since, k.next AS next, k.trigger AS trigger, intDiv(k.trigger, {dedupe:UInt64}) * {dedupe:UInt64} AS period
    FROM weekly AS k ASOF JOIN minutes AS f ON k.one = f.one AND k.oldest <= f.minute
    WHERE f.minute + {known:Int64} <= k.minute
      AND k.week_minute > 0 AND k.week_minute <= toInt64(intDiv(k.trigger, 60000)) - {week:Int64}
      AND k.trigger <= k.since + {most:UInt64} AND k.trigger >= {from:UInt64} AND k.trigger < {to:UInt64}
      AND (k.next = 0 OR k.next > k.trigger)
),
lasts AS (
    SELECT toUInt64(toUnixTimestamp64Milli(time)) AS at, max(log_id) AS log_id, toUInt8(min(source = 'import')) AS imported
    FROM events FINAL
    WHERE tenant = {tenant:String}
      AND (client_id, time) IN (
          SELECT client_id, time FROM events_by_time
          WHERE tenant = {tenant:String} AND time IN (SELECT fromUnixTimestamp64Milli(toInt64(since), 'UTC') FROM silences))
    GROUP BY at
)
SELECT {tenant:String} AS key, period, min(since) AS first_t, max(trigger) AS last_t, count() AS n,
    CAST([], 'Array(String)') AS top_values,
    arrayMap(l -> l.2, groupArraySorted(20)((since, lasts.log_id))) AS top_logs,
    toUInt8(min(lasts.imported)) AS all_imported, ` + noBaseline + `,
    map('since', formatDateTime(fromUnixTimestamp64Milli(toInt64(argMax(since, trigger)), 'UTC'), '%F %H:%i', 'UTC'),
        'limit_minutes', toString(intDiv(last_t - argMax(since, trigger), 60000)),
        'came_back', if(argMax(next, trigger) > 0, formatDateTime(fromUnixTimestamp64Milli(toInt64(argMax(next, trigger)), 'UTC'), '%F %H:%i', 'UTC'), '')) AS facts
FROM silences LEFT JOIN lasts ON silences.since = lasts.at
WHERE has({keys:Array(String)}, {tenant:String})
GROUP BY period
ORDER BY period
`

// OfTenant reports whether c judges a tenant by all its events: it reads no matches,
// and its key is the tenant's name.
func (c *Correlation) OfTenant() bool {
	_, ok := c.kind.(streamSilence)
	return ok
}

// GoesOn reports whether a finding with these facts is not over before something
// comes, however long that takes.
func (c *Correlation) GoesOn(facts map[string]string) bool {
	return c.OfTenant() && facts["came_back"] == ""
}

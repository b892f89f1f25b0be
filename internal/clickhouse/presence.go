package clickhouse

import (
	"context"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Presence tells what was seen of an identity of a tenant, by attribute and
// value, the most frequent values of an attribute first; the first row, of
// schemas.AttributeIdentity, is the identity itself. The range is that of whole
// UTC days from that of from to that of to; a zero bound is none. It is exact
// at any moment: days with hours that are not recounted are read from events.
// No row means that the identity was not seen.
func (r *Reader) Presence(ctx context.Context, tenant, identity string, from, to time.Time) ([]schemas.Presence, error) {
	const day = 24 * time.Hour
	from = r.within(from, "events", "presence")
	c, err := r.counted(ctx, tenant, from.Truncate(day), to.Truncate(day).Add(dayAfter(to)))
	if err != nil {
		return nil, err
	}
	return collect(ctx, r.conn, "read what was seen of an identity", presenceQuery(tenant, identity, c), func(scan scanner) (p schemas.Presence, err error) {
		err = scan(&p.Attribute, &p.Value, &p.First, &p.Last, &p.Days, &p.Count)
		p.First, p.Last = p.First.UTC(), p.Last.UTC()
		return p, err
	})
}

// dayAfter is a day, but for the zero time, which stays what it is.
func dayAfter(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return 24 * time.Hour
}

func presenceQuery(tenant, identity string, c *counted) schemas.Query {
	clientID, _ := strings.CutPrefix(identity, schemas.AppID(""))
	params := map[string]any{"tenant": tenant, "identity": identity, "client_id": clientID}
	c.params(params)
	parts := []string{`    SELECT attribute, value, first, last, day, count
    FROM presence FINAL
    WHERE tenant = {tenant:String} AND identity = {identity:String} AND count > 0 AND ` + c.fromDays()}
	if c.readsEvents() {
		parts = append(parts, `    SELECT a.1 AS attribute, a.2 AS value, time AS first, time AS last, toDate(time) AS day, 1 AS count
    FROM (
        SELECT time, `+strings.Join(presenceAttributes, ", ")+`
        FROM events FINAL
        WHERE tenant = {tenant:String} AND identity = {identity:String} AND toYYYYMMDD(time) IN {event_days:Array(UInt64)}
          AND (client_id = {client_id:String} OR (client_id, time) IN (
              SELECT client_id, time FROM events_by_identity
              WHERE tenant = {tenant:String} AND identity = {identity:String} AND toYYYYMMDD(time) IN {event_days:Array(UInt64)}
          ))
    )
    ARRAY JOIN `+attributePairs()+` AS a
    WHERE attribute = '' OR value != ''`)
	}
	return schemas.Query{
		SQL: `SELECT attribute, value, min(t.first), max(t.last), uniqExact(day), toUInt64(sum(t.count)) AS n
FROM (
` + strings.Join(parts, "\n    UNION ALL\n") + `
) AS t
GROUP BY attribute, value
ORDER BY attribute, n DESC, value` + withinPartitions,
		Params: params,
	}
}

// presenceAttributes are the columns of events whose values are kept by
// identity and day.
var presenceAttributes = []string{
	schemas.AttributeNetwork, schemas.AttributeCountry, schemas.AttributeASN, schemas.AttributeUserAgentClass,
	schemas.AttributeJA4, schemas.AttributeAudience, schemas.AttributeOrganization,
}

// asnText is asn as text, empty where there is none, as other columns are.
const asnText = "if(asn = 0, '', toString(asn))"

// attributePairs makes an array of (attribute, value) of a row of events.
func attributePairs() string {
	pairs := []string{"('" + schemas.AttributeIdentity + "', '')"}
	for _, name := range presenceAttributes {
		value := "toString(" + name + ")"
		if name == schemas.AttributeASN {
			value = asnText
		}
		pairs = append(pairs, "('"+name+"', "+value+")")
	}
	return "[" + strings.Join(pairs, ", ") + "]"
}

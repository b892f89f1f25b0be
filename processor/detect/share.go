package detect

import (
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Share are those of a tenant's keys that lie in [From, Before), all that do not lie
// before From where Before is "": all keys may be more than one query may read. The
// matches of a day are in the order of their keys, so that a share reads its own alone.
type Share struct{ From, Before string }

// Has reports whether a key is in the share.
func (s Share) Has(key string) bool { return key >= s.From && (s.Before == "" || key < s.Before) }

// shareSQL is Share.Has, of matches.
const shareSQL = "key >= {least_key:String} AND ({next_key:String} = '' OR key < {next_key:String})"

// Shares are the shares between some keys, which are in order.
func Shares(between []string) []Share {
	shares := make([]Share, len(between)+1)
	for i, key := range between {
		shares[i].Before, shares[i+1].From = key, key
	}
	return shares
}

// SharesQuery asks, in column Key and in their order, for the first keys of all but the
// first of so many shares of a tenant's that have about as many matches each of the rule's
// selectors, among those that a tick over [from, to) reads. There are fewer shares where
// keys are few, or one of them has the matches of several: of a key at most mostOfKey
// count, since what is known of it is made of fewer bins than that.
func (c *Correlation) SharesQuery(tenant string, from, to time.Time, shares int) schemas.Query {
	lo := from.Add(-c.Reach())
	return schemas.Query{SQL: sharesSQL, Params: map[string]any{
		"tenant": tenant, "selectors": selectorsOfRules(c.Rules()), "shares": uint64(shares),
		"lo_day": day(lo), "to_day": day(to), "most": uint64(mostOfKey),
	}}
}

const mostOfKey = 10_000

// sharesSQL puts a key where the matches of those before it reach.
const sharesSQL = `
SELECT min(sizes.key) AS key, ` + keysOnly + `
FROM (
    SELECT key, intDiv((sum(size) OVER (ORDER BY key ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - size) * {shares:UInt64}, sum(size) OVER ()) AS share
    FROM (
        SELECT key, least(count(), {most:UInt64}) AS size FROM matches
        WHERE selector IN {selectors:Array(String)} AND tenant = {tenant:String} AND bucket >= {lo_day:Date} AND bucket <= {to_day:Date}
        GROUP BY key
    )
) AS sizes
WHERE share > 0
GROUP BY share
ORDER BY key
`

package clickhouse

import (
	"context"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	// warmWithin bounds the days that are looked at.
	warmWithin = 90 * 24 * time.Hour
	// ofExchanges keeps what an application got a token by itself with.
	ofExchanges = "type IN ('seccft', 'secte', 'sdeleacft', 'idjag_exchange_succeeded', 'success_on_behalf_of_token_exchange')"
	isWarm      = "sum(count) >= {successes:UInt64} AND minIf(first, count > 0) <= fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
)

// Warm are those of the identities of a tenant that were warm when the day of a
// time began, by what is counted: applications by their exchanges, others by all
// that they succeeded at.
func (r *Reader) Warm(ctx context.Context, tenant string, identities []string, at time.Time) (map[string]bool, error) {
	var clients, others []string
	for _, identity := range identities {
		if id, ok := strings.CutPrefix(identity, schemas.AppID("")); ok {
			clients = append(clients, id)
		} else if identity != "" {
			others = append(others, identity)
		}
	}
	warm := map[string]bool{}
	for _, of := range []struct {
		table, column, prefix, condition string
		ids                              []string
	}{
		{"usage_daily", "client_id", schemas.AppID(""), ofExchanges, clients},
		{"counts_daily", "identity", "", "outcome = 'success'", others},
	} {
		if len(of.ids) == 0 {
			continue
		}
		w := warmWhere(at)
		w.and("tenant = {tenant:String}", "tenant", tenant)
		w.and(of.column+" IN {ids:Array(String)}", "ids", of.ids)
		w.conditions = append(w.conditions, of.condition)
		rows, err := collect(ctx, r.conn, "look which identities are warm",
			w.query("SELECT "+of.column+" FROM "+of.table+" FINAL\n", "GROUP BY "+of.column+"\nHAVING "+isWarm+withinPartitions), scanText)
		if err != nil {
			return nil, err
		}
		for _, id := range rows {
			warm[of.prefix+id] = true
		}
	}
	return warm, nil
}

// CountWarm counts the applications of all tenants that are warm, and those that
// got a token by themselves in the 90 days before.
func (r *Reader) CountWarm(ctx context.Context, at time.Time) (c schemas.WarmCount, err error) {
	w := warmWhere(at)
	w.conditions = append(w.conditions, ofExchanges)
	_, err = collect(ctx, r.conn, "count the identities that are warm", w.query(
		"SELECT countIf(warm), count() FROM (SELECT tenant, client_id, "+isWarm+" AS warm, sum(count) AS n FROM usage_daily FINAL\n",
		"GROUP BY tenant, client_id HAVING n > 0)"+withinPartitions), func(scan scanner) (struct{}, error) {
		return struct{}{}, scan(&c.Warm, &c.Identities)
	})
	return c, err
}

func warmWhere(at time.Time) where {
	w := where{}
	w.and("day < {day:Date}", "day", at.UTC().Format(time.DateOnly))
	w.and("day >= {from_day:Date}", "from_day", at.UTC().Add(-warmWithin).Format(time.DateOnly))
	w.param("successes", uint64(schemas.WarmSuccesses))
	w.param("since", at.Add(-schemas.WarmHistory).UnixMilli())
	return w
}

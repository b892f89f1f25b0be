package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// maxTokenUses is how many uses of a token are told.
const maxTokenUses = 1000

// Token tells who got the token of a jti and what it was used for, by the
// events that are stored.
func (r *Reader) Token(ctx context.Context, tenant, jti string) (schemas.Token, error) {
	first, last, err := r.tokenTimes(ctx, tenant, jti)
	if err != nil {
		return schemas.Token{}, err
	}
	token := schemas.Token{Tenant: tenant, ID: jti}
	if err := r.readToken(ctx, &token, r.within(first, "events"), last); err != nil {
		return schemas.Token{}, err
	}
	if token.Issue == nil && token.UseCount == 0 {
		return schemas.Token{}, fmt.Errorf("token %s of tenant %s: %w", clip(jti, maxErrorQuoted), clip(tenant, maxErrorQuoted), schemas.ErrNotFound)
	}
	return token, nil
}

// tokenHash is what events_by_token has of a jti. That two may share one does not
// matter to a candidate.
func tokenHash(jti string) uint32 { return uint32(sipHash64(jti)) }

const fromTokens = `FROM events_by_token
WHERE tenant = {tenant:String}
  AND hash = {hash:UInt32}
`

// tokenTimes are the times of the first and the last candidate. They bound the
// days that events are read of. Without a candidate both are the same.
func (r *Reader) tokenTimes(ctx context.Context, tenant, jti string) (first, last time.Time, err error) {
	q := schemas.Query{
		SQL:    "SELECT min(time), max(time)\n" + fromTokens,
		Params: map[string]any{"tenant": tenant, "hash": tokenHash(jti)},
	}
	_, err = collect(ctx, r.conn, "look for a token", q, func(scan scanner) (struct{}, error) {
		return struct{}{}, scan(&first, &last)
	})
	return first.UTC(), last.UTC(), err
}

// readToken reads the events that issued or used the token, first to last.
func (r *Reader) readToken(ctx context.Context, token *schemas.Token, first, last time.Time) error {
	rows := newEventScan()
	_, err := collect(ctx, r.conn, "read a token", tokenQuery(token.Tenant, token.ID, first, last), func(scan scanner) (struct{}, error) {
		e, err := rows.row(scan, &token.UseCount)
		if e.TokenID == token.ID && token.Issue == nil {
			issue := e
			token.Issue = &issue
		}
		if e.UsedTokenID == token.ID && len(token.Uses) < maxTokenUses {
			token.Uses = append(token.Uses, e)
		}
		return struct{}{}, err
	})
	return err
}

func tokenQuery(tenant, jti string, first, last time.Time) schemas.Query {
	w := within(first.UnixMilli(), last.UnixMilli()+1)
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.conditions = append(w.conditions, "(tenant, client_id, time) IN (\nSELECT tenant, client_id, time "+fromTokens+")")
	w.param("hash", tokenHash(jti))
	w.and("(token_id = {jti:String} OR used_token_id = {jti:String})", "jti", jti)
	w.param("limit", maxTokenUses+1)
	return w.query("SELECT "+eventFields()+", countIf(used_token_id = {jti:String}) OVER ()\nFROM events FINAL\n",
		"ORDER BY used_token_id = {jti:String}, time, log_id\nLIMIT {limit:UInt32}"+withinPartitions)
}

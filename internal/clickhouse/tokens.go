package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// How many uses of a token are told one by one, and how many places of them.
const (
	maxTokenUses   = 1000
	maxTokenPlaces = 1000
)

// Token tells who got the token of a jti and what it was used for, by the
// events that are stored.
func (r *Reader) Token(ctx context.Context, tenant, jti string) (schemas.Token, error) {
	times, err := r.tokenTimes(ctx, tenant, jti)
	if err != nil {
		return schemas.Token{}, err
	}
	token := schemas.Token{Tenant: tenant, ID: jti}
	first := r.within(times.first, "events")
	if err := r.readToken(ctx, &token, first, times.near); err != nil {
		return schemas.Token{}, err
	}
	if len(token.Uses) < maxTokenUses && times.near.Before(times.last) { // some candidates were none
		token = schemas.Token{Tenant: tenant, ID: jti}
		if err := r.readToken(ctx, &token, first, times.last); err != nil {
			return schemas.Token{}, err
		}
	}
	if len(token.Uses) > 0 {
		if err := r.readTokenPlaces(ctx, &token, first, times.last); err != nil {
			return schemas.Token{}, err
		}
	}
	if token.Issue == nil && len(token.Uses) == 0 {
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

// tokenTimes bound what is read of events: the times of the first and the last
// candidate, and one by which its issue and all uses that are listed are there,
// unless many candidates turn out to be none. Without a candidate all are the
// same.
type tokenTimes struct{ first, near, last time.Time }

func (r *Reader) tokenTimes(ctx context.Context, tenant, jti string) (tokenTimes, error) {
	q := schemas.Query{
		SQL: "SELECT min(time), greatest(maxIf(time, used = 0), arrayMax(groupArraySortedIf({near:UInt32})(time, used = 1))), max(time)\n" +
			fromTokens,
		Params: map[string]any{"tenant": tenant, "hash": tokenHash(jti), "near": 2 * maxTokenUses},
	}
	var t tokenTimes
	_, err := collect(ctx, r.conn, "look for a token", q, func(scan scanner) (struct{}, error) {
		return struct{}{}, scan(&t.first, &t.near, &t.last)
	})
	return tokenTimes{t.first.UTC(), t.near.UTC(), t.last.UTC()}, err
}

// readToken reads the events that issued or used the token, first to last.
func (r *Reader) readToken(ctx context.Context, token *schemas.Token, first, last time.Time) error {
	rows := newEventScan()
	_, err := collect(ctx, r.conn, "read a token", tokenQuery(token.Tenant, token.ID, first, last), func(scan scanner) (struct{}, error) {
		e, err := rows.row(scan)
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

// readTokenPlaces counts the uses of the token by where they came from and for
// what. The uses of a token are those of one client or few, within hours: it
// reads these, instead of looking up each of what may be a million candidates.
func (r *Reader) readTokenPlaces(ctx context.Context, token *schemas.Token, first, last time.Time) error {
	places, err := collect(ctx, r.conn, "count the uses of a token", tokenPlacesQuery(token.Tenant, token.ID, first, last), func(scan scanner) (schemas.TokenPlace, error) {
		var p schemas.TokenPlace
		err := scan(&p.Network, &p.Scope, &p.Audience, &p.Count, &p.First, &p.Last, &token.UseCount)
		p.First, p.Last = p.First.UTC(), p.Last.UTC()
		return p, err
	})
	token.Places = places
	return err
}

func tokenPlacesQuery(tenant, jti string, first, last time.Time) schemas.Query {
	w := within(first.UnixMilli(), last.UnixMilli()+1)
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.conditions = append(w.conditions, "client_id IN (\nSELECT client_id "+fromTokens+"  AND used = 1)")
	w.param("hash", tokenHash(jti))
	w.and("used_token_id = {jti:String}", "jti", jti)
	w.param("limit", maxTokenPlaces)
	return w.query("SELECT network, arrayStringConcat(scopes, ' ') AS scope, audience, count() AS n, min(time), max(time), sum(n) OVER ()\nFROM events FINAL\n",
		"GROUP BY network, scope, audience\nORDER BY n DESC, network, scope, audience\nLIMIT {limit:UInt32}"+withinPartitions)
}

func tokenQuery(tenant, jti string, first, last time.Time) schemas.Query {
	w := within(first.UnixMilli(), last.UnixMilli()+1)
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.conditions = append(w.conditions, "(tenant, client_id, time) IN (\nSELECT tenant, client_id, time "+fromTokens+"  AND time < "+milliseconds("to")+")")
	w.param("hash", tokenHash(jti))
	w.and("(token_id = {jti:String} OR used_token_id = {jti:String})", "jti", jti)
	w.param("limit", maxTokenUses+1)
	return w.query("SELECT "+eventFields()+"\nFROM events FINAL\n",
		"ORDER BY used_token_id = {jti:String}, time, log_id\nLIMIT {limit:UInt32}"+withinPartitions)
}

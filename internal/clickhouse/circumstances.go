package clickhouse

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// FirstLive is the time of the first stored event of a tenant that did not come by
// import; zero where there is none. Where retention may have taken earlier ones it
// is the Unix epoch: long ago.
func (s *FindingStore) FirstLive(ctx context.Context, tenant string) (time.Time, error) {
	rows, err := collect(ctx, s.db.conn, "look for the first live event of a tenant", schemas.Query{
		SQL:    "SELECT minOrNull(time) FROM events WHERE tenant = {tenant:String} AND source NOT IN ('import', 'repair')",
		Params: map[string]any{"tenant": tenant},
	}, func(scan scanner) (t *time.Time, err error) {
		err = scan(&t)
		return t, err
	})
	if err != nil || len(rows) == 0 || rows[0] == nil {
		return time.Time{}, err
	}
	first := rows[0].UTC()
	if edge := s.db.edge("events"); !edge.IsZero() && first.Before(edge.Add(48*time.Hour)) {
		return time.Unix(0, 0).UTC(), nil
	}
	return first, nil
}

// Warm is that of Reader.
func (s *FindingStore) Warm(ctx context.Context, tenant string, identities []string, at time.Time) (map[string]bool, error) {
	return NewReader(s.db).Warm(ctx, tenant, identities, at)
}

// Rotations are the last changes of credentials of identities, of those that have
// one in [since, until), that commands of m2mwatch made. The domain is not asked:
// Auth0 gives no two applications one client id. A user's password counts, too.
func (s *FindingStore) Rotations(ctx context.Context, identities []string, since, until time.Time) (map[string]schemas.Rotation, error) {
	places := map[string]string{} // what a path begins with, and whose that is
	var paths []string
	add := func(path, identity string) {
		places[path] = identity
		paths = append(paths, path)
	}
	for _, identity := range identities {
		if id, ok := strings.CutPrefix(identity, schemas.AppID("")); ok {
			add("/api/v2/clients/"+url.PathEscape(id), identity)
		} else if id, ok := strings.CutPrefix(identity, schemas.UserID("")); ok {
			add("/api/v2/users/"+url.PathEscape(id), identity)
		}
	}
	if len(paths) == 0 {
		return nil, nil
	}
	w := where{}
	w.and("at >= "+milliseconds("since"), "since", ceilMilli(since))
	w.and("at < "+milliseconds("until"), "until", ceilMilli(until))
	w.and("arrayStringConcat(arraySlice(splitByChar('/', path), 1, 5), '/') IN {paths:Array(String)}", "paths", paths)
	w.conditions = append(w.conditions, "outcome != 'refused'",
		"(endsWith(path, '/rotate-secret') OR position(path, '/credentials') > 0 OR command IN ('apps rotate', 'users password'))")
	type rotation struct {
		place string
		schemas.Rotation
	}
	rows, err := collect(ctx, s.db.conn, "look for rotations", w.query(
		"SELECT arrayStringConcat(arraySlice(splitByChar('/', path), 1, 5), '/') AS place, max(at), argMax(command, at), argMax(operator, at)\nFROM provision_log FINAL\n", "GROUP BY place"),
		func(scan scanner) (r rotation, err error) {
			err = scan(&r.place, &r.At, &r.Command, &r.Operator)
			r.At = r.At.UTC()
			return r, err
		})
	found := make(map[string]schemas.Rotation, len(rows))
	for _, r := range rows {
		found[places[r.place]] = r.Rotation
	}
	return found, err
}

// SourceKnown tells whether the identity of a finding had succeeded from every
// network of its first events in the thirty days before it; nil where no network is
// told.
func (s *FindingStore) SourceKnown(ctx context.Context, f schemas.Finding) (*bool, error) {
	return NewReader(s.db).sourceKnown(ctx, &f)
}

package clickhouse

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// candidate is a row of an index table: where events of a key may be.
type candidate struct {
	tenant   string
	key      string // type in events_by_time, identity in events_by_identity, jti in events_by_token
	used     bool   // of events_by_token: the event used the token, it did not issue it
	time     int64  // Unix milliseconds
	clientID string
}

// index is one index table.
type index struct {
	table      string
	columns    []column[candidate]
	partition  func(*candidate) int64
	candidates func([]candidate, *schemas.Event) []candidate // of an event, appended
}

// indexes are the tables of 005_index.sql, as 009_smaller.sql left them.
func indexes() []index {
	tenant := column[candidate]{"tenant", func(c *candidate) any { return c.tenant }}
	at := column[candidate]{"time", func(c *candidate) any { return c.time }}
	client := column[candidate]{"client_id", func(c *candidate) any { return c.clientID }}
	key := func(name string) column[candidate] {
		return column[candidate]{name, func(c *candidate) any { return c.key }}
	}
	hash := column[candidate]{"hash", func(c *candidate) any { return tokenHash(c.key) }}
	used := column[candidate]{"used", func(c *candidate) any { return flag(c.used) }}
	day := func(c *candidate) int64 { return dayOf(time.UnixMilli(c.time)) }
	month := func(c *candidate) int64 { return monthOf(time.UnixMilli(c.time)) }
	return []index{
		{"events_by_time", []column[candidate]{tenant, at, client, key("type")}, day, timeCandidates},
		{"events_by_identity", []column[candidate]{tenant, key("identity"), at, client}, day, identityCandidates},
		{"events_by_token", []column[candidate]{tenant, hash, used, at, client}, month, tokenCandidates},
	}
}

func timeCandidates(to []candidate, e *schemas.Event) []candidate {
	return append(to, candidateOf(e, e.Type))
}

func identityCandidates(to []candidate, e *schemas.Event) []candidate {
	if id := e.Identity.ID; id != "" && id != schemas.AppID(e.ClientID) {
		to = append(to, candidateOf(e, id))
	}
	if e.UserID != "" && schemas.UserID(e.UserID) != e.Identity.ID {
		to = append(to, candidateOf(e, schemas.UserID(e.UserID)))
	}
	return to
}

func tokenCandidates(to []candidate, e *schemas.Event) []candidate {
	if e.TokenID != "" {
		to = append(to, candidateOf(e, e.TokenID))
	}
	if e.UsedTokenID != "" {
		c := candidateOf(e, e.UsedTokenID)
		c.used = true
		to = append(to, c)
	}
	return to
}

func candidateOf(e *schemas.Event, key string) candidate {
	return candidate{tenant: e.Tenant, key: key, time: e.Time.UnixMilli(), clientID: e.ClientID}
}

// insertIndexes stores where the events will be, in all tables at once.
func (w *Writer) insertIndexes(ctx context.Context, events []schemas.Event) error {
	all := indexes()
	failed := make([]error, len(all))
	var inserts sync.WaitGroup
	for i, x := range all {
		inserts.Go(func() {
			failed[i] = insert(ctx, w.db, x.table, x.columns, x.partition, x.of(events))
		})
	}
	inserts.Wait()
	return errors.Join(failed...)
}

// of is every candidate of the events, once.
func (x *index) of(events []schemas.Event) []candidate {
	seen := make(map[candidate]struct{}, len(events))
	var all, one []candidate
	for i := range events {
		one = x.candidates(one[:0], &events[i])
		for _, c := range one {
			if _, has := seen[c]; !has {
				seen[c] = struct{}{}
				all = append(all, c)
			}
		}
	}
	return all
}

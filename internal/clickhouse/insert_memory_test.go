package clickhouse_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// flushOver is a flush of history: rows in all columns, spread over days.
func flushOver(days, rows int) []schemas.Event {
	r := rand.NewChaCha8([32]byte{1})
	all := make([]schemas.Event, rows)
	for i := range all {
		e := realistic(i, noon().Add(-time.Duration(i%days)*24*time.Hour+time.Duration(i)*time.Millisecond))
		for _, id := range []*string{&e.TokenID, &e.UsedTokenID, &e.TraceID, &e.CorrelationID, &e.SessionID, &e.JA3, &e.JA4} {
			*id = fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
		}
		e.Cause, e.ClientIP, e.Country, e.UserAgentClass, e.SDKName, e.SDKVersion = schemas.CauseOther, e.IP, "NL", "curl", "auth0-node", "4.1"
		e.Connection, e.ConnectionID, e.Strategy, e.StrategyType, e.UserName = "c", "con_1", "auth0", "database", "a@example.com"
		e.OrganizationName, e.GrantType, e.MTLSThumbprint, e.ActorSubject = "org", "client_credentials", e.JA3, "agent|1"
		e.AgentID, e.ExternalAgentID = e.TraceID[:8], e.TraceID[8:]
		all[i] = e
	}
	return all
}

// limited connects to db with less memory for a query than it would have.
func limited(t *testing.T, db *clickhouse.DB, bytes int) *clickhouse.DB {
	t.Helper()
	c := clickhousetest.Engine(t).Options(clickhouse.RoleApp)
	mark := "?"
	if strings.Contains(c.URL, mark) {
		mark = "&"
	}
	c.URL += fmt.Sprintf("%smax_memory_usage=%d", mark, bytes)
	c.Database = db.Database()
	return connect(t, c)
}

func TestFlushOfManyDaysFitsTheMemoryOfAQuery(t *testing.T) {
	db := clickhousetest.New(t)
	flush := flushOver(90, 25_000)
	insertEvents(t, db, flush)
	if n := countEvents(t, db); n != uint64(len(flush)) {
		t.Errorf("counted %d events, want %d", n, len(flush))
	}
}

// TestFlushThatMeetsTheMemoryLimitIsStoredInParts takes a limit that the whole
// flush is over.
func TestFlushThatMeetsTheMemoryLimitIsStoredInParts(t *testing.T) {
	db := clickhousetest.New(t)
	small := limited(t, db, 14<<20)
	if err := clickhouse.InsertEventsOnce(t.Context(), small, flushOver(60, 3000)); !clickhouse.IsNoMemory(err) || errors.Is(err, schemas.ErrRefused) {
		t.Fatalf("the whole flush at once: %v; want it to meet the limit", err)
	}
	stored := 0
	for _, days := range []int{60, 1} {
		flush := flushOver(days, 3000)
		for i := range flush {
			flush[i].Tenant = fmt.Sprintf("over-%d-days", days)
		}
		insertEvents(t, small, flush)
		stored += len(flush)
		if n := countEvents(t, db); n != uint64(stored) {
			t.Errorf("%d days: %d events are stored, want %d", days, n, stored)
		}
	}
}

// TestRowWithoutMemoryIsNoRefusal claims that where a single row meets the limit
// the store counts as away: what would fit elsewhere is not given up.
func TestRowWithoutMemoryIsNoRefusal(t *testing.T) {
	db := clickhousetest.New(t)
	none := limited(t, db, 1<<20)
	err := clickhouse.NewWriter(none).InsertEvents(t.Context(), flushOver(3, 40))
	if err == nil || errors.Is(err, schemas.ErrRefused) || !strings.Contains(err.Error(), "insert 1 ") || !strings.Contains(err.Error(), "memory") {
		t.Errorf("got %v, want an error that names one row and the memory", err)
	}
}

package clickhouse_test

import (
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestSipHash64IsTheServers(t *testing.T) {
	conn := plain(t, clickhousetest.New(t))
	for n := range 40 {
		text := strings.Repeat("é\x00x", n)[:n]
		var want uint64
		if err := conn.QueryRow(t.Context(), "SELECT sipHash64(unhex(hex($1)))", text).Scan(&want); err != nil {
			t.Fatal(err)
		}
		if got := clickhouse.SipHash64(text); got != want {
			t.Errorf("%d bytes: %x, want %x", n, got, want)
		}
	}
}

// TestIndexesHaveOneRowPerKey claims that copies of an event, and events of one
// key, share their rows, and that no row is written which the key of events
// makes unneeded.
func TestIndexesHaveOneRowPerKey(t *testing.T) {
	db := clickhousetest.New(t)
	app, user := event(0, noon()), event(1, noon())
	app.ClientID, app.Identity.ID, app.UserID, app.TokenID = "c", "app:c", "", "j1"
	user.ClientID, user.Identity.ID, user.UserID, user.UsedTokenID = "c", "user:auth0|1", "auth0|1", "j1"
	again := app
	again.LogID = "another"
	insertEvents(t, db, []schemas.Event{app, again, app, user})
	conn := plain(t, db)
	for table, want := range map[string]uint64{"events_by_time": 2, "events_by_identity": 1, "events_by_token": 2} {
		if n := count(t, conn, "SELECT count() FROM "+table); n != want {
			t.Errorf("%s has %d rows, want %d", table, n, want)
		}
	}
}

// TestEventWithoutItsIndexIsNotStored claims that nothing is stored which no
// listing would find.
func TestEventWithoutItsIndexIsNotStored(t *testing.T) {
	for _, table := range []string{"events_by_time", "events_by_identity", "events_by_token"} {
		db := clickhousetest.New(t)
		execute(t, db, "DROP TABLE "+table+" SYNC")
		e := event(1, noon())
		e.TokenID = "j"
		if err := clickhouse.NewWriter(db).InsertEvents(t.Context(), []schemas.Event{e}); err == nil {
			t.Errorf("without %s the insert is no error", table)
		}
		if n := countEvents(t, db); n != 0 {
			t.Errorf("without %s an event is stored", table)
		}
	}
}

package clickhouse_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestEventComesBackAsItWasStored(t *testing.T) {
	db := clickhousetest.New(t)
	e := event(1, noon().Add(123*time.Millisecond))
	insertEvents(t, db, []schemas.Event{e})

	got, err := clickhouse.NewReader(db).Event(t.Context(), e.Tenant, e.LogID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffEvents(e, got); diff != "" {
		t.Errorf("event with raw (-want +got):\n%s", diff)
	}
	if diff := diffEvents(newestFirst([]schemas.Event{e}), listEvents(t, db, schemas.EventFilter{})); diff != "" {
		t.Errorf("listed event (-want +got):\n%s", diff)
	}
}

// TestEventKeepsEveryField fills every field of an event, so that one which a
// column is missing for, or which two columns change for each other, is found.
func TestEventKeepsEveryField(t *testing.T) {
	db := clickhousetest.New(t)
	var e schemas.Event
	number := 0
	fill(reflect.ValueOf(&e).Elem(), "event", &number)
	e.Time, e.IngestedAt, e.StoredAt = noon(), noon().Add(time.Second), time.Time{}
	e.LogID, e.Source = "90020250102030405678", schemas.SourcePull
	insertEvents(t, db, []schemas.Event{e})
	got, err := clickhouse.NewReader(db).Event(t.Context(), e.Tenant, e.LogID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffEvents(e, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if age := time.Since(got.StoredAt); age < 0 || age > time.Hour {
		t.Errorf("stored_at %s, want now", got.StoredAt)
	}
}

// fill gives every field below v another value.
func fill(v reflect.Value, name string, number *int) {
	*number++
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), v.Type().Field(i).Name, number)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("%s %d", name, *number))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), name, number)
		fill(v.Index(1), name, number)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float32:
		v.SetFloat(float64(*number) + 0.5)
	default:
		v.SetUint(uint64(*number))
	}
}

func TestEventKeepsEveryByte(t *testing.T) {
	db := clickhousetest.New(t)
	nasty := "'\"\\ \x00\t\r\n{x:String} \xff\xfe\xc3( ' OR 1=1 -- ünïcode"
	e := schemas.Event{
		Tenant: nasty, ClientID: nasty, Time: noon(), LogID: nasty, Type: nasty, Outcome: schemas.Outcome(nasty), Description: nasty,
		Identity:   schemas.Identity{ID: nasty, Kind: schemas.Kind(nasty), Reason: nasty},
		ClientName: nasty, UserID: nasty, IP: nasty, Network: nasty, UserAgent: nasty, Audience: nasty, Scopes: []string{nasty, "", nasty},
		OrganizationID: nasty, Hostname: nasty, Call: schemas.Call{Method: nasty, Path: nasty, Target: nasty},
		Source: schemas.SourceCustom, IngestedAt: noon(), Raw: []byte(nasty),
	}
	insertEvents(t, db, []schemas.Event{e, event(1, noon())})

	got, err := clickhouse.NewReader(db).Event(t.Context(), nasty, nasty)
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffEvents(e, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	listed := listEvents(t, db, schemas.EventFilter{Tenant: nasty, ClientID: nasty, UserID: nasty, Type: nasty})
	if diff := diffEvents(newestFirst([]schemas.Event{e}), listed); diff != "" {
		t.Errorf("listing filtered by every field (-want +got):\n%s", diff)
	}
}

func TestEventStoredThreeTimesIsThereOnceInItsHighestVersion(t *testing.T) {
	db := clickhousetest.New(t)
	for _, ver := range []uint64{2, 9, 4} {
		e := event(1, noon())
		e.Ver, e.Type = ver, map[uint64]string{2: "low", 9: "high", 4: "middle"}[ver]
		insertEvents(t, db, []schemas.Event{e})
	}
	listed := listEvents(t, db, schemas.EventFilter{})
	if len(listed) != 1 || listed[0].Ver != 9 || listed[0].Type != "high" {
		t.Errorf("listed %+v, want the one of version 9", listed)
	}
	if got := listEvents(t, db, schemas.EventFilter{Type: "low"}); len(got) != 0 {
		t.Errorf("a copy that lost is found by its type: %+v", got)
	}
	got, err := clickhouse.NewReader(db).Event(t.Context(), "acme", event(1, noon()).LogID)
	if err != nil || got.Ver != 9 {
		t.Errorf("event has version %d, %v; want 9", got.Ver, err)
	}
	if n := countEvents(t, db); n != 1 {
		t.Errorf("counted %d times, want once", n)
	}
}

func TestDeletedEventIsHidden(t *testing.T) {
	db := clickhousetest.New(t)
	gone, stays := event(1, noon()), event(2, noon())
	insertEvents(t, db, []schemas.Event{gone, stays})
	execute(t, db, `INSERT INTO events (tenant, client_id, time, log_id, ver, deleted, source)
		SELECT tenant, client_id, time, log_id, ver + 1, 1, source FROM events WHERE log_id = '`+gone.LogID+`'`)

	if diff := diffEvents(newestFirst([]schemas.Event{stays}), listEvents(t, db, schemas.EventFilter{})); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
	if _, err := clickhouse.NewReader(db).Event(t.Context(), "acme", gone.LogID); !errors.Is(err, schemas.ErrNotFound) {
		t.Errorf("event: %v, want ErrNotFound", err)
	}
	if n := countEvents(t, db); n != 1 {
		t.Errorf("counted %d events, want 1", n)
	}
}

func TestInsertTakesEventsOf300Days(t *testing.T) {
	db := clickhousetest.New(t)
	var all []schemas.Event
	for day := range 300 {
		for n := range 3 {
			all = append(all, event(day*3+n, noon().Add(-time.Duration(day)*24*time.Hour)))
		}
	}
	insertEvents(t, db, all)
	if n := countEvents(t, db); n != 900 {
		t.Errorf("counted %d events, want 900", n)
	}
	var matches []schemas.Match
	for i := range all {
		matches = append(matches, schemas.Match{Selector: "s", Tenant: "acme", Key: "k", Time: all[i].Time.AddDate(-20, 0, 0).AddDate(0, i, 0), LogID: all[i].LogID, Source: schemas.SourceImport})
	}
	if err := clickhouse.NewWriter(db).InsertMatches(t.Context(), matches[:240]); err != nil {
		t.Errorf("matches of 240 months: %v", err)
	}
}

func TestInsertOfNothingDoesNotAskTheServer(t *testing.T) {
	db, away := connectThrough(t, clickhousetest.New(t), clickhouse.RoleApp)
	away()
	w, s := clickhouse.NewWriter(db), clickhouse.NewFindingStore(db)
	err := errors.Join(w.InsertEvents(t.Context(), nil), w.InsertMatches(t.Context(), nil), w.InsertTouches(t.Context(), nil),
		s.InsertFindings(t.Context(), nil), s.MarkTouched(t.Context(), 1, nil))
	if err != nil {
		t.Error(err)
	}
}

func TestInsertRefusesRowsThatNoAttemptWouldStore(t *testing.T) {
	db := clickhousetest.New(t)
	tests := map[string]func(*schemas.Event){
		"log_id too long":       func(e *schemas.Event) { e.LogID = strings.Repeat("9", 65) },
		"log_id empty":          func(e *schemas.Event) { e.LogID = "" },
		"unknown source":        func(e *schemas.Event) { e.Source = 99 },
		"time before the store": func(e *schemas.Event) { e.Time = time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC) },
		"time after the store":  func(e *schemas.Event) { e.Time = time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			all := events(3, noon())
			spoil(&all[1])
			all[1].Raw = []byte("secret-in-the-raw-log")
			err := clickhouse.NewWriter(db).InsertEvents(t.Context(), all)
			if !errors.Is(err, schemas.ErrRefused) {
				t.Fatalf("got %v, want ErrRefused", err)
			}
			if text := err.Error(); len(text) > 300 || strings.Contains(text, "secret-in-the-raw-log") || strings.Contains(text, strings.Repeat("9", 65)) {
				t.Errorf("the error repeats the row: %s", text)
			}
		})
	}
	if n := countEvents(t, db); n != 0 {
		t.Errorf("%d rows of refused inserts are there", n)
	}
}

func TestOneRowIsRefusedAmongManyThatAreStillOnTheirWay(t *testing.T) {
	db := clickhousetest.New(t)
	all := events(10_000, noon())
	for i := range all {
		all[i].Raw = bytes.Repeat([]byte(all[i].LogID), 100)
	}
	for _, bad := range []int{0, len(all) / 2, len(all) - 1} {
		good := all[bad].LogID
		all[bad].LogID = ""
		if err := clickhouse.NewWriter(db).InsertEvents(t.Context(), all); !errors.Is(err, schemas.ErrRefused) {
			t.Errorf("row %d: got %v, want ErrRefused", bad, err)
		}
		all[bad].LogID = good
	}
	if n := countEvents(t, db); n != 0 {
		t.Errorf("%d rows of refused inserts are there", n)
	}
	insertEvents(t, db, all)
	if n := countEvents(t, db); n != 10_000 {
		t.Errorf("counted %d events, want 10,000", n)
	}
}

func TestStoreAwayIsNoRefusal(t *testing.T) {
	home := clickhousetest.New(t)
	db, away := connectThrough(t, home, clickhouse.RoleApp)
	w := clickhouse.NewWriter(db)
	if err := w.InsertEvents(t.Context(), events(1, noon())); err != nil {
		t.Fatal(err)
	}
	away()
	for range 3 { // the pooled connection, then a new one
		if err := w.InsertEvents(t.Context(), events(2, noon())); err == nil || errors.Is(err, schemas.ErrRefused) {
			t.Errorf("server away: %v, want an error that is no ErrRefused", err)
		}
		if _, err := clickhouse.NewReader(db).Status(t.Context()); err == nil || errors.Is(err, schemas.ErrRefused) {
			t.Errorf("server away: %v, want an error that is no ErrRefused", err)
		}
	}
	if n := countEvents(t, home); n != 1 {
		t.Errorf("counted %d events, want 1", n)
	}
}

// TestInsertIntoSilenceIsAnError claims that a server which is gone without a
// word, and breaks no connection, holds nobody up for longer than the timeout.
func TestInsertIntoSilenceIsAnError(t *testing.T) {
	home := clickhousetest.New(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	var gate sync.Mutex
	patient := relayed(t.Context(), t, home, clickhouse.RoleApp, listener, &gate)
	short := patient
	short.InsertTimeout = 100 * time.Millisecond
	few, many := events(2, noon()), events(4000, noon())
	for i := range many {
		many[i].Raw = make([]byte, 4<<10)
		rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(many[i].Raw) // it does not compress, and fills every buffer on the way
	}
	for name, rows := range map[string][]schemas.Event{"waiting for the answer": few, "sending": many} {
		t.Run(name, func(t *testing.T) {
			db := connect(t, short)
			if err := db.Ping(t.Context()); err != nil { // so that there is a connection
				t.Fatal(err)
			}
			gate.Lock()
			defer gate.Unlock()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := clickhouse.NewWriter(db).InsertEvents(ctx, rows)
			if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, schemas.ErrRefused) {
				t.Errorf("got %v (context: %v), want the insert's own deadline", err, ctx.Err())
			}
		})
	}
	if err := clickhouse.NewWriter(connect(t, patient)).InsertEvents(t.Context(), many); err != nil {
		t.Errorf("insert when it speaks again: %v", err)
	}
	if n := countEvents(t, home); n != uint64(len(many)) {
		t.Errorf("counted %d events, want %d", n, len(many))
	}
}

func TestServerThatCannotStoreIsNoRefusal(t *testing.T) {
	home := clickhousetest.New(t)
	readOnly, _ := connectThrough(t, home, clickhouse.RoleReader)
	if err := clickhouse.NewWriter(readOnly).InsertEvents(t.Context(), events(1, noon())); err == nil || errors.Is(err, schemas.ErrRefused) {
		t.Errorf("user without the right: %v, want an error that is no ErrRefused", err)
	}
	execute(t, home, "DROP TABLE events SYNC")
	if err := clickhouse.NewWriter(home).InsertEvents(t.Context(), events(1, noon())); err == nil || errors.Is(err, schemas.ErrRefused) {
		t.Errorf("table missing: %v, want an error that is no ErrRefused", err)
	}
}

func TestInsertEndsWithItsContext(t *testing.T) {
	db := clickhousetest.New(t)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := clickhouse.NewWriter(db).InsertEvents(canceled, events(1, noon())); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	late, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := clickhouse.NewFindingStore(db).Correlate(late, schemas.Query{SQL: "SELECT sleepEachRow(0.1) FROM numbers(100) SETTINGS max_block_size = 1"})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
}

func TestRefusingCodesHaveTheServersNames(t *testing.T) {
	conn := plain(t, clickhousetest.New(t))
	for code, want := range clickhouse.RefusingCodes {
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT errorCodeToName($1)", code).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("code %d is %s, want %s", code, got, want)
		}
	}
}

package nats_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestCursorsOutliveTheServer(t *testing.T) {
	h := natstest.New(t)
	save := func(tenant, state string, revision uint64) uint64 {
		t.Helper()
		revision, err := nats.NewCursors(h.Conn).Save(t.Context(), tenant, []byte(state), revision)
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	acme := save("acme", "one", 0)
	save("globex", "other", 0)
	acme = save("acme", "two", acme)
	h.Restart(t)
	c := nats.NewCursors(h.Conn)
	state, revision, err := c.Load(t.Context(), "acme")
	if err != nil || string(state) != "two" || revision != acme {
		t.Errorf("got %q of revision %d, %v; want two of %d", state, revision, err, acme)
	}
	all, err := c.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]byte{"acme": []byte("two"), "globex": []byte("other")}, all); diff != "" {
		t.Error(diff)
	}
}

func TestCursorIsSavedOverWhatWasSeenAlone(t *testing.T) {
	h := natstest.New(t)
	c := nats.NewCursors(h.Conn)
	if _, revision, err := c.Load(t.Context(), "acme"); err != nil || revision != 0 {
		t.Errorf("of nothing: revision %d, %v", revision, err)
	}
	first, err := c.Save(t.Context(), "acme", []byte("one"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Save(t.Context(), "acme", []byte("another's"), 0); !errors.Is(err, schemas.ErrCursorMoved) {
		t.Errorf("over nothing: %v, want %v", err, schemas.ErrCursorMoved)
	}
	if _, err := c.Save(t.Context(), "acme", []byte("two"), first); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Save(t.Context(), "acme", []byte("three"), first); !errors.Is(err, schemas.ErrCursorMoved) {
		t.Errorf("over what has moved: %v, want %v", err, schemas.ErrCursorMoved)
	}
	if all, err := nats.NewCursors(h.Conn).All(t.Context()); err != nil || string(all["acme"]) != "two" {
		t.Errorf("got %q, %v", all, err)
	}
}

// Of several processes one that only answers questions may be upgraded first.
func TestCursorsAreNoneWhereNobodyHasDeclaredThem(t *testing.T) {
	h := natstest.New(t)
	if err := h.Conn.JetStream().DeleteKeyValue(t.Context(), schemas.BucketCursors); err != nil {
		t.Fatal(err)
	}
	c := nats.NewCursors(h.Conn)
	if state, revision, err := c.Load(t.Context(), "acme"); err != nil || revision != 0 || state != nil {
		t.Errorf("got %q of revision %d, %v; want nothing", state, revision, err)
	}
	if all, err := c.All(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("got %q, %v; want nothing", all, err)
	}
	if _, err := c.Save(t.Context(), "acme", []byte("one"), 0); err == nil {
		t.Error("a cursor was saved into no bucket")
	}
}

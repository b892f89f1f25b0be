package schemas_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestDeadFilterSelects(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	d := schemas.Dead{Tenant: "acme", IngestedAt: at, Time: at.Add(time.Hour), Code: schemas.DeadCodeLogID, Reason: "The record has no log_id"}
	for _, tt := range []struct {
		name string
		f    schemas.DeadFilter
		want bool
	}{
		{"all", schemas.DeadFilter{}, true},
		{"its tenant", schemas.DeadFilter{Tenant: "acme"}, true},
		{"another", schemas.DeadFilter{Tenant: "acme-eu"}, false},
		{"its code", schemas.DeadFilter{Reason: "log_id"}, true},
		{"another code", schemas.DeadFilter{Reason: "json"}, false},
		{"a part of its reason", schemas.DeadFilter{Reason: "the RECORD"}, true},
		{"from its arrival", schemas.DeadFilter{From: at}, true},
		{"after it", schemas.DeadFilter{From: at.Add(1)}, false},
		{"up to its arrival", schemas.DeadFilter{To: at}, false},
		{"up to after it", schemas.DeadFilter{To: at.Add(1)}, true},
	} {
		if got := tt.f.Fits(&d); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

func TestPiecesThatAreJoinedComeApart(t *testing.T) {
	t.Parallel()
	var d schemas.Dead
	pieces := [][]byte{[]byte("a\nb"), []byte("\n"), []byte("c"), bytes.Repeat([]byte("d"), 1000)}
	for _, p := range pieces {
		if !d.Join(p, p[0] == 'c') {
			t.Fatalf("no room for %q", p)
		}
	}
	if d.Join(bytes.Repeat([]byte("e"), schemas.MaxDeadJoined-int(d.Size)), false) {
		t.Error("it is larger than it may be")
	}
	i := 0
	for raw := range d.Logs() {
		if !bytes.Equal(raw, pieces[i]) {
			t.Errorf("piece %d is %q", i, raw)
		}
		i++
	}
	if i != len(pieces) || d.Pieces != i || !d.Masked || d.Size != int64(len(d.Raw)) || d.View().Pieces != i {
		t.Errorf("%d pieces of %+v", i, d)
	}
	for raw := range (&schemas.Dead{Raw: []byte("x\ny")}).Logs() {
		if string(raw) != "x\ny" {
			t.Errorf("one log is %q", raw)
		}
	}
}

package schemas_test

import (
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

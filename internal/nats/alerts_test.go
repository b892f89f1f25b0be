package nats_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// However many alerts are put off, since a channel that is dead has no room for
// them, the next one comes.
func TestAlertsThatArePutOffHoldUpNoOther(t *testing.T) {
	h := natstest.New(t)
	p, s := h.Publisher(t), h.Alerts(t)
	publish := func(n int) {
		t.Helper()
		id := fmt.Sprint(n)
		if err := p.PublishAlert(t.Context(), schemas.Alert{ID: id + "/open/1", Finding: schemas.Finding{ID: id, Tenant: "acme"}}); err != nil {
			t.Fatal(err)
		}
	}
	const putOff = 1100
	for n := range putOff {
		publish(n)
		for _, m := range fetch(t, s, 1) {
			if err := m.Nak(time.Hour); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(putOff)
	fetch(t, s, 1)
}

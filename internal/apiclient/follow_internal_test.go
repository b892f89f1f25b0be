package apiclient

import (
	"strconv"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// A stream that broke begins two minutes before, with whatever came in them.
func TestWhatComesAgainAfterABreakIsLeftOut(t *testing.T) {
	t.Parallel()
	const rate, seconds = 2500, 240
	came := 0
	f := once(func(schemas.EventView) error { came++; return nil })
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	send := func(from, to int) {
		for i := from; i < to; i++ {
			if err := f(schemas.EventView{Tenant: "acme", LogID: strconv.Itoa(i), StoredAt: start.Add(time.Duration(i) * time.Second / rate)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(0, rate*seconds)
	send(rate*(seconds-125), rate*seconds)
	if came != rate*seconds {
		t.Errorf("%d came, want %d: none twice", came, rate*seconds)
	}
}

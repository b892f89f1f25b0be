package doctor

import (
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestAClockBeforeTheBuildFails(t *testing.T) {
	for _, c := range []struct {
		now, built time.Time
	}{
		{now: oldest().Add(-time.Hour)},
		{now: now, built: now.Add(time.Hour)},
	} {
		r := look(t, Config{Settings: settings(t), Built: c.built, Now: func() time.Time { return c.now }}, "clock")
		wantNote(t, r, StateFail, "before this program was built")
	}
}

func TestEventsTellOfAClockThatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		delay time.Duration
		found string
	}{
		"right": {time.Minute, ""},
		"slow":  {-time.Minute, "this clock is slow"},
		"fast":  {time.Hour, "after their own time"},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings(t)
			i := &instance{events: []schemas.EventView{{Time: now, IngestedAt: now.Add(c.delay)}}}
			i.run(t, s)
			r := look(t, Config{Settings: s, Now: func() time.Time { return now }}, "clock")
			if c.found != "" {
				wantNote(t, r, StateWarn, c.found)
			} else if r.State() == StateFail {
				t.Errorf("%+v", r)
			}
			for _, n := range r.Notes {
				if c.found == "" && (n.Advice != syncClock && n.State != StateOK) {
					t.Errorf("%+v", n)
				}
			}
		})
	}
}

func TestClocksThatAreApartAreTold(t *testing.T) {
	d := &Doctor{cfg: Config{Now: func() time.Time { return now }}}
	var r Result
	d.apart(&r, "NATS", time.Time{}) // which told none
	d.apart(&r, "NATS", now.Add(time.Second))
	if len(r.Notes) > 0 {
		t.Errorf("%+v", r)
	}
	d.apart(&r, "NATS", now.Add(-time.Minute))
	wantNote(t, r, StateWarn, "the clock of NATS is 1m0s from this one")
}

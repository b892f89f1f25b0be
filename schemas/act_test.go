package schemas_test

import (
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestActsLeaveAStateWhateverTheirOrder(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 4, 14, 12, 0, 0, 0, time.UTC)
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	at := func(n int, act schemas.Act) schemas.FindingAct { return schemas.FindingAct{At: minute(n), Act: act} }
	for name, c := range map[string]struct {
		acts []schemas.FindingAct
		last int // event
		want schemas.State
	}{
		"none":                            {nil, 3, schemas.StateOpen},
		"an ack":                          {[]schemas.FindingAct{at(1, schemas.ActAck)}, 3, schemas.StateAcknowledged},
		"an ack before it was quiet":      {[]schemas.FindingAct{at(1, schemas.ActAck), at(2, schemas.ActQuiet)}, 3, schemas.StateOpen},
		"an ack after it was quiet":       {[]schemas.FindingAct{at(1, schemas.ActAck), at(2, schemas.ActQuiet), at(4, schemas.ActAck)}, 3, schemas.StateAcknowledged},
		"quiet takes no resolve back":     {[]schemas.FindingAct{at(4, schemas.ActResolve), at(5, schemas.ActQuiet)}, 3, schemas.StateResolved},
		"a resolve before the last event": {[]schemas.FindingAct{at(2, schemas.ActResolve)}, 3, schemas.StateOpen},
		"an ack of what came after one":   {[]schemas.FindingAct{at(2, schemas.ActResolve), at(4, schemas.ActAck)}, 3, schemas.StateAcknowledged},
		"and of what comes yet":           {[]schemas.FindingAct{at(2, schemas.ActResolve), at(4, schemas.ActAck)}, 5, schemas.StateAcknowledged},
		"an ack of what is resolved":      {[]schemas.FindingAct{at(4, schemas.ActResolve), at(5, schemas.ActAck)}, 3, schemas.StateResolved},
	} {
		for range 2 {
			if got, _ := schemas.Acted(c.acts, minute(c.last)); got != c.want {
				t.Errorf("%s: %v with a last event at %d end in %s, want %s", name, c.acts, c.last, got, c.want)
			}
			if len(c.acts) > 1 {
				c.acts[0], c.acts[1] = c.acts[1], c.acts[0]
			}
		}
	}
}

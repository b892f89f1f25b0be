package processor

import (
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
)

// What an agenda does about storms: what would be attached to one waits for a look for it.

const (
	stormPatience = 10 * time.Second // see agenda.patience
	// stormRests is how many times as long as a look for a storm took none follows, but for
	// mostRest at most. It is of all machines of a day, and on many millions of events each
	// second's would take all the time; who fails meanwhile does not wait for it.
	stormRests = 9
	mostRest   = 10 * time.Second
)

func (a *agenda) isStorm(e *entry) bool { return slices.Contains(a.storms, e.rule) }

// storm is the entry of a storm that has to look at some of what an entry would, whose
// findings would be attached to it; nil where there is none, or it rests. One that waits
// no shorter goes before however much waits. For a look that is under way, and for what
// has come to the storm since it looked last, an entry waits for no longer than that is
// worth.
func (a *agenda) storm(e *entry, rules map[string]*detect.Correlation) *entry {
	if e == nil || e.class != classLive || rules[e.rule] == nil || rules[e.rule].Storm() || !failing(rules[e.rule]) {
		return nil
	}
	for _, code := range a.storms {
		storm := a.entries[duty{e.class, code, e.tenant}]
		if storm == nil || a.rests(storm) || storm.since().After(e.latest()) {
			continue
		}
		if (a.isBusy(storm) || storm.since().After(e.since())) && a.now.Sub(e.since()) > a.patience {
			continue
		}
		return storm
	}
	return nil
}

// rests reports whether an entry is a storm's that was looked for just now.
func (a *agenda) rests(e *entry) bool { return a.now.Before(a.rested[e.duty]) }

// serve begins or goes on with what waits at an entry. What would be attached to a storm
// begins with the look for one: what comes meanwhile has its turn behind the next, or each
// second of an outage would make whoever failed before wait for another look.
func (a *agenda) serve(e *entry, rules map[string]*detect.Correlation) *bundle {
	if a.isStorm(e) {
		for _, other := range a.entries {
			if a.storm(other, rules) == e && !a.isBusy(other) {
				other.serve()
			}
		}
	}
	return e.serve()
}

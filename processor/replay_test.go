package processor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// TestReplayedRecordThatFailsAgainCarriesItsReplay covers the three ways to DEAD.
// Of two copies in one flush the one that came by no replay may stay: without
// the replay's name it would be taken for what is about to be removed.
func TestReplayedRecordThatFailsAgainCarriesItsReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.store.refuse = func(rows any) bool {
			events, ok := rows.([]schemas.Event)
			return ok && slices.ContainsFunc(events, func(e schemas.Event) bool { return e.LogID == logIDOf(1) })
		}
		now := time.Now()
		r.put(1, 1, now)
		r.putRaw(now, failure(1, now), `{"broken"`, failure(2, now)).replay = "again"
		r.queue.put(&fakeMessage{queue: r.queue, name: "broken", data: []byte("no group"), replay: "again"})
		r.putRaw(now, `{"broken too"`)
		r.run(t)
		time.Sleep(5 * time.Second)
		r.stop(t)

		got := map[string]string{}
		for _, d := range r.dead.all() {
			got[string(d.Raw)] = d.Replay
		}
		want := map[string]string{failure(1, now): "again", `{"broken"`: "again", "no group": "again", `{"broken too"`: ""}
		if len(got) != len(want) {
			t.Errorf("%d dead logs, want %d", len(got), len(want))
		}
		for raw, replay := range want {
			if got[raw] != replay {
				t.Errorf("%s came by the replay %q, want %q", raw, got[raw], replay)
			}
		}
	})
}

// A replay sends each piece of junk that was joined by itself. What cannot be read
// again is joined again, or it would fill DEAD with a message a line.
func TestJunkOfOneMessageIsJoined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		now := time.Now()
		junk := make([]string, 1000)
		for i := range junk {
			junk[i] = fmt.Sprintf("junk\n%d", i)
		}
		r.putRaw(now, append(slices.Clone(junk), failure(1, now))...).replay = "again"
		r.putRaw(now, `{"broken"`)
		r.run(t)
		time.Sleep(5 * time.Second)
		r.stop(t)

		var got []string
		dead := r.dead.all()
		for _, d := range dead {
			if d.Tenant != "acme" || d.Code != schemas.DeadCodeJSON || (d.Replay == "again") != strings.Contains(string(d.Raw), "junk") {
				t.Errorf("dead %+v", d)
			}
			for raw := range d.Logs() {
				got = append(got, string(raw))
			}
		}
		want := append(junk, `{"broken"`)
		slices.Sort(want)
		if slices.Sort(got); !slices.Equal(got, want) || len(dead) != schemas.DeadAlone+2 || r.store.count() != 1 {
			t.Errorf("%d pieces in %d dead logs, %d events", len(got), len(dead), r.store.count())
		}
	})
}

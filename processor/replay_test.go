package processor

import (
	"slices"
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

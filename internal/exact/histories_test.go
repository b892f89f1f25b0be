package exact_test

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

var (
	histories = flag.Int("histories", 200, "how many histories TestHistories makes up")
	seed      = flag.Uint64("seed", 1000, "the seed of the first of them; each has the next")
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// TestHistories claims that whatever repeats, delays and crashes a history of
// logs meets, the store tells of it what a count of the distinct logs does.
// Histories run in batches of consecutive seeds, which share a schedule and a
// store.
func TestHistories(t *testing.T) {
	began, schedules, done, events, findings, withdrawn := time.Now(), 0, 0, 0, 0, 0
	crashes := map[crash]int{}
	for first := *seed; first < *seed+uint64(*histories); first += *together - first%*together {
		var batch []*history
		for s := first; s < *seed+uint64(*histories) && s/(*together) == first/(*together); s++ {
			batch = append(batch, newHistory(s))
		}
		t.Run(fmt.Sprintf("%d", first), func(t *testing.T) {
			w := newWorld(t, build{}, batch)
			for _, d := range w.run(newSchedule(first / *together)) {
				t.Errorf("history %d (run with -seed %d -histories 1 -together %d; 0 is any of the batch):\n%s", d.seed, d.seed, *together, d.text)
			}
			for c, n := range w.crashes {
				crashes[c] += n
			}
			schedules++
			done += len(batch)
			events += len(w.survivors(func(*history) bool { return true }))
			for n := range uint64(tenants) {
				for _, f := range w.ledger.of(tenantOf(n), w.edge()) {
					findings++
					if f.State == schemas.StateWithdrawn {
						withdrawn++
					}
				}
			}
		})
	}
	t.Logf("%d histories in %d schedules, of %d events, %d findings, %d of them withdrawn, in %s", done, schedules, events, findings, withdrawn, time.Since(began).Round(time.Second))
	if done < 200 || schedules < 4 {
		return // not each crash is dealt, and some come to nothing
	}
	if findings < done/2 || withdrawn == 0 {
		t.Error("the histories make too few findings to tell")
	}
	for _, c := range slices.Concat(flushCrashes, correlateCrashes, recountCrashes) {
		if c.nth = 0; c.point != "" && crashes[c] == 0 {
			t.Errorf("nothing has crashed at %+v", c)
		}
	}
}

// run lets the histories live and returns what the store tells wrongly of them.
func (w *world) run(s schedule) []difference {
	var found []difference
	w.live(&s, func() { found = append(found, w.compareCounts(fmt.Sprintf("at %s", w.now().Format(time.RFC3339)))...) })
	return append(found, w.compare()...)
}

package processor

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestFlushAcksAfterEverythingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.cfg.At = func(point string) { r.journal.write("at %s", point) }
		r.cfg.Stored = func() { r.journal.write("stored") }
		r.putRaw(time.Now(), failure(1, time.Now()), `{"log_id":"x"`, failure(2, time.Now()))
		r.run(t)
		time.Sleep(5 * time.Second)
		r.stop(t)
		want := []string{
			"events 2", "at events_inserted", "matches 2", "at matches_inserted", "touches 4", "at touches_inserted", "stored",
			"dead " + r.dead.all()[0].Reason, "ack m3", "at acked",
		}
		if diff := cmp.Diff(want, r.journal.all()); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
		uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
		if !uuid.MatchString(r.store.touches[0].Flush) || r.store.touches[0].Flush != r.store.touches[1].Flush {
			t.Errorf("flush ids %s, %s: want one UUID of version 7", r.store.touches[0].Flush, r.store.touches[1].Flush)
		}
	})
}

func TestFlushIsDueInTime(t *testing.T) {
	t.Parallel()
	// each: when which records come, and when at the latest they are acked.
	for _, tt := range []struct {
		name string
		edit func(*Config)
		put  func(*rig)
		acks int
		in   time.Duration
	}{
		{"a lone record waits for nobody", nil, func(r *rig) { r.put(0, 1, time.Now()) }, 1, 250 * time.Millisecond},
		{"a full batch goes at once", func(c *Config) { c.FlushRows = 10 }, func(r *rig) { r.put(0, 10, time.Now()) }, 1, time.Millisecond},
		{"many bytes go at once", func(c *Config) { c.FlushBytes = 100 }, func(r *rig) { r.put(0, 1, time.Now()) }, 1, time.Millisecond},
		{"many messages go at once", func(c *Config) { c.MaxHeld = 4 }, func(r *rig) { r.put(0, 1, time.Now()); r.put(1, 1, time.Now()) }, 2, time.Millisecond},
		{"a trickle goes by age", nil, func(r *rig) {
			go func() {
				for i := range 10 {
					r.put(i, 1, time.Now())
					time.Sleep(150 * time.Millisecond)
				}
			}()
		}, 6, 1050 * time.Millisecond},
		{"an ack pending of 1 is no deadlock", func(c *Config) { c.Source.(*fakeQueue).pending = 1 }, func(r *rig) {
			for i := range 5 {
				r.put(i, 1, time.Now())
			}
		}, 5, 5 * 250 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				if tt.edit != nil {
					tt.edit(&r.cfg)
				}
				r.run(t)
				tt.put(r)
				time.Sleep(tt.in)
				if got := r.journal.count("ack"); got < tt.acks {
					t.Errorf("%d acks after %s, want %d", got, tt.in, tt.acks)
				}
				time.Sleep(5 * time.Second)
				r.stop(t)
				if waiting, out, _ := r.queue.state(); waiting+out > 0 {
					t.Errorf("%d messages wait and %d are out, want none", waiting, out)
				}
			})
		})
	}
}

func TestTrickleMakesFewFlushes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.run(t)
		for i := range 100 { // ten seconds of ten messages each
			r.put(i, 1, time.Now())
			time.Sleep(100 * time.Millisecond)
		}
		r.stop(t)
		if got := r.journal.count("events"); got > 11 {
			t.Errorf("%d flushes in ten seconds, want about one each", got)
		}
	})
}

func TestProcessorFillsWhileItFlushes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		release := make(chan struct{})
		r.store.away = func(context.Context, string) error { <-release; return nil }
		r.put(0, 1, time.Now())
		r.run(t)
		time.Sleep(5 * time.Second) // its flush hangs
		r.put(1, 1, time.Now())
		synctest.Wait()
		if _, out, _ := r.queue.state(); out != 2 || r.journal.count("events") != 1 {
			t.Errorf("%d messages out, %d inserts while a flush hangs, want 2 and 1", out, r.journal.count("events"))
		}
		close(release)
		time.Sleep(250 * time.Millisecond)
		if r.store.count() != 2 {
			t.Errorf("%d events stored, want the second right behind the first", r.store.count())
		}
		r.stop(t)
	})
}

func TestFlushHasNoMoreRowsThanItShould(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.cfg.FlushRows = 25
		for i := range 10 { // all of them come with the first fetch
			r.put(10*i, 10, time.Now())
		}
		r.run(t)
		time.Sleep(5 * time.Second)
		r.stop(t)
		want := []string{"events 30", "events 30", "events 30", "events 10"}
		got := slices.DeleteFunc(r.journal.all(), func(s string) bool { return !strings.HasPrefix(s, "events") })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("flushes (-want +got):\n%s", diff)
		}
	})
}

// TestCrashBetweenStepsStoresEachRecordOnce claims what the comment of run
// says: wherever it ends, the repeat makes it whole.
func TestCrashBetweenStepsStoresEachRecordOnce(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"events_inserted", "matches_inserted", "touches_inserted", "acked"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				m := r.put(0, 10, time.Now())
				crashed := false
				r.cfg.At = func(at string) {
					if at == point && !crashed {
						crashed = true
						r.cancel()
						runtime.Goexit() // neither acked nor given back
					}
				}
				r.run(t)
				<-r.done
				if acked := r.journal.count("ack") == 1; acked != (point == "acked") || !crashed {
					t.Fatalf("crashed %t, acked %t", crashed, acked)
				}
				if point != "acked" {
					m.comeAgain()
				}
				r.run(t)
				time.Sleep(5 * time.Second)
				r.stop(t)

				if r.store.count() != 10 || r.journal.count("ack") != 1 {
					t.Errorf("%d events, %d acks, want 10 and 1", r.store.count(), r.journal.count("ack"))
				}
				matches := map[string]bool{}
				for _, match := range r.store.matches {
					matches[match.LogID] = true
				}
				if len(matches) != 10 || len(r.store.touches) < 3 {
					t.Errorf("matches of %d records and %d touches, want 10 and 3 at least", len(matches), len(r.store.touches))
				}
			})
		})
	}
}

func TestRefusedRecordGoesToDeadAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		bad := logIDOf(617)
		r.store.refuse = func(rows any) bool {
			events, ok := rows.([]schemas.Event)
			return ok && slices.ContainsFunc(events, func(e schemas.Event) bool { return e.LogID == bad })
		}
		r.put(0, 1000, time.Now())
		r.run(t)
		time.Sleep(5 * time.Second)
		r.stop(t)

		if got := r.journal.count("events"); got > 2*10+1 {
			t.Errorf("%d inserts for one bad record of a thousand, want 2 log n", got)
		}
		for id, n := range r.store.stored {
			if n != 1 {
				t.Errorf("%s was stored %d times", id, n)
			}
		}
		if _, ok := r.store.events[bad]; ok || r.store.count() != 999 || len(r.store.matches) != 999 {
			t.Errorf("%d events, %d matches, want 999 of each and not the bad one", r.store.count(), len(r.store.matches))
		}
		dead := r.dead.all()
		if len(dead) != 1 || string(dead[0].Raw) != failure(617, time.Now().Add(-5*time.Second)) || dead[0].Tenant != "acme" || dead[0].Source != schemas.SourceStream {
			t.Fatalf("dead %+v, want record 617", dead)
		}
		if !strings.Contains(dead[0].Reason, "the store refuses it: ") || !strings.Contains(dead[0].Reason, "out of range") {
			t.Errorf("reason %q", dead[0].Reason)
		}
		if r.journal.count("ack") != 1 {
			t.Error("the message was not acked")
		}
	})
}

func TestRefusedMatchOrTouchGoesToDeadWithItsRecord(t *testing.T) {
	t.Parallel()
	touch := func(selector string) func(rows any) bool {
		return func(rows any) bool {
			touches, ok := rows.([]schemas.Touch)
			return ok && slices.ContainsFunc(touches, func(t schemas.Touch) bool { return t.Key == "c2" && t.Selector == selector })
		}
	}
	for name, tt := range map[string]struct {
		refuse  func(rows any) bool
		reason  string
		touches int
	}{
		"match": {func(rows any) bool {
			matches, ok := rows.([]schemas.Match)
			return ok && slices.ContainsFunc(matches, func(m schemas.Match) bool { return m.LogID == logIDOf(5) })
		}, "match of sel-feccft", 5},
		"touch":             {touch("sel-feccft"), "touch of sel-feccft", 5},
		"touch of a client": {touch(schemas.SelectorCounts), "refuses to count it", 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.store.refuse = tt.refuse
				r.put(3, 3, time.Now()) // of the clients c0, c1, c2
				r.run(t)
				time.Sleep(5 * time.Second)
				r.stop(t)
				dead := r.dead.all()
				if len(dead) != 1 || !bytes.Contains(dead[0].Raw, []byte(logIDOf(5))) || !strings.Contains(dead[0].Reason, tt.reason) {
					t.Errorf("dead %+v", dead)
				}
				if r.store.count() != 3 || len(r.store.touches) != tt.touches || r.journal.count("ack") != 1 {
					t.Errorf("%d events, %d touches, %d acks, want 3, %d, 1", r.store.count(), len(r.store.touches), r.journal.count("ack"), tt.touches)
				}
				if first, last := r.store.touches[0], r.store.touches[tt.touches-1]; name != "match" && first.Flush == last.Flush {
					t.Error("touches of two inserts have one flush id: a reader may mark both done when it has seen one")
				}
			})
		})
	}
}

func TestOfTwoCopiesInOneFlushTheHigherVersionStays(t *testing.T) {
	t.Parallel()
	event := func(client, id string, at time.Time, ver uint64) schemas.Event {
		return schemas.Event{Tenant: "acme", ClientID: client, LogID: id, Time: at, Ver: ver}
	}
	now := time.Now()
	b := &batch{events: []schemas.Event{
		event("c", "1", now, 1), event("c", "2", now, 5), event("c", "1", now, 3), event("c", "2", now, 4),
		event("c", "1", now, 2), event("other", "1", now, 1), event("c", "1", now.Add(1), 1), event("c", "3", now, 1),
	}}
	other := event("c", "1", now, 9)
	other.Tenant = "globex"
	b.events = append(b.events, other)
	b.dropLosers(map[place]int{{"stale", "1"}: 0})
	var got []string
	for _, e := range b.events {
		got = append(got, fmt.Sprint(e.Tenant, e.ClientID, e.LogID, e.Ver))
	}
	want := []string{"acmec13", "acmec25", "acmeother11", "acmec11", "acmec31", "globexc19"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

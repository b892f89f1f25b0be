package processor

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestWhatCannotBeStoredGoesToDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		registry := prometheus.NewRegistry()
		r.cfg.Registerer, r.cfg.Retention = registry, 400*24*time.Hour
		now := time.Now()
		r.putRaw(
			now, failure(1, now), failure(2, now.Add(-399*24*time.Hour)), failure(3, now.Add(23*time.Hour)),
			`{"log_id":"900","type":"s"}`, `{"log_id":`, `{"type":"s"}`,
			failure(4, now.Add(-401*24*time.Hour)), failure(5, now.Add(25*time.Hour)),
		)
		broken := &fakeMessage{queue: r.queue, name: "broken", data: []byte("M2MG no group")}
		r.queue.put(broken)
		r.run(t)
		time.Sleep(5 * time.Second)
		r.stop(t)

		if r.store.count() != 3 || r.journal.count("ack") != 2 {
			t.Errorf("%d events, %d acks, want 3 and 2", r.store.count(), r.journal.count("ack"))
		}
		var reasons []string
		for _, d := range r.dead.all() {
			reasons = append(reasons, d.Reason)
			if d.Time.IsZero() || len(d.Raw) == 0 || d.Code == "" || d.Replay != "" || (d.Tenant != "" && !d.IngestedAt.Equal(now.Truncate(time.Microsecond))) {
				t.Errorf("dead %+v: want the log and a time", d)
			}
		}
		slices.Sort(reasons)
		for i, want := range []string{"its time", "its time", "not a JSON object", "not a group of logs", "the record has no date", "the record has no log_id"} {
			if len(reasons) != 6 || !strings.HasPrefix(reasons[i], want) {
				t.Fatalf("reasons %q", reasons)
			}
		}
		for class, want := range map[string]float64{"json": 1, "log_id": 1, "time": 3, "framing": 1} {
			if got := gauge(t, registry, "m2mwatch_processor_dead_total", "reason", class); got != want {
				t.Errorf("dead_total of %s is %v, want %v", class, got, want)
			}
		}
		if got := gauge(t, registry, "m2mwatch_processor_records_total", "source", "stream"); got != 3 {
			t.Errorf("records_total %v, want 3", got)
		}
	})
}

func TestWithoutRetentionOnlyTheFutureAndTheDarkAgesAreRefused(t *testing.T) {
	t.Parallel()
	p, err := New(newRig().cfg)
	if err != nil {
		t.Fatal(err)
	}
	for at, ok := range map[time.Time]bool{
		time.Unix(0, 0):                true,
		time.Unix(-1, 0):               false,
		time.Now().Add(23 * time.Hour): true,
		time.Now().Add(25 * time.Hour): false,
	} {
		if err := checkTime(at, p.cfg.Now(), p.cfg.Retention); (err == nil) != ok {
			t.Errorf("checkTime(%s): %v", at, err)
		}
	}
}

func TestUnknownTypesAreStoredAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		registry := prometheus.NewRegistry()
		r.cfg.Registerer = registry
		now := time.Now()
		r.putRaw(now, event(`"type":"brand_new"`), event(`"type":"s","type":"s"`))
		r.cfg.Now = func() time.Time { return dated.Add(time.Hour) }
		r.run(t)
		time.Sleep(5 * time.Second)
		r.stop(t)
		if got := gauge(t, registry, "m2mwatch_processor_unknown_types_total", "type", "brand_new"); got != 1 {
			t.Errorf("unknown types %v, want 1", got)
		}
		if got := gauge(t, registry, "m2mwatch_processor_odd_records_total", "oddity", "duplicate_member"); got != 1 {
			t.Errorf("odd records %v, want 1", got)
		}
		if r.store.count() != 1 { // the two share a log_id
			t.Errorf("%d events, want 1", r.store.count())
		}
	})
}

func TestConfigTellsEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Retention: -1, MaxHeld: 1})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"source", "store", "dead letters", "retention", "messages held"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	r := newRig()
	r.cfg.Registerer = prometheus.NewRegistry()
	if _, err := New(r.cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := New(r.cfg); err == nil {
		t.Error("metrics registered twice without an error")
	}
}

// gauge reads one metric of a registry; labels are a name and a value.
func gauge(t *testing.T, g prometheus.Gatherer, name string, labels ...string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if len(labels) == 0 || m.GetLabel()[0].GetName() == labels[0] && m.GetLabel()[0].GetValue() == labels[1] {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s %v", name, labels)
	return 0
}

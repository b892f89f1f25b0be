package processor_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// shippedBench has all rules that are shipped.
func shippedBench(t *testing.T) *bench {
	t.Helper()
	b := newBenchOn(t, clickhousetest.New(t))
	set, err := detect.Parse(processor.Rules())
	if err != nil {
		t.Fatal(err)
	}
	b.rules = set
	return b
}

// attempt is a token request, refused or not, from one address of a network.
func attempt(client string, n int, at time.Time, ok bool, network string) schemas.Event {
	e := exchange(client, n, at, ok, schemas.SourceStream)
	e.Network, e.Outcome = network, schemas.OutcomeSuccess
	e.Identity = schemas.Identity{ID: schemas.AppID(client), Kind: schemas.KindMachine}
	if !ok {
		e.Outcome, e.Cause, e.Description, e.JA4 = schemas.OutcomeFailure, schemas.CauseCredentials, "Unauthorized", "t13d1516h2"
	}
	return e
}

// levels are how many open findings there are of each level and rule.
func levels(findings []schemas.Finding) map[string]int {
	n := map[string]int{}
	for _, f := range open(findings) {
		n[string(f.Level)+" "+f.RuleID]++
	}
	return n
}

// Client ids are no secret: whoever has fifty of them and none of the secrets pages
// once, and is not taken for an outage of each.
func TestWrongSecretsForRealClientsFromOneNetworkPageOnce(t *testing.T) {
	t.Parallel()
	b := shippedBench(t)
	var events []schemas.Event
	for c := range 50 {
		for i := range 100 {
			events = append(events, attempt(fmt.Sprintf("client-%02d", c), c*100+i, moment.Add(-time.Duration(i)*time.Hour), true, "198.51.100.0/24"))
		}
	}
	b.insert(events...)
	events = events[:0]
	for i := range 10_000 {
		events = append(events, attempt(fmt.Sprintf("client-%02d", i%50), 100_000+i, moment.Add(time.Duration(i)*100*time.Millisecond), false, "203.0.113.0/24"))
	}
	b.insert(events...)
	b.correlateAll()
	got := levels(b.findings("acme"))
	if got["high MI-04"] != 1 || got["low MI-04-real"] != 1 {
		t.Errorf("findings %v, want one of MI-04, high, and one of MI-04-real, low", got)
	}
	for of, n := range got {
		if of != "high MI-04" && of != "low MI-04-real" {
			t.Errorf("%d findings: %s; want none beside", n, of)
		}
	}
}

// Whoever makes client ids up by the thousands is one finding, and leaves
// nothing behind in the correlator's memory.
func TestTwentyThousandMadeUpClientIDsAreOneFinding(t *testing.T) {
	t.Parallel()
	b := shippedBench(t)
	const flush, flushes = 4_000, 5
	stop := b.start(nil)
	defer stop()
	var most uint64
	for f := range flushes {
		events := make([]schemas.Event, flush)
		for i := range events {
			n := f*flush + i
			events[i] = attempt(fmt.Sprintf("made-up-%06x", n*2654435761%(1<<24)), n, moment.Add(time.Duration(n)*time.Millisecond), false, "203.0.113.0/24")
		}
		b.insert(events...)
		b.settle()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if f == 0 {
			most = m.HeapAlloc + 64<<20
		} else if m.HeapAlloc > most {
			t.Errorf("%d MiB are held after %d ids, want no more than %d", m.HeapAlloc>>20, (f+1)*flush, most>>20)
		}
	}
	got := levels(b.findings("acme"))
	if len(got) != 1 || got["medium MI-04"] != 1 {
		t.Errorf("findings %v, want MI-04 once and nothing else", got)
	}
	for _, f := range b.findings("acme") {
		if f.Identity != "" {
			t.Errorf("finding %s is about %s, want nobody", f.RuleID, f.Identity)
		}
	}
}

// Late successes make the failures the clients' own, and the finding goes.
func TestLateSuccessesTakeStrangersAway(t *testing.T) {
	t.Parallel()
	b := shippedBench(t)
	var failures, successes []schemas.Event
	for c := range 8 {
		client := fmt.Sprintf("client-%02d", c)
		failures = append(failures, attempt(client, 1000+c, moment.Add(time.Duration(c)*time.Second), false, "203.0.113.0/24"))
		successes = append(successes, attempt(client, c, moment.Add(-time.Duration(c+1)*time.Hour), true, "203.0.113.0/24"))
	}
	b.insert(failures...)
	b.correlateAll()
	if got := levels(b.findings("acme")); got["medium MI-04"] != 1 {
		t.Fatalf("findings %v, want MI-04", got)
	}
	b.insert(successes...)
	b.correlateAll()
	if got := levels(b.findings("acme")); got["medium MI-04"]+got["high MI-04"] != 0 {
		t.Errorf("findings %v, want MI-04 withdrawn: they had succeeded from there", got)
	}
}

package processor_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// busy are events of a tenant, one every five minutes from one time to another.
func busy(from, to time.Time) []schemas.Event {
	var events []schemas.Event
	for at := from; !at.After(to); at = at.Add(5 * time.Minute) {
		events = append(events, other(at))
	}
	return events
}

// silences ticks at a time and returns the findings.
func (b *bench) silences(at time.Time) []schemas.Finding {
	b.t.Helper()
	b.at(at)
	b.tick()
	return b.findings("acme")
}

func TestSilentStreamIsFoundByTimeAloneAndStandsUntilSomethingComes(t *testing.T) {
	t.Parallel()
	b := newBenchOf(t, "mi-37-stream-silent.yml")
	b.insert(busy(moment.Add(-8*24*time.Hour), moment)...)
	if got := b.silences(moment.Add(15*time.Minute - time.Millisecond)); len(got) != 0 {
		t.Fatalf("findings %+v, want none before a quarter of an hour has passed", got)
	}
	got := b.silences(moment.Add(15 * time.Minute))
	if len(got) != 1 || got[0].Key != "acme" || got[0].Identity != "" || !got[0].Told() || !got[0].First.Equal(moment) {
		t.Fatalf("findings %+v, want one of the tenant, since %s, of which people are told", got, moment)
	}
	b.at(moment.Add(10 * time.Hour))
	b.quieten(schemas.StateOpen)
	b.insert(other(moment.Add(10 * time.Hour)))
	got = b.silences(moment.Add(10*time.Hour + time.Minute))
	if came := moment.Add(10 * time.Hour).Format("2006-01-02 15:04"); len(got) != 1 || got[0].Evidence.Facts["came_back"] != came {
		t.Fatalf("findings %+v, want one that tells that the stream came back at %s", got, came)
	}
	b.at(moment.Add(10*time.Hour + 2*time.Minute))
	b.quieten(schemas.StateResolved)
	b.checkTold("open/1", "resolved/2")
	b.insert(busy(moment, moment.Add(11*time.Hour))...) // what was held back
	if got = b.silences(moment.Add(11 * time.Hour)); len(got) != 1 || got[0].State != schemas.StateWithdrawn {
		t.Errorf("findings %+v, want it withdrawn: nothing was missing", got)
	}
}

func TestSilenceThatWasOverLongAgoPagesNobody(t *testing.T) {
	t.Parallel()
	b := newBenchOf(t, "mi-37-stream-silent.yml")
	b.insert(busy(moment.Add(-8*24*time.Hour), moment)...)
	b.insert(busy(moment.Add(2*time.Hour), moment.Add(3*24*time.Hour))...)
	var paging []schemas.Paging
	for _, f := range b.silences(moment.Add(3 * 24 * time.Hour)) {
		paging = append(paging, f.Paging)
	}
	if diff := cmp.Diff([]schemas.Paging{schemas.PagingDigest}, paging); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
}

// What an imported history lacks says nothing of the stream; what was imported into an
// outage of the stream does not end it.
func TestTheStreamIsSilentOnlySinceItWasThere(t *testing.T) {
	t.Parallel()
	b := newBenchOf(t, "mi-37-stream-silent.yml")
	b.around = b.store
	imported := func(events []schemas.Event) []schemas.Event {
		for i := range events {
			events[i].Source = schemas.SourceImport
		}
		return events
	}
	b.insert(imported(busy(moment.Add(-18*24*time.Hour), moment.Add(-9*24*time.Hour)))...)
	b.insert(busy(moment.Add(-8*24*time.Hour), moment)...)
	if got := b.silences(moment.Add(5 * time.Minute)); len(got) != 0 {
		t.Fatalf("findings %+v, want none of the day between what was imported and the stream", got)
	}
	b.insert(imported(busy(moment, moment.Add(2*time.Hour)))...)
	if got := b.silences(moment.Add(3 * time.Hour)); len(got) != 1 || got[0].State != schemas.StateOpen {
		t.Errorf("findings %+v, want one though two hours of it were imported", got)
	}
}

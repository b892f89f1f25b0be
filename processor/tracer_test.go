package processor

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// journalTracer is a Tracer that writes the ends of its spans into a journal.
type journalTracer struct{ journal *journal }

type flushKey struct{}

func (t journalTracer) Normalize(_ schemas.Message) func([]schemas.Log, int) {
	return func(logs []schemas.Log, dead int) {
		tenant := ""
		if len(logs) > 0 {
			tenant = logs[0].Tenant
		}
		t.journal.write("normalized %d of %s, %d dead", len(logs), tenant, dead)
	}
}

func (t journalTracer) Flush(ctx context.Context, id string, messages []schemas.Message) (context.Context, func(int, int, error)) {
	return context.WithValue(ctx, flushKey{}, id), func(events, dead int, err error) {
		t.journal.write("flushed %d of %d messages, %d dead, %v", events, len(messages), dead, err)
	}
}

func (t journalTracer) Match(ctx context.Context) func(int) {
	return func(matches int) { t.journal.write("matched %d in a flush: %t", matches, ctx.Value(flushKey{}) != nil) }
}

func TestTracerHearsOfEachStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.cfg.Tracer = journalTracer{r.journal}
		r.putRaw(time.Now(), failure(1, time.Now()), `{"log_id":"x"`, failure(2, time.Now()))
		r.putRaw(time.Now(), failure(3, time.Now()))
		r.run(t)
		time.Sleep(5 * time.Second)
		r.stop(t)
		want := []string{
			"normalized 3 of acme, 1 dead", "normalized 1 of acme, 0 dead", "matched 3 in a flush: true",
			"events 3", "matches 3", "touches 6", "dead " + r.dead.all()[0].Reason, "ack", "ack",
			"flushed 3 of 2 messages, 1 dead, <nil>",
		}
		got := r.journal.all()
		for i, line := range got { // two acks are in no order
			if len(line) > 3 && line[:4] == "ack " {
				got[i] = "ack"
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("journal (-want +got):\n%s", diff)
		}
	})
}

func TestFlushWithoutATracerCostsNothing(t *testing.T) {
	var tracer Tracer = noTracer{} // as the processor calls it
	ctx := t.Context()
	allocations := testing.AllocsPerRun(100, func() {
		tracer.Normalize(nil)(nil, 0)
		ctx, ended := tracer.Flush(ctx, "", nil)
		tracer.Match(ctx)(0)
		ended(0, 0, nil)
	})
	if allocations != 0 {
		t.Errorf("%v allocations, want none", allocations)
	}
}

package deteval_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/bench/deteval"
	"github.com/m2mwatch/m2mwatch/internal/bench/synth"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// TestEveryMadeUpLogIsAnEvent: none goes to DEAD, only the type that is unknown on
// purpose is, and machines are told from people.
func TestEveryMadeUpLogIsAnEvent(t *testing.T) {
	t.Parallel()
	h := synth.Generate(synth.Config{Seed: 5, Events: 30_000})
	n := processor.NewNormalizer(schemas.EventTypes(), nil)
	unknown := map[string]bool{}
	kinds := map[schemas.Kind]int{}
	for _, log := range h.Logs {
		e, err := n.Normalize(&schemas.Log{Tenant: h.Tenant, Source: schemas.SourceStream, IngestedAt: log.Delivered, Raw: log.Raw})
		if err != nil {
			t.Fatalf("%v: %s", err, log.Raw)
		}
		if _, ok := schemas.EventTypes().Lookup(e.Type); !ok {
			unknown[e.Type] = true
		}
		if e.Outcome == schemas.OutcomeFailure && e.Cause == "" {
			t.Errorf("a failure without a cause: %s", log.Raw)
		}
		kinds[e.Identity.Kind]++
	}
	if len(unknown) < 1 || len(unknown) > 2 {
		t.Errorf("unknown types %v, want one or two", unknown)
	}
	if kinds[schemas.KindMachine] < 9*len(h.Logs)/10 || kinds[schemas.KindHuman] == 0 {
		t.Errorf("kinds of identities: %v", kinds)
	}
}

// TestGivenLabelsAreFound goes the whole way with a small tenant: a machine that
// works, and then is refused.
func TestGivenLabelsAreFound(t *testing.T) {
	t.Parallel()
	clickhousetest.Library(t)
	given, err := deteval.Write(deteval.Config{First: 2, Events: 4000, Machines: 40}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := synth.Generate(synth.Config{Seed: 2, Events: 4000, Machines: 40})
	var falseFindings, missed, pages, printed bytes.Buffer
	report, err := deteval.Evaluate(context.WithoutCancel(t.Context()), deteval.Config{
		Given: given,
		Step:  10 * 24 * time.Hour, False: &falseFindings, Missed: &missed, Pages: &pages,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Runs) != 1 || report.Without == nil || report.With != nil || report.Runs[0].Events != len(h.Logs) {
		t.Fatalf("report %+v, want one run, without networks", report)
	}
	s := report.Without
	if s.Labels+s.Faint-s.Found-s.FaintFound != strings.Count(missed.String(), "\n") || s.False != strings.Count(falseFindings.String(), "\n") {
		t.Errorf("%d of %d labels found, %d false; told of:\n%s%s", s.Found, s.Labels, s.False, &missed, &falseFindings)
	}
	quiet := 0
	for _, n := range s.PagesQuietWeek {
		quiet += n
	}
	if quiet != strings.Count(pages.String(), "\n") {
		t.Errorf("%d pages in quiet weeks; told of:\n%s", quiet, &pages)
	}
	if s.Findings == 0 || s.Found == 0 {
		t.Errorf("%d findings, %d labels found: want some", s.Findings, s.Found)
	}
	if err := report.Print(&printed); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"MI-02", "recall of the worst rule, without networks", "by itself"} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, &printed)
		}
	}
}

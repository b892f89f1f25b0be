package processor_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newStormBench(t *testing.T) *bench {
	t.Helper()
	b := newBenchOf(t, "mi-02-working-client-started-failing.yml", "mi-02-storm.yml")
	b.around = fromHome{b.store}
	return b
}

func TestStormRulePassesItsOwnTests(t *testing.T) {
	t.Parallel()
	b := newStormBench(t)
	tests := processor.RuleTests{Store: b.writer, Findings: b.store, Rules: b.rules, Catalogue: schemas.EventTypes(), At: moment}
	for _, rule := range b.rules.Correlations() {
		if !rule.Storm() {
			continue
		}
		results, err := tests.Run(t.Context(), &rule)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if !r.Passed() {
				t.Errorf("%s: %d findings, want %d", r.Test, r.Got, r.Want)
			}
		}
	}
}

// paging are the verdicts on the findings, by rule and key.
func (b *bench) paging() map[string]schemas.Paging {
	b.t.Helper()
	verdicts := map[string]schemas.Paging{}
	for _, f := range b.findings("acme") {
		verdicts[f.RuleID+" "+f.Key] = f.Paging
	}
	return verdicts
}

// TestStormPagesOnceAndWhatGoesOnAfterIt lets six of six machines fail at once. One
// fails on when the others have recovered.
func TestStormPagesOnceAndWhatGoesOnAfterIt(t *testing.T) {
	t.Parallel()
	for _, crash := range []string{"", "alert_published", "findings_written"} {
		t.Run("crash at "+crash, func(t *testing.T) {
			t.Parallel()
			b := newStormBench(t)
			var events []schemas.Event
			want := map[string]schemas.Paging{"MI-02-storm acme": schemas.PagingPage}
			for i := range 6 {
				client := fmt.Sprintf("m%d", i)
				events = append(events, working(client, schemas.SourceStream)...)
				want["MI-02 "+client] = schemas.PagingStorm
			}
			b.insert(events...)
			b.correlateAll()
			for i := range 6 {
				b.insert(refused(fmt.Sprintf("m%d", i), 3, schemas.SourceStream)...)
			}
			b.at(moment.Add(3 * time.Minute))
			if crash != "" {
				crashing(b, crash, b.store, b.broker.Publisher(t))
				b.broker.Restart(t)
			}
			b.correlateAll()
			if diff := cmp.Diff(want, b.paging()); diff != "" {
				t.Fatalf("verdicts in the storm (-want +got):\n%s", diff)
			}
			storm := ""
			for _, f := range b.findings("acme") {
				if f.RuleID == "MI-02-storm" {
					storm = f.ID
				}
			}
			for _, f := range b.findings("acme") {
				if f.RuleID == "MI-02" && !strings.HasPrefix(f.PagingReason, "attached to finding "+storm+": 6 machines were refused at once, 18 token requests: in the last ten minutes of it 6 asked") {
					t.Errorf("finding %s: %q, want it attached to %s", f.Key, f.PagingReason, storm)
				}
			}
			for _, a := range b.alerts() {
				if a.ID != storm+"/open/1" {
					t.Errorf("alert %s, want none but that of the storm", a.ID)
				}
			}
			b.insert(failing("m3", 20, schemas.SourceStream), failing("m3", 21, schemas.SourceStream), failing("m3", 22, schemas.SourceStream))
			b.at(moment.Add(23 * time.Minute))
			b.correlateAll()
			want["MI-02 m3"] = schemas.PagingPage
			if diff := cmp.Diff(want, b.paging()); diff != "" {
				t.Errorf("verdicts when the storm is over (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSuccessesOfOthersThatComeLateEndAStorm has machines that never failed tell, late,
// how many were at work: what they do is no touch of the tenant's failures.
func TestSuccessesOfOthersThatComeLateEndAStorm(t *testing.T) {
	t.Parallel()
	b := newStormBench(t)
	var events, late []schemas.Event
	for i := range 6 {
		client := fmt.Sprintf("m%d", i)
		events = append(events, slices.Concat(working(client, schemas.SourceStream), refused(client, 3, schemas.SourceStream))...)
	}
	b.insert(events...)
	b.at(moment.Add(3 * time.Minute))
	b.correlateAll()
	if got := b.paging()["MI-02-storm acme"]; got != schemas.PagingPage {
		t.Fatalf("the storm has the verdict %q, want page", got)
	}
	for i := range 60 { // in the minute in which all are refused for the first time
		late = append(late, exchange(fmt.Sprintf("other%d", i), 0, moment.Add(time.Duration(i)*time.Second), true, schemas.SourceStream))
	}
	b.insert(late...)
	b.at(moment.Add(4 * time.Minute))
	b.correlateAll()
	for _, f := range b.findings("acme") {
		if f.RuleID == "MI-02-storm" && f.State != schemas.StateWithdrawn {
			t.Errorf("the storm of %d failures stands, want it withdrawn: 6 of 66 machines failed", f.Count)
		}
	}
}

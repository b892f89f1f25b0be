package processor_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// grantWidened finds something alone: each change of a grant is one.
const grantWidened = `title: A grant was widened
id: 00000000-0000-4000-8000-0000000000a1
level: high
logsource: {product: auth0}
detection:
  selection: {type: sapi, description: Update client grant}
  condition: selection
x-dedupe: 6h
`

func aloneBench(t *testing.T) *bench {
	t.Helper()
	b := newBenchOn(t, clickhousetest.New(t))
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: fstest.MapFS{"a.yml": {Data: []byte(grantWidened)}}}}})
	if err != nil {
		t.Fatal(err)
	}
	b.rules, b.rule = set, set.Correlations()[0]
	return b
}

// grantChange is one change by an application; another description makes the
// copy of a lower version, which must not count.
func grantChange(app string, n int, at time.Time, ver uint64, description string) schemas.Event {
	return schemas.Event{
		Tenant: "acme", ClientID: app, ClientName: "Deployer", Time: at, LogID: fmt.Sprintf("9002026%s%06d", app, n), Ver: ver, Type: "sapi",
		Description: description, Network: "198.51.100.0/24", Source: schemas.SourceStream, IngestedAt: at,
		Outcome: schemas.OutcomeSuccess, Identity: schemas.Identity{ID: schemas.AppID(app), Kind: schemas.KindMachine},
	}
}

func TestRuleAloneFindsWithoutACorrelation(t *testing.T) {
	t.Parallel()
	b := aloneBench(t)
	b.insert(
		grantChange("ci", 1, moment, 1, "Update client grant"),
		grantChange("ci", 2, moment.Add(time.Hour), 1, "Update client grant"),
		grantChange("ci", 3, moment.Add(2*time.Hour), 1, "Create client grant"),
	)
	b.correlateAll()
	id := schemas.FindingID(b.rule.Code, "acme", "app:ci", moment.Truncate(6*time.Hour))
	want := []schemas.Finding{{
		ID: id, RuleID: "00000000-0000-4000-8000-0000000000a1", Title: "A grant was widened", Tenant: "acme", Key: "app:ci", Identity: "app:ci",
		Level: schemas.LevelHigh, State: schemas.StateOpen, First: moment, Last: moment.Add(time.Hour), Count: 2,
		Period: moment.Truncate(6 * time.Hour), Changes: 1, Source: schemas.SourceStream, Paging: schemas.PagingPage,
		Evidence: schemas.Evidence{
			Summary: "2 events: A grant was widened", Networks: []string{"198.51.100.0/24"},
			LogIDs: []string{"9002026ci000001", "9002026ci000002"}, ClientName: "Deployer",
			Causes: map[string]uint64{"Update client grant": 2}, NextCommand: "m2mwatch findings show " + id,
		},
	}}
	if diff := cmp.Diff(want, b.findings("acme"), whenFound); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{id + "/open/1"}, ids(b.alerts())); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
}

// Whatever was repeated, delayed or replaced by another copy, the findings are
// those that the surviving events give.
func TestEveryDeliveryToARuleAloneEndsInTheSameFindings(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 12))
	type period struct {
		key   string
		start time.Time
	}
	want := map[period]uint64{}
	var events []schemas.Event
	for n := range 100 {
		app := fmt.Sprintf("app-%d", r.IntN(5))
		at := moment.Add(time.Duration(r.IntN(72)) * time.Hour).Add(time.Duration(r.IntN(3600_000)) * time.Millisecond)
		survivor := grantChange(app, n, at, 10, "Update client grant")
		if r.IntN(3) == 0 {
			survivor.Description = "Delete client grant"
		} else {
			want[period{schemas.AppID(app), at.Truncate(6 * time.Hour)}]++
		}
		events = append(events, survivor)
		for range r.IntN(3) {
			description := "Create client grant"
			if survivor.Description == "Update client grant" && r.IntN(2) == 0 { // else the recounter has to touch its key
				description = survivor.Description
			}
			loser := grantChange(app, n, at, 1+uint64(r.IntN(9)), description)
			events = append(events, survivor, loser)
		}
	}
	for name, delivery := range deliveries(r, events) {
		t.Run(name, func(t *testing.T) {
			b := aloneBench(t)
			b.deliver(r, delivery)
			got := map[period]uint64{}
			for _, f := range open(b.findings("acme")) {
				got[period{f.Key, f.Period}] = f.Count
			}
			if name == "live" && len(got) < 10 {
				t.Fatalf("%d findings, want more to compare", len(got))
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(period{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A million names that somebody makes up are one finding.
func TestMadeUpClientsAreOneFinding(t *testing.T) {
	t.Parallel()
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: fstest.MapFS{"a.yml": {Data: []byte(
		"title: Refused\nlogsource: {product: auth0}\ndetection: {s: {type: feccft}, condition: s}\n",
	)}}}}})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for i := range 1000 {
		e := exchange(fmt.Sprintf("made-up-%d", i), i, moment, false, schemas.SourceStream)
		e.Outcome, e.Identity = schemas.OutcomeFailure, schemas.Identity{ID: schemas.AppID(e.ClientID), Kind: schemas.KindMachine}
		for _, m := range set.Match(nil, &e) {
			keys = append(keys, m.Key)
		}
	}
	if len(keys) != 1000 {
		t.Fatalf("%d matches, want 1000", len(keys))
	}
	if slices.Sort(keys); len(slices.Compact(keys)) != 1 {
		t.Errorf("keys %q …, want one for all", keys[:2])
	}
}

// What a rule's own tests say is held against what it does, not believed.
func TestRuleTestsTellWhatIsWrong(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: fstest.MapFS{"a.yml": {Data: []byte(grantWidened + `x-tests:
  - {name: fires twice, expect: 2, events: [{at: 0s, every: 7h, count: 2, log: {type: sapi, client_id: ci, description: Update client grant}}]}
  - {name: should be quiet, expect: 0, events: [{at: 0s, log: {type: sapi, client_id: ci, description: Update client grant}}]}
`)}}}}})
	if err != nil {
		t.Fatal(err)
	}
	tests := processor.RuleTests{
		Store: clickhouse.NewWriter(db), Findings: clickhouse.NewFindingStore(db), Rules: set, Catalogue: schemas.EventTypes(), At: moment,
	}
	rule := set.Correlations()[0]
	got, err := tests.Run(t.Context(), &rule)
	if err != nil {
		t.Fatal(err)
	}
	id := "00000000-0000-4000-8000-0000000000a1"
	want := []processor.RuleTestResult{
		{Rule: id, Test: "fires twice", File: "a.yml", Line: 10, Want: 2, Got: 2},
		{Rule: id, Test: "should be quiet", File: "a.yml", Line: 11, Want: 0, Got: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What no log has, because normalizing adds it, a rule's test says beside the log.
func TestRuleTestsSayWhereAnAddressIs(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: fstest.MapFS{"a.yml": {Data: []byte(`title: From one network of one country
id: 00000000-0000-4000-8000-0000000000a7
level: high
logsource: {product: auth0}
detection:
  s: {type: seccft, asn: 64500, country: SE, as_org|startswith: Example}
  condition: s
x-tests:
  - {name: fires, expect: 1, events: [{at: 0s, asn: 64500, country: SE, as_org: Example Ltd, log: {type: seccft, client_id: a, ip: 192.0.2.1}}]}
  - {name: stays quiet, expect: 0, events: [{at: 0s, asn: 64501, country: SE, as_org: Example Ltd, log: {type: seccft, client_id: a, ip: 192.0.2.1}}]}
  - {name: knows no place, expect: 0, events: [{at: 0s, log: {type: seccft, client_id: a, ip: 192.0.2.1}}]}
`)}}}}})
	if err != nil {
		t.Fatal(err)
	}
	tests := processor.RuleTests{
		Store: clickhouse.NewWriter(db), Findings: clickhouse.NewFindingStore(db), Rules: set, Catalogue: schemas.EventTypes(), At: moment,
	}
	rule := set.Correlations()[0]
	results, err := tests.Run(t.Context(), &rule)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !r.Passed() {
			t.Errorf("%q: %d findings, want %d", r.Test, r.Got, r.Want)
		}
	}
	if len(results) != 3 {
		t.Errorf("%d tests, want 3", len(results))
	}
}

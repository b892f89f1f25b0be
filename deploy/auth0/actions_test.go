package actions

import (
	"context"
	"encoding/json"
	"maps"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// outcome is what testdata/run.js tells of one run of an Action.
type outcome struct {
	Case    string
	Failed  string  // what it threw
	Returns string  // what it returned, "undefined" as it should be
	Limits  []int   // ms, of the signals that it made
	Timers  []int   // ms, of other timers that it set
	Calls   int     // that reached the endpoint
	Body    string  // of the last
	Secret  string  // its Authorization
	Said    string  // on the console
	Waited  float64 // ms, for the reader alone
}

// outcomes runs an Action under Node against endpoints that go wrong.
func outcomes(t *testing.T, a Action) map[string]outcome {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("Node runs Actions, and npm comes with it: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // one that waits for ever
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "testdata/run.js", a.Trigger)
	cmd.Stdin = strings.NewReader(a.Code)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run.js: %v\n%s", err, said.String())
	}
	all := map[string]outcome{}
	for line := range strings.Lines(string(out)) {
		var o outcome
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		all[o.Case] = o
	}
	return all
}

// Whatever the endpoint does, the exchange goes on: after 300 ms at the latest, as
// the one signal that bounds the call says, and with nothing thrown.
func TestAnActionNeitherDelaysNorFailsAnExchange(t *testing.T) {
	t.Parallel()
	for _, a := range All() {
		t.Run(a.Trigger, func(t *testing.T) {
			t.Parallel()
			all := outcomes(t, a)
			for name, calls := range map[string]int{
				"well": 1, "hangs before the answer": 1, "hangs within the answer": 1, "refuses the connection": 0, "answers 500": 1, "redirects": 1,
				"closes the connection": 1, "no address": 0, "no secrets": 0, "no event to speak of": 0,
			} {
				o, ran := all[name]
				if !ran || o.Failed != "" || o.Returns != "undefined" || o.Calls != calls {
					t.Errorf("%s: ran %v, %+v, want %d calls", name, ran, o, calls)
				}
				if len(o.Limits) > 1 || len(o.Limits) == 0 && calls > 0 || len(o.Limits) == 1 && o.Limits[0] != 300 || len(o.Timers) > 0 {
					t.Errorf("%s: limits %v, other timers %v", name, o.Limits, o.Timers)
				}
				if strings.Contains(o.Said, "open-sesame") {
					t.Errorf("%s: said %s", name, o.Said)
				}
			}
			if len(all) != 10 {
				t.Errorf("%d cases ran", len(all))
			}
		})
	}
}

func TestAnActionTellsACustomEvent(t *testing.T) {
	t.Parallel()
	for _, a := range All() {
		o := outcomes(t, a)["well"]
		var told struct {
			SpecVersion, ID, Source, Type, Time string
			Data                                map[string]any
		}
		if err := json.Unmarshal([]byte(o.Body), &told); err != nil {
			t.Fatalf("%s: %v: %s", a.Trigger, err, o.Body)
		}
		event := schemas.CloudEvent{SpecVersion: told.SpecVersion, ID: told.ID, Source: told.Source, Type: told.Type, Time: told.Time}
		if err := event.Check(); err != nil {
			t.Errorf("%s: %v", a.Trigger, err)
		}
		if o.Secret != "Bearer open-sesame" || told.Type != "auth0."+a.Trigger || told.Data["client_id"] != "invoice-sync" || strings.Contains(o.Body, "hunter2") {
			t.Errorf("%s: sent %q with %s", a.Trigger, o.Secret, o.Body)
		}
	}
}

func TestOfMetadataTheMarksAloneAreTold(t *testing.T) {
	t.Parallel()
	for _, a := range All() {
		if a.Trigger != "credentials-exchange" {
			continue
		}
		var told struct {
			Data struct{ Metadata map[string]string }
		}
		if err := json.Unmarshal([]byte(outcomes(t, a)["well"].Body), &told); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"owner": "billing", "purpose": "invoices", "m2mwatch_key": "invoice-sync"}
		if !maps.Equal(told.Data.Metadata, want) {
			t.Errorf("told %v, want %v", told.Data.Metadata, want)
		}
	}
}

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestFindingsShowTellsHowToContain(t *testing.T) {
	known := true
	f := schemas.FindingDetail{Finding: schemas.Finding{ID: "f1", RuleID: "MI-02", Tenant: "acme", Identity: "user:auth0|robot", State: schemas.StateOpen}}
	until := time.Date(2026, 5, 1, 13, 0, 0, 0, time.UTC)
	f.Explain(schemas.FindingContext{Owner: "billing", SourceKnown: &known, TokensAlive: 2, TokensUntil: until}, "acme.eu.auth0.com", runbookOf(f.RuleID))
	var out strings.Builder
	if err := writeFinding(&out, f); err != nil {
		t.Fatal(err)
	}
	said := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"owner billing", "source known: it succeeded", "tokens 2 still good, the last until " + clock(until),
		"contain m2mwatch users block --domain acme.eu.auth0.com -- 'auth0|robot'", "undo m2mwatch users unblock", "runbook m2mwatch rules runbook MI-02",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}

// An ack is told once, by who made it, and an end by why it came.
func TestFindingsShowTellsTheHistoryInOrder(t *testing.T) {
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	at := func(minute int) time.Time { return noon.Add(time.Duration(minute) * time.Minute) }
	nine := &schemas.FindingExtent{Count: 9}
	change := func(minute int, state schemas.State, reason schemas.Reason) schemas.FindingChange {
		return schemas.FindingChange{At: at(minute), State: state, Reason: reason, Before: nine, After: nine, Paging: schemas.PagingPage}
	}
	first := change(0, schemas.StateOpen, schemas.ReasonEvents)
	first.Before = nil
	var told []string
	for _, h := range historyOf(schemas.FindingDetail{
		History: []schemas.FindingChange{
			first, change(1, schemas.StateAcknowledged, schemas.ReasonAct), change(2, schemas.StateResolved, schemas.ReasonQuiet),
			change(3, schemas.StateOpen, schemas.ReasonEvents), change(5, schemas.StateResolved, schemas.ReasonAct),
			change(6, schemas.StateAcknowledged, schemas.ReasonLateEvents), change(7, schemas.StateResolved, schemas.ReasonEvents),
		},
		Acts: []schemas.FindingAct{
			{At: at(1), Act: schemas.ActAck, Who: "jane"}, {At: at(2), Act: schemas.ActQuiet, Who: "m2mwatch"}, {At: at(4), Act: schemas.ActResolve, Who: "joe", Reason: "a deploy"},
		},
	}) {
		told = append(told, h.text)
	}
	want := []string{
		"open, with 9 events; page", "ack by jane", "resolved: quiet since its last event; 9 events", "open again, with 9 events; page",
		"resolve by joe: a deploy", "acknowledged by events that came late, with 9 events", "resolved, with 9 events",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

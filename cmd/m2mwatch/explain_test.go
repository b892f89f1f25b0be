package main

import (
	"strings"
	"testing"
	"time"

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

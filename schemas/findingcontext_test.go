package schemas_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestEvidenceTellsHowToContainWhom(t *testing.T) {
	known, until := true, time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	c := schemas.FindingContext{Owner: "billing", SourceKnown: &known, TokensAlive: 3, TokensUntil: until}
	for identity, want := range map[string][2]string{
		"app:invoice-sync": {
			"m2mwatch apps disable --domain acme.eu.auth0.com --grants-file invoice-sync.grants.json -- invoice-sync",
			"m2mwatch apps enable --domain acme.eu.auth0.com -- invoice-sync.grants.json",
		},
		"user:auth0|robot": {
			"m2mwatch users block --domain acme.eu.auth0.com -- 'auth0|robot'", "m2mwatch users unblock --domain acme.eu.auth0.com -- 'auth0|robot'",
		},
		"app:a'; rm -rf ~ #\n": {
			`m2mwatch apps disable --domain acme.eu.auth0.com --grants-file a_rm_-rf_.grants.json -- 'a'\''; rm -rf ~ #?'`,
			"m2mwatch apps enable --domain acme.eu.auth0.com -- a_rm_-rf_.grants.json",
		},
		"app:": {}, "": {}, "agent:a": {},
	} {
		f := schemas.Finding{Identity: identity, State: schemas.StateOpen}
		f.Explain(c, "acme.eu.auth0.com", "m2mwatch rules runbook MI-02")
		expect := schemas.Evidence{
			Owner: "billing", SourceKnown: &known, TokensAlive: 3, TokensUntil: &until, Contain: want[0], Undo: want[1], Runbook: "m2mwatch rules runbook MI-02",
		}
		if diff := cmp.Diff(expect, f.Evidence); diff != "" {
			t.Errorf("%q (-want +got):\n%s", identity, diff)
		}
	}
}

// Nothing is to be contained of what is over.
func TestEvidenceOfAWithdrawnFindingHasItsOwnerAlone(t *testing.T) {
	f := schemas.Finding{Identity: "app:a", State: schemas.StateWithdrawn}
	f.Explain(schemas.FindingContext{Owner: "billing", TokensAlive: 3, TokensUntil: time.Unix(1, 0)}, "", "")
	if diff := cmp.Diff(schemas.Evidence{Owner: "billing"}, f.Evidence); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

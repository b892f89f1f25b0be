package notify

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// explained is an alert of which all is known.
func explained() schemas.Alert {
	at, known := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), false
	f := schemas.Finding{
		ID: "f1", RuleID: "MI-02", Title: "A working client started failing", Tenant: "acme", Identity: "app:a", Level: schemas.LevelHigh, State: schemas.StateOpen, First: at, Last: at, Count: 3,
		Evidence: schemas.Evidence{Summary: "3 refused", Networks: []string{"203.0.113.0/24"}, NormalPerDay: 48, ClientName: "Invoices", NextCommand: "m2mwatch findings show f1"},
	}
	f.Explain(schemas.FindingContext{Owner: "billing", SourceKnown: &known, TokensAlive: 2, TokensUntil: at.Add(time.Hour)}, "acme.eu.auth0.com", "m2mwatch rules runbook MI-02")
	return schemas.Alert{ID: "f1/open/1", Finding: f, URL: "https://m2mwatch.example/v1/findings/f1"}
}

func TestEveryChannelSaysWhatIsKnown(t *testing.T) {
	poster := &poster{now: func() time.Time { return time.Date(2026, 5, 1, 13, 0, 0, 0, time.UTC) }}
	ocsf, err := NewOCSF(OCSFConfig{Name: "siem", Path: "f"})
	if err != nil {
		t.Fatal(err)
	}
	const until = "2026-05-01 13:00:00 UTC"
	words := []string{"billing", "3 refused", "48 successes a day", "new: it had not", "2 are good", until, "m2mwatch apps disable --domain acme.eu.auth0.com", "m2mwatch apps enable", "https://m2mwatch.example/v1/findings/f1", "m2mwatch rules runbook MI-02"}
	for channel, c := range map[string]struct {
		document any
		words    []string
	}{
		"slack":        {slackBody(explained()), words},
		"pagerduty":    {(&PagerDuty{post: poster}).event(explained()), words},
		"alertmanager": {(&Alertmanager{post: poster}).alert(explained()), words},
		"webhook": {webhookBody{Data: explained().Finding, URL: explained().URL}, []string{
			`"owner":"billing"`, `"source_known":false`, `"tokens_alive":2`, `"tokens_until":"2026-05-01T13:00:00Z"`, `"contain":"m2mwatch apps disable`, `"undo":"m2mwatch apps enable`, `"runbook":"m2mwatch rules`,
		}},
		"ocsf": {ocsf.finding(explained()), []string{
			`"owner":{"name":"billing"}`, `"remediation":{"desc":"m2mwatch apps disable`, `"source_known":false`, `"tokens_alive":2`, `"tokens_until":1777640400000`, `"undo":"m2mwatch apps enable`, `"runbook":"m2mwatch rules`,
		}},
	} {
		b, err := json.Marshal(c.document)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.words {
			if !strings.Contains(string(b), want) {
				t.Errorf("%s does not say %q:\n%s", channel, want, b)
			}
		}
	}
}

// Slack refuses a section of more than ten fields.
func TestSlackGetsNoMoreFieldsThanItTakes(t *testing.T) {
	fields := 0
	for _, b := range slackBody(explained()).Blocks {
		fields += len(b.Fields)
		if len(b.Fields) > slackFields {
			t.Errorf("a section has %d fields, want %d at most", len(b.Fields), slackFields)
		}
	}
	if want := len(facts(explained())); fields != want {
		t.Errorf("%d fields, want %d", fields, want)
	}
}

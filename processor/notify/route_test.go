package notify_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor/notify"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestRouteMatchesWhatItNames(t *testing.T) {
	f := schemas.Finding{Tenant: "acme", RuleID: "MI-02", Level: schemas.LevelHigh, Evidence: schemas.Evidence{Owner: "team-billing@acme"}}
	for name, c := range map[string]struct {
		route notify.Route
		want  bool
	}{
		"nothing":        {notify.Route{}, true},
		"tenant":         {notify.Route{Tenants: []string{"other", "acme"}}, true},
		"other tenant":   {notify.Route{Tenants: []string{"other"}}, false},
		"level":          {notify.Route{Levels: []schemas.Level{"low", "high"}}, true},
		"other level":    {notify.Route{Levels: []schemas.Level{"critical"}}, false},
		"min level":      {notify.Route{MinLevel: "high"}, true},
		"lower minimum":  {notify.Route{MinLevel: "low"}, true},
		"higher minimum": {notify.Route{MinLevel: "critical"}, false},
		"rule":           {notify.Route{Rules: []string{"MI-02"}}, true},
		"beginning":      {notify.Route{Rules: []string{"MI-*"}}, true},
		"other rule":     {notify.Route{Rules: []string{"MI-0"}}, false},
		"owner":          {notify.Route{Owners: []string{"ops", "team-billing@acme"}}, true},
		"other owner":    {notify.Route{Owners: []string{"team-billing"}}, false},
		"owner's end":    {notify.Route{Owners: []string{"*@acme"}}, true},
		"owner's middle": {notify.Route{Owners: []string{"team-*ing*acme"}}, true},
		"twice the same": {notify.Route{Owners: []string{"team-billing@acme*@acme"}}, false},
		"any owner":      {notify.Route{Owners: []string{"*"}}, true},
		"nobody's":       {notify.Route{Owners: []string{""}}, false},
		"one of two":     {notify.Route{Tenants: []string{"acme"}, Rules: []string{"P-*"}}, false},
	} {
		if got := c.route.Matches(f); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestAlertsGoWhereRoutesLead(t *testing.T) {
	t.Parallel()
	broker, rows := natstest.New(t), &ledger{}
	pager, chat := newReceiver(t, 200), newReceiver(t, 200)
	cfg := to(t, broker, rows, named(t, "pager", pager.URL), named(t, "chat", chat.URL))
	cfg.Routes = []notify.Route{
		{MinLevel: schemas.LevelHigh, Channels: []string{"pager", "chat"}},
		{Tenants: []string{"acme"}, Levels: []schemas.Level{schemas.LevelMedium, schemas.LevelHigh}, Channels: []string{"chat"}},
	}
	high, medium, low := alert(1), alert(2), alert(3)
	medium.Finding.Level, low.Finding.Level = schemas.LevelMedium, schemas.LevelLow
	publish(t, broker, high, medium, low)
	start(t, cfg)
	empty(t, broker)
	if diff := cmp.Diff([]string{"finding1/open/1"}, pager.got()); diff != "" {
		t.Errorf("pager (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"finding1/open/1", "finding2/open/1"}, chat.got()); diff != "" {
		t.Errorf("chat (-want +got):\n%s", diff)
	}
	want := schemas.Delivery{AlertID: "finding3/open/1", Tenant: "acme", Kind: schemas.AlertPage, Level: schemas.LevelLow, Attempt: 1, Error: "no route leads to a channel"}
	found := false
	for _, d := range rows.all() {
		found = found || cmp.Equal(want, d, cmpopts.IgnoreFields(schemas.Delivery{}, "Time"))
	}
	if !found {
		t.Errorf("records %+v, want one of the alert that goes nowhere", rows.all())
	}
}

func TestAlertsLinkToTheirFinding(t *testing.T) {
	t.Parallel()
	broker, rows, r := natstest.New(t), &ledger{}, newReceiver(t, 200)
	cfg := to(t, broker, rows, webhook(t, r.URL))
	cfg.Link = func(a schemas.Alert) string { return "https://m2mwatch.example/v1/findings/" + a.Finding.ID }
	publish(t, broker, alert(1))
	start(t, cfg)
	empty(t, broker)
	if got := r.bodies[0]; !strings.Contains(got, `"url":"https://m2mwatch.example/v1/findings/finding1"`) {
		t.Errorf("body %s, want the link", got)
	}
}

// A receiver that says when to come again is not asked before.
func TestRetryAfterIsWaitedFor(t *testing.T) {
	t.Parallel()
	broker, rows := natstest.New(t), &ledger{}
	var first, second atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if first.CompareAndSwap(0, time.Now().UnixNano()) {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		second.Store(time.Now().UnixNano())
	}))
	t.Cleanup(server.Close)
	publish(t, broker, alert(1))
	start(t, to(t, broker, rows, webhook(t, server.URL)))
	empty(t, broker)
	if got := time.Duration(second.Load() - first.Load()); got < 3*time.Second {
		t.Errorf("asked again after %s, want 3 s", got)
	}
}

// What is known beside the events is looked up when the alert is routed, and is in
// what every channel is sent.
func TestAlertsSayWhatIsKnownWhenTheyAreRouted(t *testing.T) {
	t.Parallel()
	broker, rows := natstest.New(t), &ledger{}
	billing, others := newReceiver(t, 200), newReceiver(t, 200)
	cfg := to(t, broker, rows, named(t, "billing", billing.URL), named(t, "others", others.URL))
	cfg.Routes = []notify.Route{{Owners: []string{"bill*"}, Channels: []string{"billing"}}, {Owners: []string{""}, Channels: []string{"others"}}}
	cfg.Explain = func(_ context.Context, f *schemas.Finding) error {
		if f.ID == "finding1" {
			f.Explain(schemas.FindingContext{Owner: "billing"}, "", "")
		}
		return nil
	}
	publish(t, broker, alert(1), alert(2))
	start(t, cfg)
	empty(t, broker)
	if diff := cmp.Diff([]string{"finding1/open/1"}, billing.got()); diff != "" {
		t.Errorf("billing (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"finding2/open/1"}, others.got()); diff != "" {
		t.Errorf("others (-want +got):\n%s", diff)
	}
	if !strings.Contains(billing.bodies[0], `"owner":"billing"`) {
		t.Errorf("body %s does not tell the owner", billing.bodies[0])
	}
}

// The level of a finding may be another by its end, and so may where it leads.
func TestEndGoesToWhoWasPaged(t *testing.T) {
	t.Parallel()
	broker, rows := natstest.New(t), &ledger{}
	high, critical := newReceiver(t, 200), newReceiver(t, 200)
	cfg := to(t, broker, rows, named(t, "high", high.URL), named(t, "critical", critical.URL))
	cfg.Routes = []notify.Route{
		{Levels: []schemas.Level{schemas.LevelHigh}, Channels: []string{"high"}},
		{Levels: []schemas.Level{schemas.LevelCritical}, Channels: []string{"critical"}},
	}
	start(t, cfg)
	end := ends(1)
	end.Finding.Level = schemas.LevelMedium
	for _, a := range []schemas.Alert{alert(1), end} {
		publish(t, broker, a)
		empty(t, broker)
	}
	if diff := cmp.Diff([]string{"finding1/open/1", "finding1/withdrawn/2"}, high.got()); diff != "" {
		t.Errorf("who was paged (-want +got):\n%s", diff)
	}
	if got := critical.got(); len(got) != 0 {
		t.Errorf("who was not: %q, want nothing", got)
	}
}

func TestAlertThatCannotBeExplainedGoesToAllOwners(t *testing.T) {
	t.Parallel()
	broker, rows, r := natstest.New(t), &ledger{}, newReceiver(t, 200)
	cfg := to(t, broker, rows, webhook(t, r.URL))
	cfg.Routes = []notify.Route{{Owners: []string{"billing"}, Channels: []string{"webhook"}}}
	var asked atomic.Int32
	cfg.Explain = func(context.Context, *schemas.Finding) error {
		asked.Add(1)
		return errors.New("connection refused")
	}
	publish(t, broker, alert(1))
	start(t, cfg)
	empty(t, broker)
	if diff := cmp.Diff([]string{"finding1/open/1"}, r.got()); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	if got := asked.Load(); got != 3 {
		t.Errorf("asked %d times, want 3", got)
	}
}

package notify_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/notify"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// api is a server that checks what it is sent, as the one that it stands for
// does, and keeps it.
type api[T any] struct {
	*httptest.Server
	mu  sync.Mutex
	got []T
}

// newAPI answers taken to what check lets through, and 400 with its error to the
// rest.
func newAPI[T any](t *testing.T, path string, taken int, check func(r *http.Request, doc T) error) *api[T] {
	t.Helper()
	a := &api[T]{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var doc T
		if err == nil {
			err = json.Unmarshal(body, &doc)
		}
		switch {
		case r.Method != http.MethodPost || r.URL.Path != path:
			err = fmt.Errorf("%s %s, want POST %s", r.Method, r.URL.Path, path)
		case r.Header.Get("Content-Type") != "application/json":
			err = errors.New("the body is no JSON")
		case err == nil:
			err = check(r, doc)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a.mu.Lock()
		a.got = append(a.got, doc)
		a.mu.Unlock()
		w.WriteHeader(taken)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *api[T]) all() []T {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.got)
}

// full is an alert with all that one can have, some of it hostile.
func full() schemas.Alert {
	a := alert(1)
	f := &a.Finding
	f.RuleID, f.Title, f.Identity = "MI-02", "A working client started failing", "app:billing"
	f.Evidence = schemas.Evidence{
		Summary: "billing <!channel> & <https://evil.example|look> was refused 3 times", Networks: []string{"192.0.2.0/24"},
		ClientName: strings.Repeat("ü", 3000), NextCommand: "m2mwatch findings show finding1",
	}
	a.URL = "https://m2mwatch.example/v1/findings/finding1"
	return a
}

func withdrawn(a schemas.Alert) schemas.Alert {
	a.ID, a.Finding.State = a.Finding.ID+"/withdrawn/2", schemas.StateWithdrawn
	return a
}

// TestChannelsTellTemporaryFromFinal asks each channel that posts for its judgement
// of each kind of answer.
func TestChannelsTellTemporaryFromFinal(t *testing.T) {
	for name, channel := range channelsAt(t) {
		for _, c := range []struct {
			status int
			header string // Retry-After
			final  bool   // refused at once
			person bool   // given up after a while
			after  time.Duration
		}{
			{status: 400, final: true},
			{status: 410, final: true},
			{status: 413, final: true},
			{status: 422, final: true},
			{status: 401, person: true},
			{status: 403, person: true},
			{status: 404, person: true},
			{status: 302, person: true},
			{status: 408},
			{status: 429},
			{status: 500},
			{status: 502},
			{status: 503},
			{status: 429, header: "30", after: 30 * time.Second},
			{status: 503, header: "120", after: 2 * time.Minute},
			{status: 429, header: "soon"},
		} {
			t.Run(fmt.Sprint(name, " ", c.status, c.header), func(t *testing.T) {
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Retry-After", c.header)
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(c.status)
					body, _ := io.ReadAll(r.Body)
					_, _ = w.Write(append([]byte(r.URL.Path+" "), body...)) // as some do
				}))
				t.Cleanup(server.Close)
				err := channel(server.URL).Deliver(t.Context(), full())
				if err == nil || !strings.Contains(err.Error(), fmt.Sprint("status ", c.status)) {
					t.Fatalf("error %v, want one with the status", err)
				}
				if strings.Contains(err.Error(), "hunter2") {
					t.Errorf("error %v tells a secret that the receiver repeated", err)
				}
				if got := errors.Is(err, notify.ErrRefused); got != c.final {
					t.Errorf("refused: %v, want %v", got, c.final)
				}
				if got := errors.Is(err, notify.ErrUnwelcome); got != c.person {
					t.Errorf("unwelcome: %v, want %v", got, c.person)
				}
				after := time.Duration(0)
				if busy, ok := errors.AsType[*notify.Busy](err); ok {
					after = busy.After
				}
				if after != c.after {
					t.Errorf("again after %s, want %s", after, c.after)
				}
			})
		}
	}
}

// channelsAt makes each channel that posts, with secrets that hold hunter2.
func channelsAt(t *testing.T) map[string]func(url string) notify.Channel {
	t.Helper()
	return map[string]func(string) notify.Channel{
		"webhook": func(at string) notify.Channel { return named(t, "w", at+"/path-hunter2?token=hunter2-token") },
		"slack": func(at string) notify.Channel {
			c, err := notify.NewSlack(notify.SlackConfig{Name: "s", URL: at + "/services/T0/B0/hunter2hunter2"})
			return made[notify.Channel](t, c, err)
		},
		"pagerduty": func(at string) notify.Channel {
			c, err := notify.NewPagerDuty(notify.PagerDutyConfig{Name: "p", URL: at + "/v2/enqueue", RoutingKey: "hunter2hunter2hunter2hunter2hunte"})
			return made[notify.Channel](t, c, err)
		},
		"alertmanager": func(at string) notify.Channel {
			c, err := notify.NewAlertmanager(notify.AlertmanagerConfig{Name: "a", URL: at + "/hunter2-prefix", Token: "hunter2-token"})
			return made[notify.Channel](t, c, err)
		},
	}
}

func made[C any](t *testing.T, c C, err error) C {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestChannelsFollowNoRedirect: a redirect would carry the finding, and the key,
// to where nobody configured.
func TestChannelsFollowNoRedirect(t *testing.T) {
	for name, channel := range channelsAt(t) {
		t.Run(name, func(t *testing.T) {
			elsewhere := newReceiver(t, 200)
			redirecting := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
			t.Cleanup(redirecting.Close)
			if err := channel(redirecting.URL).Deliver(t.Context(), full()); err == nil || !strings.Contains(err.Error(), "status 307") {
				t.Errorf("error %v, want status 307", err)
			}
			if got := elsewhere.got(); len(got) != 0 {
				t.Errorf("the finding went where the redirect pointed: %v", got)
			}
		})
	}
}

func TestSlackMessageIsValidAndHarmless(t *testing.T) {
	type text struct{ Type, Text string }
	type message struct {
		Text   string
		Blocks []struct {
			Type     string
			Text     *text
			Fields   []text
			Elements []text
		}
	}
	limits := map[string]int{"header": 150, "section": 3000}
	server := newAPI(t, "/services/T0/B0/xyz", 200, func(_ *http.Request, m message) error {
		if m.Text == "" || len(m.Blocks) == 0 || len(m.Blocks) > 50 {
			return errors.New("no_text")
		}
		for _, b := range m.Blocks {
			texts := append(b.Fields, b.Elements...)
			if b.Text != nil {
				texts = append(texts, *b.Text)
			}
			if len(texts) == 0 || len(b.Fields) > 10 || b.Type == "header" && b.Text.Type != "plain_text" {
				return errors.New("invalid_blocks")
			}
			for _, x := range texts {
				limit := limits[b.Type]
				if b.Type != "header" && x != (text{}) && (b.Text == nil || x != *b.Text) {
					limit = 2000
				}
				if x.Text == "" || len(x.Text) > limit || x.Type != "plain_text" && x.Type != "mrkdwn" {
					return fmt.Errorf("invalid_blocks: %+v", x)
				}
				if x.Type == "mrkdwn" && (strings.Contains(x.Text, "<!") || strings.Contains(x.Text, "evil.example")) {
					return fmt.Errorf("a mention or a link of somebody else's: %s", x.Text)
				}
			}
		}
		return nil
	})
	s, err := notify.NewSlack(notify.SlackConfig{Name: "ops", URL: server.URL + "/services/T0/B0/xyz"})
	if err != nil {
		t.Fatal(err)
	}
	try := alert(2)
	try.Test = true
	for _, a := range []schemas.Alert{full(), withdrawn(full()), alert(1), try} {
		if err := s.Deliver(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	got := server.all()
	if !strings.Contains(got[0].Text, "finding1") || strings.Contains(got[0].Text, "<") || !strings.Contains(got[0].Text, "&lt;!channel&gt; &amp;") {
		t.Errorf("text %q, want the finding's id and no mention", got[0].Text)
	}
	if foot := got[0].Blocks[len(got[0].Blocks)-1].Elements[0].Text; !strings.Contains(foot, "<https://m2mwatch.example/v1/findings/finding1|") {
		t.Errorf("foot %q, want the link", foot)
	}
	if !strings.HasPrefix(got[1].Text, "Withdrawn: ") || !strings.HasPrefix(got[3].Text, "TEST") {
		t.Errorf("texts %q and %q, want them marked", got[1].Text, got[3].Text)
	}
}

type pagerDutyEvent struct {
	RoutingKey  string `json:"routing_key"`
	EventAction string `json:"event_action"`
	DedupKey    string `json:"dedup_key"`
	Links       []struct{ Href, Text string }
	Payload     *struct {
		Summary, Source, Severity, Timestamp, Class string
		CustomDetails                               map[string]any `json:"custom_details"`
	}
}

func TestPagerDutyTriggersAndResolvesByTheFinding(t *testing.T) {
	const key = "0123456789abcdef0123456789abcdef"
	server := newAPI(t, "/v2/enqueue", http.StatusAccepted, func(_ *http.Request, e pagerDutyEvent) error {
		p := e.Payload
		switch {
		case e.RoutingKey != key:
			return errors.New("Length of 'routing_key' is incorrect (should be 32 characters)")
		case len(e.DedupKey) > 255 || e.EventAction != "trigger" && e.EventAction != "resolve":
			return errors.New("Event object is invalid")
		case e.EventAction == "resolve" && e.DedupKey == "":
			return errors.New("'dedup_key' is missing or blank")
		case e.EventAction == "trigger" && (p == nil || p.Summary == "" || len(p.Summary) > 1024):
			return errors.New("'payload.summary' is missing or blank")
		case e.EventAction == "trigger" && p.Source == "":
			return errors.New("'payload.source' is missing or blank")
		case e.EventAction == "trigger" && !slices.Contains([]string{"critical", "error", "warning", "info"}, p.Severity):
			return errors.New("'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')")
		}
		for _, l := range e.Links {
			if u, err := url.Parse(l.Href); err != nil || u.Host == "" {
				return errors.New("'links' is invalid")
			}
		}
		return nil
	})
	p, err := notify.NewPagerDuty(notify.PagerDutyConfig{Name: "oncall", URL: server.URL + "/v2/enqueue", RoutingKey: key})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []schemas.Alert{full(), withdrawn(full())} {
		if err := p.Deliver(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	for level, severity := range map[schemas.Level]string{"critical": "critical", "high": "error", "medium": "warning", "low": "info", "informational": "info"} {
		a := alert(2)
		a.Finding.Level = level
		if err := p.Deliver(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if got := server.all(); got[len(got)-1].Payload.Severity != severity {
			t.Errorf("%s is %s, want %s", level, got[len(got)-1].Payload.Severity, severity)
		}
	}
	if err := p.Deliver(t.Context(), schemas.SummaryAlert(schemas.Summary{ID: "summary/oncall/20260501T1200Z", From: windowStart, To: windowStart.Add(schemas.SummaryWindow), Findings: 3})); err != nil {
		t.Errorf("a summary, which is of no tenant: %v", err)
	}
	before := len(server.all())
	if err := p.Deliver(t.Context(), schemas.SummaryAlert(schemas.Summary{ID: "summary/oncall/20260501T1210Z", Ended: 3})); err != nil || len(server.all()) != before {
		t.Errorf("%v, %d events: want nobody woken by what is over", err, len(server.all())-before)
	}
	got := server.all()
	if got[0].EventAction != "trigger" || got[0].DedupKey != "finding1" || got[0].Payload.Class != "MI-02" || len(got[0].Links) != 1 || got[0].Payload.CustomDetails["Look closer"] == "" {
		t.Errorf("opened by %+v", got[0])
	}
	if got[1].EventAction != "resolve" || got[1].DedupKey != "finding1" {
		t.Errorf("closed by %+v", got[1])
	}
}

func TestPagerDutyRefusesAWrongKeyAndDoesNotTellIt(t *testing.T) {
	server := newAPI(t, "/v2/enqueue", http.StatusAccepted, func(_ *http.Request, e pagerDutyEvent) error {
		return fmt.Errorf("no service has the key %s", e.RoutingKey)
	})
	p, err := notify.NewPagerDuty(notify.PagerDutyConfig{Name: "oncall", URL: server.URL + "/v2/enqueue", RoutingKey: "R0UTING-KEY"})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Deliver(t.Context(), full())
	if !errors.Is(err, notify.ErrRefused) || strings.Contains(err.Error(), "R0UTING") || !strings.Contains(err.Error(), "no service has the key <secret>") {
		t.Errorf("error %v, want what the receiver says without the key", err)
	}
	if _, err := notify.NewPagerDuty(notify.PagerDutyConfig{Name: "oncall", URL: "ftp://x"}); err == nil || !strings.Contains(err.Error(), "url") || !strings.Contains(err.Error(), "routing key") {
		t.Errorf("error %v, want both problems", err)
	}
}

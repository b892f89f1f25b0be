package notify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor/notify"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// ledger keeps what was recorded.
type ledger struct {
	mu   sync.Mutex
	rows []schemas.Delivery
	fail int // so many inserts fail
}

func (l *ledger) InsertDelivery(_ context.Context, d schemas.Delivery) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail > 0 {
		l.fail--
		return errors.New("connection refused")
	}
	l.rows = append(l.rows, d)
	return nil
}

// over are the recorded attempts of a channel behind which there is no other.
func (l *ledger) over(channel string, kinds ...schemas.AlertKind) map[string]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := map[string]time.Time{}
	for _, d := range l.rows {
		if d.Channel == channel && slices.Contains(kinds, d.Kind) && (d.OK || strings.HasPrefix(d.Error, schemas.DeliveryRefused)) {
			ids[d.AlertID] = d.Time
		}
	}
	return ids
}

func (l *ledger) Pages(_ context.Context, channel, except string, since time.Time) (n uint64, err error) {
	for id, at := range l.over(channel, schemas.AlertPage) {
		if id != except && at.After(since) {
			n++
		}
	}
	return n, nil
}

func (l *ledger) Told(_ context.Context, channel, tenant, findingID string) (told schemas.Told, err error) {
	for _, d := range l.all() {
		if d.Channel != channel || d.Tenant != tenant || !strings.HasPrefix(d.AlertID, findingID+"/") {
			continue
		}
		refused := strings.HasPrefix(d.Error, schemas.DeliveryRefused)
		switch a := (schemas.Alert{ID: d.AlertID}); {
		case d.Kind == schemas.AlertPage:
			told.Paged, told.Summarised = told.Paged || d.OK, told.Summarised || d.Summary != ""
			if d.OK && !slices.Contains(told.Levels, d.Level) {
				told.Levels = append(told.Levels, d.Level)
			}
		case d.Kind == schemas.AlertEnd && (d.OK || refused || d.Summary != ""):
			told.Ended = max(told.Ended, a.N())
		}
	}
	return told, nil
}

func (l *ledger) Delivered(_ context.Context, channel, _, alertID string) (bool, error) {
	_, ok := l.over(channel, schemas.AlertPage, schemas.AlertEnd, schemas.AlertSummary, schemas.AlertDigest)[alertID]
	return ok, nil
}

func (l *ledger) Summaries(_ context.Context, channel string, at time.Time) ([]schemas.Summary, error) {
	had, due := l.over(channel, schemas.AlertSummary), map[string]*schemas.Summary{}
	for _, d := range l.all() {
		from := d.Time.Truncate(schemas.SummaryWindow)
		if _, ok := had[d.Summary]; ok || d.Channel != channel || d.Summary == "" || !from.Before(at.Truncate(schemas.SummaryWindow)) {
			continue
		}
		if due[d.Summary] == nil {
			due[d.Summary] = &schemas.Summary{ID: d.Summary, From: from, To: from.Add(schemas.SummaryWindow)}
		}
		if d.Kind == schemas.AlertPage {
			due[d.Summary].Findings++
		} else {
			due[d.Summary].Ended++
		}
	}
	var list []schemas.Summary
	for _, id := range slices.Sorted(maps.Keys(due)) {
		list = append(list, *due[id])
	}
	return list, nil
}

func (l *ledger) all() []schemas.Delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.rows)
}

// receiver is a server that answers with the given statuses, the last of them
// for ever, and keeps the ids it was sent.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	ids      []string
	bodies   []string
	headers  []http.Header
}

func newReceiver(t *testing.T, statuses ...int) *receiver {
	t.Helper()
	r := &receiver{statuses: statuses}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, req.Header.Get("webhook-id"))
	r.bodies = append(r.bodies, string(body))
	r.headers = append(r.headers, req.Header)
	status := r.statuses[0]
	if len(r.statuses) > 1 {
		r.statuses = r.statuses[1:]
	}
	w.WriteHeader(status)
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids)
}

func webhook(t *testing.T, url string) *notify.Webhook {
	t.Helper()
	w, err := notify.NewWebhook(notify.WebhookConfig{URL: url, Secrets: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func alert(n int) schemas.Alert {
	at := time.Date(2026, 4, 14, 12, 0, 0, 0, time.UTC)
	return schemas.Alert{ID: fmt.Sprintf("finding%d/open/1", n), Finding: schemas.Finding{
		ID: fmt.Sprintf("finding%d", n), Tenant: "acme", Key: "c", State: schemas.StateOpen, Level: schemas.LevelHigh, First: at, Last: at, Count: 3,
	}}
}

func publish(t *testing.T, broker *natstest.Harness, alerts ...schemas.Alert) {
	t.Helper()
	p := broker.Publisher(t)
	for _, a := range alerts {
		if err := p.PublishAlert(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
}

// lanes opens the queues of channels.
func lanes(t *testing.T, broker *natstest.Harness, channels ...notify.Channel) []notify.Lane {
	t.Helper()
	var all []notify.Lane
	for _, c := range channels {
		queue, err := broker.Outbox(t).Open(t.Context(), c.Name())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, notify.Lane{Channel: c, Queue: queue})
	}
	return all
}

// to is a configuration that delivers to channels.
func to(t *testing.T, broker *natstest.Harness, rows *ledger, channels ...notify.Channel) notify.Config {
	t.Helper()
	return notify.Config{Source: broker.Alerts(t), Outbox: broker.Outbox(t), Deliveries: rows, Lanes: lanes(t, broker, channels...)}
}

func start(t *testing.T, cfg notify.Config) (stop func()) {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	n, err := notify.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func empty(t *testing.T, broker *natstest.Harness) {
	t.Helper()
	natstest.Eventually(t, "ALERTS is empty", func() bool {
		b, err := broker.Conn.Backlog(t.Context())
		return err == nil && b.Alerts == 0
	})
}

func TestFailedDeliveryIsTriedAgainUntilItSucceeds(t *testing.T) {
	t.Parallel()
	broker, rows, r := natstest.New(t), &ledger{}, newReceiver(t, 500, 302, 204)
	publish(t, broker, alert(1))
	start(t, to(t, broker, rows, webhook(t, r.URL)))
	empty(t, broker)
	if diff := cmp.Diff([]string{"finding1/open/1", "finding1/open/1", "finding1/open/1"}, r.got()); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	want := []schemas.Delivery{
		{AlertID: "finding1/open/1", Tenant: "acme", Kind: schemas.AlertPage, Level: schemas.LevelHigh, Channel: "webhook", Attempt: 1, Error: "post to " + r.URL + ": status 500"},
		{AlertID: "finding1/open/1", Tenant: "acme", Kind: schemas.AlertPage, Level: schemas.LevelHigh, Channel: "webhook", Attempt: 2, Error: "post to " + r.URL + ": status 302: the receiver does not take it"},
		{AlertID: "finding1/open/1", Tenant: "acme", Kind: schemas.AlertPage, Level: schemas.LevelHigh, Channel: "webhook", Attempt: 3, OK: true},
	}
	if diff := cmp.Diff(want, rows.all(), cmpopts.IgnoreFields(schemas.Delivery{}, "Time")); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestGoneReceiverIsRecordedAndGivenUp(t *testing.T) {
	t.Parallel()
	broker, rows, r := natstest.New(t), &ledger{}, newReceiver(t, http.StatusGone)
	publish(t, broker, alert(1))
	start(t, to(t, broker, rows, webhook(t, r.URL)))
	empty(t, broker)
	if got := rows.all(); len(got) != 1 || got[0].OK || !strings.Contains(got[0].Error, "410") {
		t.Errorf("records %+v, want one failure with 410", got)
	}
	if got := r.got(); len(got) != 1 {
		t.Errorf("requests %v, want one", got)
	}
}

func TestAlertWithoutChannelIsRecordedAndDone(t *testing.T) {
	t.Parallel()
	broker, rows := natstest.New(t), &ledger{fail: 1}
	publish(t, broker, alert(1))
	start(t, notify.Config{Source: broker.Alerts(t), Deliveries: rows})
	empty(t, broker)
	want := []schemas.Delivery{{AlertID: "finding1/open/1", Tenant: "acme", Kind: schemas.AlertPage, Level: schemas.LevelHigh, Attempt: 2, Error: "no channel is configured"}}
	if diff := cmp.Diff(want, rows.all(), cmpopts.IgnoreFields(schemas.Delivery{}, "Time")); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestAlertThatCouldNotBeRecordedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"delivered": 200, "given up": 410} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker, rows, r := natstest.New(t), &ledger{fail: 2}, newReceiver(t, status)
			publish(t, broker, alert(1))
			start(t, to(t, broker, rows, webhook(t, r.URL)))
			empty(t, broker)
			if got := r.got(); len(got) != 1 {
				t.Errorf("requests %v, want one", got)
			}
			if got := rows.all(); len(got) != 1 || got[0].OK != (status == 200) || got[0].Attempt != 1 {
				t.Errorf("records %+v, want one, of the attempt that was sent", got)
			}
		})
	}
}

func TestOneFailingChannelDoesNotRepeatTheOther(t *testing.T) {
	t.Parallel()
	broker, rows, good, bad := natstest.New(t), &ledger{}, newReceiver(t, 200), newReceiver(t, 503, 200)
	first, second := webhook(t, good.URL), named(t, "second", bad.URL)
	publish(t, broker, alert(1))
	start(t, to(t, broker, rows, first, second))
	empty(t, broker)
	if len(good.got()) != 1 || len(bad.got()) != 2 {
		t.Errorf("the good channel got %v and the failing one %v, want one and two requests", good.got(), bad.got())
	}
}

func named(t *testing.T, name, url string) *notify.Webhook {
	t.Helper()
	w, err := notify.NewWebhook(notify.WebhookConfig{Name: name, URL: url, Secrets: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A process that ends behind the sending and before the ack leaves the alert to
// the next, which sends it under the same id.
func TestCrashBehindTheSendingRepeatsTheSameID(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"alert_sent", "delivery_recorded"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			limits := natstest.Limits()
			limits.AckWait = time.Second
			broker, rows, r := natstest.New(t, natstest.WithLimits(limits)), &ledger{}, newReceiver(t, 200)
			publish(t, broker, alert(1))
			crashed := make(chan struct{})
			cfg := to(t, broker, rows, webhook(t, r.URL))
			cfg.At = func(p string) {
				if p == point {
					close(crashed)
					select {} // this process does nothing any more
				}
			}
			n, err := notify.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			go func() { _ = n.Run(ctx) }()
			<-crashed
			cancel()
			start(t, to(t, broker, rows, webhook(t, r.URL)))
			empty(t, broker)
			if diff := cmp.Diff([]string{"finding1/open/1", "finding1/open/1"}, r.got()); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
		})
	}
}

// slow is a channel that delivers nothing until it is let go.
type slow struct {
	entered chan string
	free    chan struct{}
}

func (s *slow) Name() string { return "slow" }

func (s *slow) Deliver(ctx context.Context, a schemas.Alert) error {
	s.entered <- a.ID
	select {
	case <-s.free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestChannelThatHangsHoldsNoOther(t *testing.T) {
	t.Parallel()
	broker, rows, r := natstest.New(t), &ledger{}, newReceiver(t, 200)
	hangs := &slow{entered: make(chan string), free: make(chan struct{})}
	publish(t, broker, alert(1), alert(2), alert(3))
	start(t, to(t, broker, rows, hangs, webhook(t, r.URL)))
	<-hangs.entered
	natstest.Eventually(t, "the other has all", func() bool { return len(r.got()) == 3 })
	// Its last alert is acknowledged a moment after it was received.
	natstest.Eventually(t, "only the channel that hangs has alerts waiting", func() bool {
		return maps.Equal(map[string]uint64{"slow": 3}, waiting(t, broker))
	})
	close(hangs.free)
	for range 2 {
		<-hangs.entered
	}
	empty(t, broker)
}

// waiting is how many alerts wait for which channel.
func waiting(t *testing.T, broker *natstest.Harness) map[string]uint64 {
	t.Helper()
	b, err := broker.Conn.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b.Waiting
}

// A channel hears of a finding's changes in their order, whatever fails.
func TestAlertsOfOneChannelKeepTheirOrder(t *testing.T) {
	t.Parallel()
	broker, rows, r := natstest.New(t), &ledger{}, newReceiver(t, 503, 200)
	withdrawn := alert(1)
	withdrawn.ID, withdrawn.Finding.State = "finding1/withdrawn/2", schemas.StateWithdrawn
	publish(t, broker, alert(1), withdrawn)
	start(t, to(t, broker, rows, webhook(t, r.URL)))
	empty(t, broker)
	if diff := cmp.Diff([]string{"finding1/open/1", "finding1/open/1", "finding1/withdrawn/2"}, r.got()); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
}

func TestStoppingLeavesTheAlertToTheNextWithoutAFailure(t *testing.T) {
	t.Parallel()
	broker, rows := natstest.New(t), &ledger{}
	channel := &slow{entered: make(chan string), free: make(chan struct{})}
	publish(t, broker, alert(1))
	stop := start(t, to(t, broker, rows, channel))
	<-channel.entered
	stop()
	if got := rows.all(); len(got) != 0 {
		t.Errorf("records %+v, want none: nothing failed", got)
	}
	r := newReceiver(t, 200)
	start(t, to(t, broker, rows, named(t, "slow", r.URL)))
	empty(t, broker)
	if diff := cmp.Diff([]string{"finding1/open/1"}, r.got()); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
}

func TestConfigSaysEverythingThatIsWrong(t *testing.T) {
	w := named(t, "same", "http://127.0.0.1")
	_, err := notify.New(notify.Config{Lanes: []notify.Lane{{Channel: w}, {Channel: w}}, Routes: []notify.Route{{Channels: []string{"other"}}}})
	for _, want := range []string{"source", "record", "outbox", "want a queue", `"same"`, `"other"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to name %s", err, want)
		}
	}
}

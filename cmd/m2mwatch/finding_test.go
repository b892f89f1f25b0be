package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hook is a receiver of alerts that checks each signature by itself.
type hook struct {
	server *httptest.Server
	key    []byte
	mu     sync.Mutex // guards all below
	types  map[string][]string
	bad    []string
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{key: []byte("0123456789abcdef0123456789abcdef"), types: map[string][]string{}}
	h.server = httptest.NewServer(http.HandlerFunc(h.receive))
	t.Cleanup(h.server.Close)
	return h
}

// env is what makes an instance send its alerts here.
func (h *hook) env() []string {
	return []string{
		"M2MWATCH_NOTIFY_WEBHOOK_URL=" + h.server.URL + "/alerts",
		"M2MWATCH_NOTIFY_WEBHOOK_SECRET=whsec_" + base64.StdEncoding.EncodeToString(h.key),
	}
}

func (h *hook) receive(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	id, at := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
	mac := hmac.New(sha256.New, h.key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	var alert struct{ Type string }
	err := json.Unmarshal(body, &alert)

	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || r.Header.Get("webhook-signature") != want {
		h.bad = append(h.bad, fmt.Sprint(id, err))
	}
	h.types[id] = append(h.types[id], alert.Type)
}

// alerts returns the ids received, with the type of each, however often each
// came.
func (h *hook) alerts(t *testing.T) map[string]string {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.bad) > 0 {
		t.Errorf("alerts with a wrong signature: %q", h.bad)
	}
	out := map[string]string{}
	for id, types := range h.types {
		out[id] = types[0]
	}
	return out
}

const storyClient = "client-of-the-story"

// story is a client that works for three days and then stops: its records, the
// rotation of its secret among them.
func story() (records []string) {
	n := 0
	add := func(at time.Time, kind, network string) {
		n++
		_, raw := record(n, at, kind, storyClient, network)
		records = append(records, raw)
	}
	for k := range 288 {
		add(epoch.Add(time.Duration(k)*15*time.Minute), "seccft", "192.0.2")
	}
	stop := epoch.Add(288 * 15 * time.Minute)
	records = append(records, fmt.Sprintf(`{"log_id":"900%s%036d","data":{"date":%q,"type":"sapi","client_id":"dashboard","details":{"request":{"method":"post","path":"/api/v2/clients/%s/rotate-secret","channel":"https://manage.auth0.com/"},"response":{"body":{"client_secret":"must-not-be-stored"}}}}}`,
		stop.Format("20060102150405"), 1, stop.Add(-time.Minute).Format(time.RFC3339), storyClient))
	for k := range 5 {
		add(stop.Add(time.Duration(k)*time.Minute), "feccft", "192.0.2")
	}
	for k := range 40 { // somebody else tries the same id
		add(stop.Add(time.Duration(k)*time.Second), "feccft", "203.0.113")
	}
	return records
}

type findingView struct {
	ID, State, Level, Identity, Key, Tenant string
	RuleID                                  string `json:"rule_id"`
	Count                                   int
	First, Last                             time.Time
	Evidence                                struct {
		Networks []string
		Related  []struct{ Title string }
	}
}

func (i *instance) findings() []findingView {
	i.tb.Helper()
	var page struct{ Findings []findingView }
	i.mustGet("/v1/findings?tenant=acme", &page)
	return page.Findings
}

// checkStory returns what is found of the client that stops. Of the story there is
// one more finding, of who tries its id, and no other.
func checkStory(t *testing.T, found []findingView) findingView {
	t.Helper()
	stop := epoch.Add(288 * 15 * time.Minute)
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprint(f.RuleID, f.State, f.Level, f.Identity, f.Key, f.Count, f.Evidence.Networks, len(f.Evidence.Related), f.First.Sub(stop), f.Last.Sub(stop)))
	}
	want := []string{ // the last active first
		fmt.Sprint("MI-02", "open", "high", "app:"+storyClient, storyClient, 5, []string{"192.0.2.0/24"}, 1, time.Duration(0), 4*time.Minute),
		// All of it comes long after it happened.
		fmt.Sprint("MI-37-late", "open", "medium", "", "acme", 46, []string{"192.0.2.0/24", "203.0.113.0/24"}, 0, -time.Minute, 4*time.Minute),
		fmt.Sprint("MI-04-real", "open", "low", "", "203.0.113.0/24", 40, []string{"203.0.113.0/24"}, 0, time.Duration(0), 39*time.Second),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("the story's findings (-want +got):\n%s", diff)
	}
	return found[0]
}

// TestWorkingClientThatStopsIsFoundAndSent follows one story from the webhook
// to a signed alert, in order, then shuffled and repeated on another store, and
// takes it back with a late success.
func TestWorkingClientThatStopsIsFoundAndSent(t *testing.T) {
	h := newHook(t)
	data := filepath.Join(t.TempDir(), "data")
	i := startUp(t, data, h.env()...)
	records := story()
	i.postAll(records)
	i.settle()
	found := i.findings()
	stopped := checkStory(t, found)
	i.eventually("the alert", func() error {
		if got := h.alerts(t); got[stopped.ID+"/open/1"] != "finding.open" {
			return fmt.Errorf("received %v", got)
		}
		return nil
	})

	var rotation struct {
		Events []struct {
			LogID     string `json:"log_id"`
			RawMasked bool   `json:"raw_masked"`
		}
	}
	i.mustGet("/v1/events?tenant=acme&type=sapi", &rotation)
	if len(rotation.Events) != 1 || !rotation.Events[0].RawMasked {
		t.Fatalf("the rotation is not marked as masked: %+v", rotation)
	}
	var raw struct{ Raw json.RawMessage }
	i.mustGet("/v1/events/acme/"+rotation.Events[0].LogID, &raw)
	if text := string(raw.Raw); strings.Contains(text, "must-not-be-stored") || !strings.Contains(text, `"client_secret":"***"`) {
		t.Errorf("the new secret was kept: %s", text)
	}

	other := startUp(t, filepath.Join(t.TempDir(), "data"))
	shuffled := append(append([]string{}, records...), records...)
	random := rand.New(rand.NewPCG(3, 4))
	random.Shuffle(len(shuffled), func(a, b int) { shuffled[a], shuffled[b] = shuffled[b], shuffled[a] })
	other.postAll(shuffled)
	other.settle()
	if diff := cmp.Diff(found, other.findings()); diff != "" {
		t.Errorf("shuffled and repeated delivery gives other findings (-live +shuffled):\n%s", diff)
	}
	other.interrupt()

	// Two successes that arrive late break the streak: no three in a row.
	stop := epoch.Add(288 * 15 * time.Minute)
	_, a := record(1001, stop.Add(90*time.Second), "seccft", storyClient, "192.0.2")
	_, b := record(1002, stop.Add(210*time.Second), "seccft", storyClient, "192.0.2")
	i.postAll([]string{a, b})
	i.settle()
	for _, f := range i.findings() {
		if withdrawn := f.State == "withdrawn"; withdrawn != (f.ID == stopped.ID) {
			t.Errorf("after late successes: %+v, want that of the client withdrawn and no other", f)
		}
	}
	shown, err := exec.Command(programPath(t), "findings", "show", stopped.ID, "--data", data).CombinedOutput()
	for _, want := range []string{"open, with 5 events; page\n", "withdrawn by events that came late; it had 5 events\n"} {
		if err != nil || !strings.Contains(string(shown), want) {
			t.Errorf("%v, its history is shown as\n%s\nwant a line with %q", err, shown, want)
		}
	}
	i.eventually("the withdrawal", func() error {
		if got := h.alerts(t); got[stopped.ID+"/withdrawn/2"] != "finding.withdrawn" {
			return fmt.Errorf("received %v", got)
		}
		return nil
	})
	i.interrupt()
}

func (i *instance) postAll(records []string) {
	i.tb.Helper()
	for batch := 0; batch < len(records); batch += 25 {
		body := lines(records[batch:min(batch+25, len(records))]...)
		if status, _, dead := i.post(body); status != http.StatusOK || dead != 0 {
			i.tb.Fatalf("got %d, %d dead", status, dead)
		}
	}
}

// TestKillBetweenFindingAndAlertLosesNeither ends the process at each line
// between two durable steps of a finding's way, and wants the finding once and
// its alert with one id.
func TestKillBetweenFindingAndAlertLosesNeither(t *testing.T) {
	for _, point := range []string{"correlator.alert_published:1", "correlator.history_written:1", "correlator.findings_written:1", "correlator.touches_marked:1", "notify.alert_queued:1", "notify.alert_routed:1", "notify.alert_sent:1", "notify.delivery_recorded:1", "notify.alert_acked:1"} {
		t.Run(strings.TrimSuffix(point, ":1"), func(t *testing.T) {
			h := newHook(t)
			data := filepath.Join(t.TempDir(), "data")
			i := startUp(t, data, append(h.env(), "M2MWATCH_KILL_AT="+point)...)
			l := newLoad()
			for _, r := range chunk(story(), 25) {
				if status, _, _ := i.post(lines(r...)); status != http.StatusOK {
					l.unacked = append(l.unacked, lines(r...))
				}
			}
			i.awaitExit()
			i = startUp(t, data, h.env()...)
			for _, body := range l.unacked {
				if status, _, _ := i.post(body); status != http.StatusOK {
					t.Fatalf("got %d", status)
				}
			}
			i.settle()
			found := i.findings()
			checkStory(t, found)
			want := map[string]string{} // a low one is told to nobody
			for _, f := range found {
				if f.Level != "low" {
					want[f.ID+"/open/1"] = "finding.open"
				}
			}
			i.eventually("the alert and no other", func() error {
				if diff := cmp.Diff(want, h.alerts(t)); diff != "" {
					return fmt.Errorf("alerts (-want +got):\n%s", diff)
				}
				return nil
			})
			i.interrupt()
		})
	}
}

func chunk(records []string, n int) (out [][]string) {
	for len(records) > n {
		out, records = append(out, records[:n]), records[n:]
	}
	return append(out, records)
}

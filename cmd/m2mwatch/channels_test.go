package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// pager stands for PagerDuty and keeps what it was told, by dedup key.
type pager struct {
	server *httptest.Server
	mu     sync.Mutex // guards told
	told   map[string][]string
}

func newPager(t *testing.T, l net.Listener) *pager {
	t.Helper()
	p := &pager{told: map[string][]string{}}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct {
			Action string `json:"event_action"`
			Key    string `json:"dedup_key"`
		}
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		p.mu.Lock()
		p.told[e.Key] = append(p.told[e.Key], e.Action)
		p.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(`{"status":"success","message":"Event processed"}`))
	}))
	if l != nil {
		p.server.Listener = l
	}
	p.server.Start()
	t.Cleanup(p.server.Close)
	return p
}

func (p *pager) of(key string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.told[key]...)
}

// TestDeadChannelHoldsNoOtherAndLosesNothing: one channel is away while the other
// is told, is away over a kill, and is told when it is back.
func TestDeadChannelHoldsNoOtherAndLosesNothing(t *testing.T) {
	h := newHook(t)
	address := freeAddress(t)
	env := append(h.env(), fmt.Sprintf(`M2MWATCH_NOTIFY_CHANNELS=[{name: oncall, type: pagerduty, url: "http://%s/v2/enqueue", routing_key: 0123456789abcdef0123456789abcdef}]`, address))
	data := filepath.Join(t.TempDir(), "data")
	i := startUp(t, data, env...)
	i.postAll(story())
	i.settle()
	stopped := checkStory(t, i.findings())
	i.eventually("the alert at the channel that is there", func() error {
		if got := h.alerts(t); got[stopped.ID+"/open/1"] != "finding.open" {
			return fmt.Errorf("received %v", got)
		}
		return nil
	})
	i.eventually("the metric of the one that is not", func() error {
		if got := i.metric(`m2mwatch_notify_channel_failing{channel="oncall"}`); got != 1 {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
	for command, want := range map[string]string{
		"notify list": "oncall   pagerduty  failing  2 ", "status": "FAILING since ", "doctor": "channel oncall does not take alerts, and 2 wait: post to http://" + address,
	} {
		out, _ := exec.Command(programPath(t), append(strings.Fields(command), "--data", data)...).CombinedOutput()
		if !strings.Contains(string(out), want) {
			t.Errorf("%s tells\n%s\nwant %q", command, out, want)
		}
	}
	i.kill()

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := newPager(t, l)
	i = startUp(t, data, env...)
	i.eventually("the alert at the channel that was away", func() error {
		if got := p.of(stopped.ID); len(got) == 0 || got[0] != "trigger" {
			return fmt.Errorf("told %v", got)
		}
		return nil
	})
	i.eventually("a channel that is well", func() error {
		var status struct {
			Alerts   int
			Channels []schemas.ChannelView
		}
		i.mustGet("/v1/status", &status)
		for _, c := range status.Channels {
			if c.Health != schemas.ChannelOK || *c.Waiting != 0 || c.Delivered != 2 {
				return fmt.Errorf("%+v", c)
			}
		}
		if status.Alerts != 0 || len(status.Channels) != 2 {
			return fmt.Errorf("%+v", status)
		}
		return nil
	})
	i.interrupt()
}

// TestNotifyTestPrintsWhatTheChannelAnswers runs the command against each kind.
func TestNotifyTestPrintsWhatTheChannelAnswers(t *testing.T) {
	var mu sync.Mutex
	got := map[string][]string{} // bodies, by path
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		got[r.URL.Path] = append(got[r.URL.Path], string(body))
		mu.Unlock()
		if r.URL.Path == "/refuses/hunter2-key" {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprintf(w, "here is %s", r.URL.Path)
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	file := filepath.Join(dir, "m2mwatch.yaml")
	text := strings.ReplaceAll(`
tenants: [{name: acme, secret_files: [nobody-may-read-this]}]
notify:
  channels:
    - {name: chat, type: slack, url: "URL/services/T0/B0/hunter2"}
    - {name: gone, type: slack, url: "URL/refuses/hunter2-key"}
    - {name: oncall, type: pagerduty, url: "URL/v2/enqueue", routing_key: 0123456789abcdef0123456789abcdef}
    - {name: am, type: alertmanager, url: "URL"}
    - {name: hook, type: webhook, url: "URL/hook", secret: whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz}
    - {name: siem, type: ocsf, output_file: findings.jsonl}
`, "URL", server.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path, body string
		requests   int
	}{
		"chat": {"/services/T0/B0/hunter2", "TEST", 1}, "oncall": {"/v2/enqueue", `"event_action":"resolve"`, 2},
		"am": {"/api/v2/alerts", `"test":"true"`, 2}, "hook": {"/hook", `"type":"finding.test"`, 1},
	} {
		var stdout, stderr bytes.Buffer
		code := run([]string{"m2mwatch", "notify", "test", name, "--config", file}, nil, nil, &stdout, &stderr)
		if code != exitOK || !strings.HasPrefix(stdout.String(), "200 OK here is /") || strings.Contains(stdout.String()+stderr.String(), "hunter2") {
			t.Errorf("%s: exit code %d: %s%s", name, code, &stdout, &stderr)
		}
		if bodies := got[c.path]; len(bodies) != c.requests || !strings.Contains(bodies[len(bodies)-1], c.body) {
			t.Errorf("%s was sent %q, want %d with %q in the last", name, bodies, c.requests, c.body)
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run([]string{"m2mwatch", "notify", "test", "siem", "--config", file}, nil, nil, &stdout, &stderr); code != exitOK {
		t.Errorf("siem: exit code %d: %s", code, &stderr)
	}
	if line, err := os.ReadFile(filepath.Join(dir, "findings.jsonl")); err != nil || !strings.Contains(string(line), `"labels":["test"]`) {
		t.Errorf("the file has %s, %v", line, err)
	}
	stdout.Reset()
	stderr.Reset()
	code := run([]string{"m2mwatch", "notify", "test", "gone", "--config", file, "--json"}, nil, nil, &stdout, &stderr)
	if code != exitError || !strings.Contains(stdout.String(), `"ok": false`) || !strings.Contains(stderr.String(), "status 404") || strings.Contains(stdout.String()+stderr.String(), "hunter2") {
		t.Errorf("gone: exit code %d: %s%s", code, &stdout, &stderr)
	}
	stderr.Reset()
	if code := run([]string{"m2mwatch", "notify", "test", "none", "--config", file}, nil, nil, &stdout, &stderr); code == exitOK || !strings.Contains(stderr.String(), "nobody-may-read-this") {
		t.Errorf("none: exit code %d: %s", code, &stderr)
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
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
	found := i.findings()
	checkStory(t, found)
	i.eventually("the alert at the channel that is there", func() error {
		if got := h.alerts(t); got[found[0].ID+"/open/1"] != "finding.open" {
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
	i.kill()

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := newPager(t, l)
	i = startUp(t, data, env...)
	i.eventually("the alert at the channel that was away", func() error {
		if got := p.of(found[0].ID); len(got) == 0 || got[0] != "trigger" {
			return fmt.Errorf("told %v", got)
		}
		return nil
	})
	i.interrupt()
}

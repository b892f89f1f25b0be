package auth0sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// flakyReceiver refuses, drops and loses: it keeps what it answers 2xx to, and
// what it keeps and then fails to answer.
type flakyReceiver struct {
	format Format

	mu    sync.Mutex // guards what follows
	posts int
	raws  [][]byte
}

func (f *flakyReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.posts++
	if err != nil || r.Header.Get("Authorization") != "Bearer s3" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch f.posts % 5 {
	case 1:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case 2:
		panic(http.ErrAbortHandler) // the connection drops before anything is stored
	}
	f.raws = append(f.raws, split(body, f.format)...)
	if f.posts%5 == 3 {
		panic(http.ErrAbortHandler) // and here after
	}
}

func split(body []byte, format Format) [][]byte {
	var raws [][]byte
	var list []json.RawMessage
	switch format {
	case FormatJSONArray:
		if json.Unmarshal(body, &list) != nil {
			return nil
		}
	case FormatJSONObject:
		var object struct{ Logs []json.RawMessage }
		if json.Unmarshal(body, &object) != nil {
			return nil
		}
		list = object.Logs
	default:
		return bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	}
	for _, raw := range list {
		raws = append(raws, raw)
	}
	return raws
}

func TestEveryLogIsDeliveredToAFlakyReceiver(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{FormatJSONLines, FormatJSONArray, FormatJSONObject} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			receiver := &flakyReceiver{format: format}
			srv := httptest.NewServer(receiver)
			defer srv.Close()
			tenant := New(Config{
				Seed: 4, Rate: 4000, Duplicates: 0.1, Reorder: 0.1,
				BatchInterval: 5 * time.Millisecond, RetryPause: time.Millisecond, RetryPauseMax: 4 * time.Millisecond,
			})
			tenant.AddLogStream(Stream{Endpoint: srv.URL, Authorization: "Bearer s3", Format: format})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			delivering := make(chan struct{})
			go func() { tenant.Run(ctx); close(delivering) }()

			acting, stop := context.WithTimeout(ctx, 400*time.Millisecond)
			defer stop()
			tenant.Live(acting)
			if err := tenant.Drain(ctx); err != nil {
				t.Fatal(err)
			}
			cancel()
			<-delivering
			checkDelivered(t, tenant, receiver.raws)
		})
	}
}

func checkDelivered(t *testing.T, tenant *Tenant, raws [][]byte) {
	t.Helper()
	times := make(map[string]int)
	ordered := true
	var last string
	for _, raw := range raws {
		id := decode(t, raw).LogID
		times[id]++
		ordered = ordered && last <= id
		last = id
	}
	d := tenant.Deliveries()
	if uint64(len(times)) != tenant.Sent() || d.Delivered != tenant.Sent() || len(times) < 500 {
		t.Errorf("sent %d, delivered %d, received %d distinct", tenant.Sent(), d.Delivered, len(times))
	}
	if d.Retries == 0 || d.Repeated == 0 || ordered || len(raws) <= len(times)+int(d.Repeated)/2 {
		t.Errorf("received %d, in order %v, counts %+v: want retries, repeats and disorder", len(raws), ordered, d)
	}
}

func TestRunEndsWhileTheReceiverIsAway(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Rate: 1000, BatchInterval: time.Millisecond, RetryPause: time.Hour})
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	tenant.AddLogStream(Stream{Endpoint: srv.URL})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { tenant.Run(ctx); close(ended) }()
	acting, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	tenant.Live(acting)
	cancel()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("Run did not end")
	}
	if err := tenant.Drain(ctx); err == nil {
		t.Error("drained although nothing was delivered")
	}
}

func TestLiveActsAtItsRateAndLeavesTheStoryAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tenant := New(Config{Seed: 6, Rate: 50})
		log := tap(tenant)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		tenant.Live(ctx)
		if got := tenant.Sent(); got < 4990 || got > 5000 {
			t.Errorf("%d events in 100 s, want about 5000", got)
		}
		types := make(map[string]int)
		logs := log.logs(t)
		for _, r := range logs {
			types[r.Type]++
			if r.ClientID != nil && *r.ClientID == tenant.Story().ClientID() && (r.Type == "seccft" || r.Type == "feccft") {
				t.Fatalf("story client has %s", r.Type)
			}
		}
		if types["seccft"] < 3500 || types["seacft"] == 0 || types["feccft"] == 0 || types["sapi"] == 0 {
			t.Errorf("types %v", types)
		}
		history := scan(t, tenant, 100_000)
		shift := logs[0].at.Sub(historyEnd)
		for i := range history {
			history[i].at = history[i].at.Add(shift)
		}
		if got := (outageRule{}).outages(append(history, logs...)); len(got) > 0 {
			t.Errorf("outages live: %v", got)
		}
	})
}

func TestStoryIsToldOverHTTP(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 9})
	log, base := tap(tenant), serve(t, tenant)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var told []string
	err := tenant.Story().Run(ctx, StoryConfig{
		BaseURL: base, Delay: 100 * time.Millisecond, Pause: time.Millisecond,
		OnStep: func(s Step) {
			told = append(told, fmt.Sprint(s.Kind, " ", s.Refusals))
			if s.Refusals == 9 {
				cancel()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"token 0", "rotated 0"}
	for i := 1; i <= 9; i++ {
		want = append(want, fmt.Sprint("refused ", i))
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	logs := log.logs(t)
	var types []string
	for _, r := range logs {
		types = append(types, r.Type)
	}
	if want := append([]string{"seccft", "sapi"}, slices.Repeat([]string{"feccft"}, 9)...); !slices.Equal(types, want) {
		t.Errorf("logged %v, want %v", types, want)
	}
	if got := (outageRule{anyRatio: true}).outages(logs); len(got) != 0 {
		t.Errorf("outage without a history of successes: %v", got)
	}
	history := scan(t, tenant, 20_000)
	shift := logs[0].at.Sub(historyEnd)
	for i := range history {
		history[i].at = history[i].at.Add(shift)
	}
	if got := (outageRule{}).outages(append(history, logs...)); !slices.Equal(got, []string{tenant.Story().ClientID()}) {
		t.Errorf("outages %v, want the story's", got)
	}
}

func TestStoryKeepsTheCadenceOfItsHistory(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 9})
	log, base := tap(tenant), serve(t, tenant)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := tenant.Story().Run(ctx, StoryConfig{
		BaseURL: base, LastToken: tenant.Story().LastToken(time.Now()), Delay: time.Millisecond,
		OnStep: func(s Step) {
			if s.Kind == StepRefused {
				cancel()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if logs := log.logs(t); len(logs) != 2 || logs[0].Type != "sapi" || logs[1].Type != "feccft" {
		t.Errorf("logged %+v, want the rotation and a refusal alone", logs)
	}
}

func TestStoryTellsOfATenantThatIsAway(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	if err := New(Config{}).Story().Run(t.Context(), StoryConfig{BaseURL: srv.URL}); err == nil {
		t.Error("no error")
	}
}

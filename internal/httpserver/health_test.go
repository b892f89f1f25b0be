package httpserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
)

type readiness struct {
	Ready  bool
	Checks []struct {
		Name  string
		OK    bool
		Error string
	}
}

func TestReadyzNamesTheCheckThatFails(t *testing.T) {
	e, logs, _ := newEcho(t)
	var broken atomic.Bool
	var h httpserver.Health
	h.Add("nats", func(context.Context) error { return nil })
	h.Add("clickhouse", func(context.Context) error {
		if broken.Load() {
			return errors.New("dial: refused")
		}
		return nil
	})
	h.Register(e)

	look := func() (int, readiness) {
		w := get(t, e, "/readyz")
		var r readiness
		if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		return w.Code, r
	}
	if code, r := look(); code != 200 || !r.Ready || len(r.Checks) != 2 {
		t.Errorf("%d %+v, want 200", code, r)
	}
	broken.Store(true)
	code, r := look()
	if code != 503 || r.Ready || len(r.Checks) != 2 {
		t.Fatalf("%d %+v, want 503", code, r)
	}
	if diff := cmp.Diff("dial: refused", r.Checks[1].Error); diff != "" || !r.Checks[0].OK || r.Checks[1].OK {
		t.Errorf("%+v", r)
	}
	if w := get(t, e, "/livez"); w.Code != 200 {
		t.Errorf("livez %d", w.Code)
	}
	for _, line := range logs.lines(t) {
		if line["level"] != "DEBUG" {
			t.Errorf("a probe made noise: %v", line)
		}
	}
}

func TestStuckCheckIsRunOnceAndBounded(t *testing.T) {
	e, _, _ := newEcho(t)
	release, runs := make(chan struct{}), atomic.Int32{}
	h := httpserver.Health{Timeout: 10 * time.Millisecond}
	h.Add("stuck", func(context.Context) error {
		runs.Add(1)
		<-release
		return nil
	})
	h.Register(e)
	for range 3 {
		if w := get(t, e, "/readyz"); w.Code != 503 {
			t.Errorf("status %d, want 503", w.Code)
		}
	}
	if n := runs.Load(); n != 1 {
		t.Errorf("the check ran %d times side by side", n)
	}
	close(release)
}

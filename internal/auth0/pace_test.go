package auth0_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// inProcess calls a simulated tenant without a network, and counts its 429s. Each
// call takes a while.
type inProcess struct {
	handler   http.Handler
	takes     time.Duration
	throttled atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (p *inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	<-time.After(p.takes) // of a bubble
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	p.handler.ServeHTTP(w, r)
	if w.Code == http.StatusTooManyRequests {
		p.throttled.Add(1)
	}
	return w.Result(), nil
}

func TestCallsArePacedBeforeTheBucketIsEmpty(t *testing.T) {
	for _, c := range []struct {
		limit   auth0sim.Limit
		calls   int
		others  int           // calls a minute that somebody else makes
		fastest time.Duration // what the limit allows
		most    int64         // 429s
	}{
		{limit: auth0sim.Limit{PerSecond: 2, Burst: 2}, calls: 500, fastest: 249 * time.Second, most: 3},
		{limit: auth0sim.Limit{PerSecond: 2, Burst: 10}, calls: 500, fastest: 245 * time.Second, most: 3},
		{limit: auth0sim.Limit{PerSecond: 16, Burst: 50}, calls: 2000, fastest: 120 * time.Second, most: 3},
		{limit: auth0sim.Limit{PerSecond: 16, Burst: 50}, calls: 2000, others: 120, fastest: 120 * time.Second, most: 3},
		{calls: 2000, fastest: 0, most: 0},
	} {
		t.Run(fmt.Sprintf("%g a second, %d at once, %d of others", c.limit.PerSecond, c.limit.Burst, c.others), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tenant := auth0sim.New(auth0sim.Config{Machines: 2, People: 1, ManagementLimit: c.limit})
				by := tenant.AddOperator("operator")
				way := &inProcess{handler: tenant.Handler(), takes: 30 * time.Millisecond}
				client, err := auth0.New(auth0.Config{
					Domain: tenant.Domain(), Transport: way, Credentials: auth0.Credentials{ClientID: by.ID, ClientSecret: by.Secret},
				})
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				made := callAll(t, client, way, c.calls, c.others)
				took, throttled := time.Since(begun), way.throttled.Load()
				t.Logf("%d calls took %s, %d of them 429", made, took.Round(time.Second), throttled)
				if throttled > c.most {
					t.Errorf("%d calls were refused, want %d at most", throttled, c.most)
				}
				if slowest := c.fastest*5/4 + time.Minute; took > slowest {
					t.Errorf("it took %s, and %s would do", took, c.fastest)
				}
			})
		})
	}
}

// callAll makes so many calls, some at once, while others make some, too.
func callAll(t *testing.T, client *auth0.Client, way *inProcess, calls, others int) (made int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all, rest sync.WaitGroup
	var n atomic.Int64
	for range 4 {
		all.Go(func() {
			for n.Add(1) <= int64(calls) {
				if _, err := client.Get(t.Context(), auth0.Path{"roles"}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if others > 0 {
		rest.Go(func() {
			for ctx.Err() == nil {
				<-time.After(time.Minute / time.Duration(others))
				r := httptest.NewRequest("GET", "/api/v2/roles", nil)
				way.handler.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
	all.Wait()
	cancel()
	rest.Wait()
	return min(n.Load(), int64(calls))
}

func TestAPacedCallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := auth0sim.New(auth0sim.Config{Machines: 2, People: 1, ManagementLimit: auth0sim.Limit{PerSecond: 0.01, Burst: 1}})
		by := tenant.AddOperator("operator")
		way := &inProcess{handler: tenant.Handler()}
		client, err := auth0.New(auth0.Config{
			Domain: tenant.Domain(), Transport: way, MaxWait: time.Hour, Credentials: auth0.Credentials{ClientID: by.ID, ClientSecret: by.Secret},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Get(t.Context(), auth0.Path{"roles"}, nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		_, err = client.Post(ctx, auth0.Path{"roles"}, map[string]any{"name": "x"})
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, auth0.ErrMaybeDone) || time.Since(begun) != 3*time.Second {
			t.Errorf("after %s: %v, which was never sent", time.Since(begun), err)
		}
		if n := way.throttled.Load(); n != 0 {
			t.Errorf("%d calls were refused", n)
		}
	})
}

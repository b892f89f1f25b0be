package auth0sim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// FuzzManagementAPI asks that whatever is sent is answered: not with an error of
// the tenant's own, and with a body that says the status where it refuses.
func FuzzManagementAPI(f *testing.F) {
	tenant := New(Config{Seed: 1, Machines: 4, People: 2, LogsKept: 100})
	handler, all := tenant.Handler(), operations()
	for i := range all {
		f.Add(i, "x", "per_page=1&include_totals=true", `{"name":"n","email":"a@example.com","options":{"password_options":{"complexity":5}},"strategy":"auth0"}`)
	}
	f.Add(0, "auth0|a/b", "page=-1&q=(a&take=x", `{"client_authentication_methods":{"private_key_jwt":{"credentials":[{"pem":"x"},5]}},"name":"x","jwt_configuration":null}`)
	f.Fuzz(func(t *testing.T, which int, id, query, body string) {
		o := all[max(which, -which-1)%len(all)]
		segments := strings.Split(o.path[1:], "/")
		for i, s := range segments {
			if strings.HasPrefix(s, "{") {
				segments[i] = url.PathEscape(id)
			}
		}
		r := httptest.NewRequestWithContext(t.Context(), o.method, apiPrefix+"/x", strings.NewReader(body))
		r.URL = &url.URL{RawPath: apiPrefix + "/" + strings.Join(segments, "/"), RawQuery: query}
		r.URL.Path, _ = url.PathUnescape(r.URL.RawPath)
		r.Header.Set("Authorization", "Bearer "+tenant.AdminToken())
		r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		var refused struct{ StatusCode int }
		switch {
		case w.Code >= 500 || w.Code < 200:
			t.Errorf("%s %s: %d %s", o.method, r.URL, w.Code, w.Body)
		case w.Code < 400:
		case json.Unmarshal(w.Body.Bytes(), &refused) != nil || refused.StatusCode != w.Code:
			t.Errorf("%s %s: %d with body %s", o.method, r.URL, w.Code, w.Body)
		}
	})
}

func TestManyCallersGetWhatTheyMadeAndALogRowEach(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 1, Machines: 6, People: 2, Rate: 100, BatchInterval: time.Millisecond})
	receiver := &sink{status: 200}
	tenant.cfg.Client.Transport = receiver
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tenant.AddLogStream(Stream{Endpoint: "https://watch.example"})
	var running sync.WaitGroup
	running.Go(func() { tenant.Run(ctx) })
	running.Go(func() { tenant.Live(ctx) })
	var making sync.WaitGroup
	for i := range 8 {
		making.Go(func() {
			for n := range 10 {
				name := fmt.Sprintf("w%d-%d", i, n)
				client := do(t, tenant, 201, "POST", "/clients", `{"name":"`+name+`"}`)
				do(t, tenant, 200, "GET", "/clients/"+client["client_id"].(string), "")
				do(t, tenant, 200, "GET", "/logs?per_page=5&include_totals=true", "")
				stream := do(t, tenant, 200, "POST", "/log-streams", `{"type":"http","sink":{"httpEndpoint":"https://watch.example/two"}}`)
				do(t, tenant, 204, "DELETE", "/log-streams/"+stream["id"].(string), "")
				do(t, tenant, 204, "DELETE", "/clients/"+client["client_id"].(string), "")
			}
		})
	}
	making.Wait()
	rows := 0
	for _, l := range tenant.keptLogs() {
		if d := l.document(); d.text("type") == "sapi" && slices.Contains([]string{"Create a client", "Delete a client"}, d.text("description")) {
			rows++
		}
	}
	if rows != 160 {
		t.Errorf("%d rows of clients that were made or deleted, want 160", rows)
	}
	if err := tenant.Drain(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	running.Wait()
}

package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestWebhookTakesEveryShape(t *testing.T) {
	f := newFixture(t, nil)
	for _, test := range shapes {
		t.Run(test.name, func(t *testing.T) {
			f.pub.groups, f.pub.dead = nil, nil
			for _, body := range []io.Reader{strings.NewReader(test.body), iotest.HalfReader(strings.NewReader(test.body))} {
				var wantRaws, wantDead []string
				for _, rec := range test.want {
					if rec.Broken {
						wantDead = append(wantDead, rec.Raw)
					} else {
						wantRaws = append(wantRaws, rec.Raw)
					}
				}
				f.pub.groups, f.pub.dead = nil, nil
				r := f.post(t, "/v1/logs/acme", secret, body, "Content-Type", "text/nonsense", "Content-Encoding", "br")
				diff(t, "answer", fmt.Sprintf(`{"accepted":%d,"dead":%d}`, len(test.want), len(wantDead)), r.Body)
				diff(t, "stored", wantRaws, f.pub.raws(t))
				var dead []string
				for _, d := range f.pub.deadLogs() {
					dead = append(dead, string(d.Raw))
					if d.Tenant != "acme" || d.Source != schemas.SourceStream || d.Time.IsZero() || d.Size != int64(len(d.Raw)) || d.Reason == "" {
						t.Errorf("dead log %+v", d)
					}
				}
				diff(t, "dead", wantDead, dead)
			}
		})
	}
}

func TestWebhookSaysWhereALogCameFrom(t *testing.T) {
	at := time.Date(2025, 3, 1, 12, 0, 0, 5000, time.FixedZone("", 3600))
	f := newFixture(t, func(c *Config, _ *memoryPublisher) { c.Now = func() time.Time { return at } })
	f.send(t, logA).want(t, 200)
	f.post(t, "/v1/import/globex", "", strings.NewReader(logB)).want(t, 200, `{"accepted":1,"dead":0}`)
	diff(t, "logs", []schemas.Log{
		{Tenant: "acme", Source: schemas.SourceStream, IngestedAt: at.UTC(), Raw: []byte(logA)},
		{Tenant: "globex", Source: schemas.SourceImport, IngestedAt: at.UTC(), Raw: []byte(logB)},
	}, f.pub.logs(t))
}

func TestWebhookRejectsWrongToken(t *testing.T) {
	f := newFixture(t, nil)
	var answers []reply
	for _, test := range []struct{ tenant, authorization string }{
		{"acme", ""},
		{"acme", "Bearer "},
		{"acme", "wrong"},
		{"acme", "Bearer wrong"},
		{"acme", secret + "x"},
		{"acme", secret[:len(secret)-1]},
		{"acme", "another"},
		{"acme", "Bearer Bearer " + secret},
		{"acme", strings.ToUpper(secret)},
		{"mute", ""},
		{"mute", secret},
		{"nobody", secret},
		{"nobody", ""},
		{"ACME", secret},
	} {
		r := f.post(t, "/v1/logs/"+test.tenant, test.authorization, strings.NewReader(logA))
		r.want(t, http.StatusUnauthorized, "unauthorized")
		answers = append(answers, r)
		if r.Body != answers[0].Body {
			t.Errorf("%+v: the answer tells it from another: %s", test, r.Body)
		}
	}
	if logs := f.pub.logs(t); len(logs) != 0 {
		t.Errorf("stored %d logs", len(logs))
	}
	for _, authorization := range []string{secret, "Bearer " + secret, "bearer  " + secret} {
		f.post(t, "/v1/logs/acme", authorization, strings.NewReader(logA)).want(t, http.StatusOK)
	}
}

func TestWebhookTakesSecretsWhileTheyAreRotated(t *testing.T) {
	f := newFixture(t, nil)
	try := func(authorization string) int {
		return f.post(t, "/v1/logs/acme", authorization, strings.NewReader(logA)).Status
	}
	for _, step := range []struct {
		secrets  []string
		old, new int
	}{
		{[]string{"old"}, 200, 401},
		{[]string{"old", "Bearer new"}, 200, 200},
		{[]string{"new", ""}, 401, 200},
		{nil, 401, 401},
	} {
		f.tenants.Store(map[string]TenantSecrets{"acme": {Stream: step.secrets}})
		if o, n := try("Bearer old"), try("new"); o != step.old || n != step.new {
			t.Errorf("%q: old %d, new %d", step.secrets, o, n)
		}
		if got := try(""); got != 401 {
			t.Errorf("%q: nothing is a secret: %d", step.secrets, got)
		}
	}
}

func TestWebhookRefuses(t *testing.T) {
	f := newFixture(t, func(c *Config, _ *memoryPublisher) { c.Limits.MaxBody = 1 << 20 })
	f.send(t, `{"specversion":"1.0","id":"evt_1","type":"user.created","data":{}}`).want(t, 400, "Custom Webhook", "event_stream")
	f.send(t, strings.Repeat(" ", 1<<20+1)).want(t, 413, "too_large", "1048576")
	f.send(t, zipped(strings.Repeat(" ", 1<<20+1))).want(t, 413)
	f.post(t, "/v1/logs/acme", secret, io.MultiReader(strings.NewReader(strings.Repeat(" ", 1<<20+1)))).want(t, 413)
	f.send(t, zipped(logA)[:30]).want(t, 400, "body_incomplete")
	f.post(t, "/v1/import/nobody", "", strings.NewReader(logA)).want(t, 404, "unknown_tenant")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/v1/logs/acme", nil)
	if err != nil {
		t.Fatal(err)
	}
	r := do(t, req)
	r.want(t, 405, "takes POST")
	diff(t, "Allow", "POST", r.Header.Get("Allow"))
	if logs := f.pub.logs(t); len(logs) != 0 {
		t.Errorf("stored %d logs", len(logs))
	}
}

func TestWebhookStoresNothingOfABodyCutShort(t *testing.T) {
	f := newFixture(t, nil)
	body := logA + "\n" + logB
	head := "POST /v1/logs/acme HTTP/1.1\r\nHost: x\r\nAuthorization: " + secret + "\r\n"
	for _, text := range []string{
		fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body)+1, body),
		fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", head, len(body), body),
		fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s", head, len(body)+9, body),
	} {
		if answer := f.raw(t, text, false); !strings.HasPrefix(answer, "HTTP/1.1 400") {
			t.Errorf("answer %q, want 400", answer)
		}
	}
	if raws := f.pub.raws(t); len(raws) != 0 {
		t.Errorf("stored %q", raws)
	}
}

func TestWebhookEndsASlowBody(t *testing.T) {
	f := newFixture(t, func(c *Config, _ *memoryPublisher) { c.Limits.ReadTimeout = 50 * time.Millisecond })
	answer := f.raw(t, "POST /v1/logs/acme HTTP/1.1\r\nHost: x\r\nAuthorization: "+secret+"\r\nContent-Length: 100\r\n\r\n{", true)
	if !strings.HasPrefix(answer, "HTTP/1.1 408") {
		t.Errorf("answer %q, want 408", answer)
	}
	eventually(t, "the request leaves nothing behind", func() bool { return f.in.budget.inUse() == 0 && len(f.in.requests) == 0 })
}

func TestWebhookWaitsForTheBrokerLongerThanForABody(t *testing.T) {
	f := newFixture(t, func(c *Config, p *memoryPublisher) {
		c.Limits.ReadTimeout = 50 * time.Millisecond
		p.gate = make(chan struct{})
	})
	time.AfterFunc(200*time.Millisecond, func() { close(f.pub.gate) })
	f.send(t, logA).want(t, 200)
}

func TestWebhookAnswers503WhileNothingCanBeStored(t *testing.T) {
	f := newFixture(t, nil)
	for _, body := range []string{logA, "not json", logA + "\nnot json"} {
		for _, test := range []struct {
			err  error
			code string
		}{{errors.New("no broker"), "not_stored"}, {fmt.Errorf("publish: %w", schemas.ErrFull), "full"}} {
			f.pub.setFail(func([]byte) error { return test.err })
			r := f.send(t, body)
			r.want(t, 503, test.code)
			if r.Header.Get("Retry-After") == "" || strings.Contains(r.Body, "no broker") {
				t.Errorf("answer %+v", r)
			}
			f.pub.setFail(nil)
			f.send(t, body).want(t, 200)
		}
	}
	if n := f.in.budget.inUse(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
}

func TestWebhookAnswers503BeforeTheBrokerIsConnected(t *testing.T) {
	f := newFixture(t, func(_ *Config, p *memoryPublisher) { p.max = 0 })
	f.send(t, logA).want(t, 503, "not_stored")
	if n := len(f.pub.deadLogs()); n != 0 {
		t.Errorf("%d dead logs", n)
	}
}

func TestWebhookAnswers503WhenABrokerHangs(t *testing.T) {
	f := newFixture(t, func(c *Config, p *memoryPublisher) {
		c.Limits.PublishTimeout = 30 * time.Millisecond
		p.gate = make(chan struct{})
	})
	f.send(t, logA).want(t, 503, "not_stored")
	close(f.pub.gate)
	f.send(t, logA).want(t, 200)
}

// waitFor blocks until n requests are inside.
func (f *fixture) waitFor(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d requests inside", n), func() bool { return len(f.in.requests) == n })
}

func TestWebhookRefusesMoreRequestsThanItTakes(t *testing.T) {
	f := newFixture(t, func(c *Config, p *memoryPublisher) {
		c.Limits.MaxRequests = 2
		p.gate = make(chan struct{})
	})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { f.send(t, logA).want(t, 200) })
	}
	f.waitFor(t, 2)
	r := f.send(t, logA)
	r.want(t, 503, "overloaded")
	diff(t, "Retry-After", "2", r.Header.Get("Retry-After"))
	close(f.pub.gate)
	wg.Wait()
	f.send(t, logA).want(t, 200)
}

func TestWebhookHoldsNoMoreThanItsMemory(t *testing.T) {
	const limit = 2 << 20
	f := newFixture(t, func(c *Config, p *memoryPublisher) {
		c.Limits.Memory, c.Limits.Wait = limit, 50*time.Millisecond
		p.gate = make(chan struct{})
	})
	body := strings.Repeat(logA+"\n", 1000) // about 240 KB
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range 40 {
		wg.Go(func() {
			r := f.send(t, body)
			mu.Lock()
			defer mu.Unlock()
			statuses[r.Status]++
		})
	}
	eventually(t, "some are refused", func() bool {
		mu.Lock()
		defer mu.Unlock()
		if n := f.in.budget.inUse(); n > limit {
			t.Errorf("%d bytes held, the limit is %d", n, limit)
		}
		return statuses[503] > 20
	})
	close(f.pub.gate)
	wg.Wait()
	if statuses[200] == 0 || statuses[200]+statuses[503] != 40 {
		t.Errorf("answers %v", statuses)
	}
	if want, got := statuses[200]*1000, len(f.pub.raws(t)); got < want {
		t.Errorf("%d logs stored, %d were accepted", got, want)
	}
	eventually(t, "nothing is held", func() bool { return f.in.budget.inUse() == 0 })
	f.send(t, body).want(t, 200)
}

func TestWebhookSharesGroups(t *testing.T) {
	const requests = 60
	f := newFixture(t, func(c *Config, p *memoryPublisher) {
		c.Limits.InFlight = 1
		p.gate = make(chan struct{})
	})
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			body := fmt.Sprintf("{\"log_id\":\"%d-a\"}\n{\"log_id\":\"%d-b\"}", i, i)
			r := f.send(t, body)
			r.want(t, 200, `{"accepted":2,"dead":0}`)
			stored := strings.Join(f.pub.raws(t), "\n")
			if !strings.Contains(stored, body) {
				t.Errorf("answered before %s was stored", body)
			}
		})
	}
	f.waitFor(t, requests)
	close(f.pub.gate)
	wg.Wait()
	if n := len(f.pub.raws(t)); n != 2*requests {
		t.Errorf("%d logs stored, want %d", n, 2*requests)
	}
	if n := len(f.pub.groups); n >= requests/2 {
		t.Errorf("%d groups for %d requests", n, requests)
	}
	if len(f.pub.ids) != len(f.pub.groups) {
		t.Errorf("%d ids for %d groups", len(f.pub.ids), len(f.pub.groups))
	}
}

func TestWebhookFailsOnlyTheRequestsOfAFailedGroup(t *testing.T) {
	f := newFixture(t, nil)
	f.pub.setFail(func(group []byte) error {
		if bytes.Contains(group, []byte("poison")) {
			return errors.New("refused")
		}
		return nil
	})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			f.post(t, "/v1/import/globex", "", strings.NewReader(fmt.Sprintf(`{"log_id":"poison %d"}`, i))).want(t, 503)
		})
		wg.Go(func() { f.send(t, fmt.Sprintf(`{"log_id":"%d"}`, i)).want(t, 200) })
	}
	wg.Wait()
	if n := len(f.pub.raws(t)); n != 20 {
		t.Errorf("%d logs stored, want 20", n)
	}
}

func TestWebhookCutsALongBodyIntoGroups(t *testing.T) {
	f := newFixture(t, func(_ *Config, p *memoryPublisher) { p.max = 4096 })
	var want []string
	for i := range 500 {
		want = append(want, fmt.Sprintf(`{"log_id":"%d","x":"%s"}`, i, strings.Repeat("x", i)))
	}
	f.send(t, strings.Join(want, "\n")).want(t, 200, `{"accepted":500,"dead":0}`)
	got := map[string]bool{}
	for _, raw := range f.pub.raws(t) {
		got[raw] = true
	}
	for _, raw := range want {
		if !got[raw] {
			t.Errorf("%.40s… is missing", raw)
		}
	}
	if n := len(f.pub.groups); n < 30 || n > 200 {
		t.Errorf("%d groups", n)
	}
}

func TestWebhookSendsOversizeToDeadWhole(t *testing.T) {
	f := newFixture(t, func(_ *Config, p *memoryPublisher) { p.max = 100_000 })
	big := `{"log_id":"big","client_secret":"s3","x":"` + strings.Repeat("x", 500_000) + `"}`
	limit := 100_000 - schemas.GroupHeaderSize("acme") - schemas.GroupLogSize(0)
	fits := `{"log_id":"` + strings.Repeat("f", limit-13) + `"}`
	over := `{"log_id":"` + strings.Repeat("o", limit-12) + `"}`
	f.send(t, strings.Join([]string{logA, big, fits, over, logB}, "\n")).want(t, 200, `{"accepted":5,"dead":2}`)
	stored := f.pub.raws(t) // in groups that were published side by side
	slices.Sort(stored)
	if want := []string{logB, logA, fits}; !slices.Equal(stored, want) {
		t.Errorf("%d logs stored, not the three that fit", len(stored))
	}
	dead := f.pub.deadLogs()
	if len(dead) != 2 {
		t.Fatalf("%d dead logs", len(dead))
	}
	if string(dead[0].Raw) != strings.Replace(big, "s3", "***", 1) || string(dead[1].Raw) != over {
		t.Error("a dead log is not whole")
	}
	for _, d := range dead {
		for _, part := range []string{fmt.Sprintf("record of %d bytes", len(d.Raw)), "raise max_payload", "ingest.max_group"} {
			if !strings.Contains(d.Reason, part) {
				t.Errorf("reason %q does not say %q", d.Reason, part)
			}
		}
	}
	if !dead[0].Masked || dead[1].Masked {
		t.Error("only the first held a secret")
	}
}

func TestWebhookMasksBeforeAnythingIsWritten(t *testing.T) {
	f := newFixture(t, nil)
	f.send(t, `{"log_id":"1","data":{"details":{"request":{"body":{"client_secret":"s3cret"}}}}}`+"\n"+logA+"\n"+`{"client_secret":"s3cret",`).
		want(t, 200, `{"accepted":3,"dead":1}`)
	logs := f.pub.logs(t)
	if len(logs) != 2 || !logs[0].Masked || logs[1].Masked {
		t.Fatalf("logs %+v", logs)
	}
	diff(t, "raw", `{"log_id":"1","data":{"details":{"request":{"body":{"client_secret":"***"}}}}}`, string(logs[0].Raw))
	diff(t, "dead", `{"client_secret":"***",`, string(f.pub.deadLogs()[0].Raw))
}

// However many pieces are joined, each is told as it came.
func TestWebhookJoinsMasses(t *testing.T) {
	const n = 20_000
	for name, tt := range map[string]struct{ body, piece string }{
		"lines": {strings.Repeat("junk\n", n) + logA, "junk"},
		"elements of several lines": {
			"[" + strings.Repeat(`{"a":`+"\n"+`x},`, n) + logA + "]", `{"a":` + "\n" + `x}`,
		},
	} {
		f := newFixture(t, nil)
		f.send(t, tt.body).want(t, 200, fmt.Sprintf(`{"accepted":%d,"dead":%d}`, n+1, n))
		dead, pieces := f.pub.deadLogs(), 0
		for _, d := range dead {
			for piece := range d.Logs() {
				if pieces++; string(piece) != tt.piece {
					t.Fatalf("%s: a piece is %q", name, piece)
				}
			}
			if len(d.Raw) > schemas.MaxDeadJoined {
				t.Errorf("%s: a dead log of %d bytes", name, len(d.Raw))
			}
		}
		if pieces != n || len(dead) > schemas.DeadAlone+5 {
			t.Errorf("%s: %d pieces in %d dead logs", name, pieces, len(dead))
		}
		diff(t, "stored", []string{logA}, f.pub.raws(t))
		if n := f.in.budget.inUse(); n != 0 {
			t.Errorf("%s: %d bytes are still held", name, n)
		}
	}
}

func TestIngestCountsAndCallsAtItsPoints(t *testing.T) {
	var points []string
	var out bytes.Buffer
	f := newFixture(t, func(c *Config, _ *memoryPublisher) {
		c.At = func(p string) { points = append(points, p) }
		c.Logger = slog.New(slog.NewTextHandler(&out, nil))
	})
	f.send(t, logA+"\njunk").want(t, 200)
	diff(t, "points", []string{"before_publish", "published", "before_answer"}, points)
	f.post(t, "/v1/logs/acme", "no", strings.NewReader("")).want(t, 401)
	diff(t, "metrics", map[string]float64{
		"m2mwatch_ingest_records_total stream": 2, "m2mwatch_ingest_dead_total stream": 1, "m2mwatch_ingest_masked_total stream": 0,
		"m2mwatch_ingest_bytes_total stream": float64(len(logA) + 4), "m2mwatch_ingest_groups_total stream": 1,
		"m2mwatch_ingest_requests_total 200": 1, "m2mwatch_ingest_requests_total 401": 1,
		"m2mwatch_ingest_publish_seconds": 1, "m2mwatch_ingest_inflight_bytes": 0,
	}, f.metrics(t))
	if log := out.String(); !strings.Contains(log, "dead=1") || strings.Contains(log, secret) {
		t.Errorf("log %q", log)
	}
}

func TestCloseAnswersWhatIsInFlight(t *testing.T) {
	f := newFixture(t, func(_ *Config, p *memoryPublisher) { p.gate = make(chan struct{}) })
	answered := make(chan reply)
	go func() { answered <- f.send(t, logA) }()
	f.waitFor(t, 1)
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.in.Close(short); err == nil {
		t.Error("closed while a request was in flight")
	}
	f.send(t, logA).want(t, 503, "overloaded")
	close(f.pub.gate)
	r := <-answered
	r.want(t, 200)
	diff(t, "stored", []string{logA}, f.pub.raws(t))
}

func TestCloseReturnsWhenAllIsQuiet(t *testing.T) {
	f := newFixture(t, nil)
	f.send(t, logA).want(t, 200)
	if err := f.in.Close(t.Context()); err != nil {
		t.Error(err)
	}
	f.send(t, logA).want(t, 503)
}

func TestNewSaysWhatIsMissing(t *testing.T) {
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "Publisher") {
		t.Error(err)
	}
	if _, err := New(Config{Publisher: &memoryPublisher{}, Tenants: new(TenantSet), Limits: Limits{Memory: 1}}); err == nil {
		t.Error("one byte of memory is not enough")
	}
}

func TestWebhookPublishesToJetStream(t *testing.T) {
	h := natstest.New(t)
	f := &fixture{tenants: new(TenantSet)}
	f.tenants.Store(map[string]TenantSecrets{"acme": {Stream: []string{secret}}})
	f.serve(t, Config{Publisher: h.Publisher(t), Tenants: f.tenants})
	want := map[string]bool{}
	var wg sync.WaitGroup
	for i := range 20 {
		var lines []string
		for j := range 50 {
			lines = append(lines, fmt.Sprintf(`{"log_id":"%d-%d"}`, i, j))
			want[lines[j]] = true
		}
		wg.Go(func() { f.send(t, "["+strings.Join(lines, ",")+",junk]").want(t, 200, `{"accepted":51,"dead":1}`) })
	}
	wg.Wait()
	source := h.Logs(t)
	for len(want) > 0 {
		messages, err := source.Fetch(t.Context(), 100, 1<<20, natstest.Wait)
		if err != nil || len(messages) == 0 {
			t.Fatalf("%d messages, %v; %d logs missing", len(messages), err, len(want))
		}
		for _, m := range messages {
			logs, err := schemas.DecodeGroup(nil, m.Data())
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range logs {
				if !want[string(l.Raw)] {
					t.Errorf("%s came twice or was never sent", l.Raw)
				}
				delete(want, string(l.Raw))
			}
			if err := m.Ack(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

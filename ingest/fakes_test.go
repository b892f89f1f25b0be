package ingest

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// memoryPublisher is a Publisher that keeps what it is given.
type memoryPublisher struct {
	max  int
	gate chan struct{} // where not nil, each publish waits for it

	mu     sync.Mutex
	fail   func(group []byte) error
	groups [][]byte
	ids    map[string]bool
	dead   []schemas.Dead
}

func (p *memoryPublisher) MaxGroup() int { return p.max }

func (p *memoryPublisher) PublishGroup(ctx context.Context, _, id string, group []byte) error {
	if p.gate != nil {
		select {
		case <-p.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		if err := p.fail(group); err != nil {
			return err
		}
	}
	p.groups = append(p.groups, bytes.Clone(group))
	p.ids[id] = true
	return nil
}

func (p *memoryPublisher) PublishDead(_ context.Context, d schemas.Dead) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		if err := p.fail(d.Raw); err != nil {
			return err
		}
	}
	d.Raw = bytes.Clone(d.Raw)
	p.dead = append(p.dead, d)
	return nil
}

func (p *memoryPublisher) setFail(fail func([]byte) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = fail
}

// logs returns what the groups hold.
func (p *memoryPublisher) logs(t *testing.T) []schemas.Log {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var logs []schemas.Log
	for _, g := range p.groups {
		if len(g) > p.max {
			t.Errorf("a group of %d bytes, the publisher takes %d", len(g), p.max)
		}
		var err error
		if logs, err = schemas.DecodeGroup(logs, g); err != nil {
			t.Fatal(err)
		}
	}
	return logs
}

func (p *memoryPublisher) raws(t *testing.T) []string {
	t.Helper()
	var raws []string
	for _, l := range p.logs(t) {
		raws = append(raws, string(l.Raw))
	}
	return raws
}

func (p *memoryPublisher) deadLogs() []schemas.Dead {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// fixture is an Ingest behind a real server.
type fixture struct {
	in      *Ingest
	pub     *memoryPublisher
	tenants *TenantSet
	reg     *prometheus.Registry
	url     string
	addr    string
}

const (
	secret       = "a-webhook-secret-of-acme"
	customSecret = "a-secret-of-globex-for-custom-events"
)

func newFixture(t *testing.T, change func(*Config, *memoryPublisher)) *fixture {
	t.Helper()
	f := &fixture{pub: &memoryPublisher{max: 1 << 20, ids: map[string]bool{}}, tenants: new(TenantSet), reg: prometheus.NewRegistry()}
	f.tenants.Store(map[string]TenantSecrets{
		"acme": {Stream: []string{secret}}, "globex": {Stream: []string{"another"}, Custom: []string{customSecret}}, "mute": {},
	})
	cfg := Config{Publisher: f.pub, Tenants: f.tenants, Registerer: f.reg}
	if change != nil {
		change(&cfg, f.pub)
	}
	f.serve(t, cfg)
	return f
}

func (f *fixture) serve(t *testing.T, cfg Config) {
	t.Helper()
	in, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := httpserver.New(httpserver.Config{Name: "webhook"})
	in.Webhook(e)
	in.Import(e)
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	f.in, f.url, f.addr = in, server.URL, server.Listener.Addr().String()
}

// metrics are the values by name and labels, of a histogram its count.
func (f *fixture) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

// reply is what a request was answered with.
type reply struct {
	Status int
	Body   string
	Header http.Header
}

func (f *fixture) post(t *testing.T, path, authorization string, body io.Reader, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return do(t, req)
}

func do(t *testing.T, req *http.Request) reply {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Errorf("%s %s: %v", req.Method, req.URL.Path, err)
		return reply{}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return reply{Status: resp.StatusCode, Body: strings.TrimSpace(string(body)), Header: resp.Header}
}

// send posts to acme with its secret.
func (f *fixture) send(t *testing.T, body string) reply {
	t.Helper()
	return f.post(t, "/v1/logs/acme", secret, strings.NewReader(body))
}

func (r reply) want(t *testing.T, status int, parts ...string) {
	t.Helper()
	if r.Status != status {
		t.Errorf("status %d, want %d: %s", r.Status, status, r.Body)
	}
	for _, part := range parts {
		if !strings.Contains(r.Body, part) {
			t.Errorf("answer %s does not say %q", r.Body, part)
		}
	}
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// raw sends text over a connection, closes its sending side, and returns the
// answer.
func (f *fixture) raw(t *testing.T, text string, hold bool) string {
	t.Helper()
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if !hold {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within 20 s", what)
		case <-tick.C:
		}
	}
}

package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// The wait between two attempts at a batch doubles from the first to the last
// of these.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// client is an otlptrace.Client over HTTP. OpenTelemetry's own would link gRPC,
// which it does not speak, into the program, and listens to the environment.
//
// UploadTraces is never called twice at a time.
type client struct {
	url     string
	shown   string // without what may be secret
	headers http.Header
	http    *http.Client
	logger  *slog.Logger
	metrics *metrics

	away   bool // the last batch was lost
	hasty  chan struct{}
	killed context.Context // ends what is under way
	kill   context.CancelFunc
}

func newClient(cfg Config, m *metrics) (*client, error) {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("traces: endpoint: want http:// or https:// and a host") // not the value: it may hold a password
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	c := &client{
		url: u.String(), shown: u.Scheme + "://" + u.Host, headers: http.Header{},
		logger: cfg.Logger, metrics: m, hasty: make(chan struct{}),
	}
	for name, value := range cfg.Headers {
		c.headers.Set(name, value)
	}
	c.headers.Set("Content-Type", "application/x-protobuf")
	c.headers.Set("Content-Encoding", "gzip")
	c.headers.Set("User-Agent", cfg.Service+"/"+cfg.Version)
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		transport = &http.Transport{}
	}
	c.http = &http.Client{
		Transport: transport.Clone(),
		// A redirect would carry the headers to where nobody configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.killed, c.kill = context.WithCancel(context.Background())
	return c, nil
}

// Start does nothing: the first batch connects.
func (c *client) Start(context.Context) error { return nil }

// Stop ends the connections.
func (c *client) Stop(context.Context) error {
	c.kill()
	c.http.CloseIdleConnections()
	return nil
}

// hurry makes one attempt of all that are left, and none when ctx ends.
func (c *client) hurry(ctx context.Context) {
	close(c.hasty)
	context.AfterFunc(ctx, c.kill)
}

// UploadTraces sends a batch. It returns no error, for the library would print it:
// the first of a row is logged, and all are counted.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.killed, cancel)()
	err := c.upload(ctx, spans)
	switch {
	case err != nil && !c.away:
		c.logger.Warn("the collector of traces takes none: spans are lost until it does", "collector", c.shown, "error", err)
	case err == nil && c.away:
		c.logger.Info("the collector of traces is back", "collector", c.shown)
	}
	c.away = err != nil
	if err == nil {
		c.metrics.sent.Add(float64(count(spans)))
	}
	return nil
}

func count(spans []*tracepb.ResourceSpans) (n int) {
	for _, r := range spans {
		for _, s := range r.GetScopeSpans() {
			n += len(s.GetSpans())
		}
	}
	return n
}

// upload sends a batch until it is taken or refused, or ctx ends.
func (c *client) upload(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// The same on the wire as a collector's ExportTraceServiceRequest.
	plain, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	var body bytes.Buffer
	zip := gzip.NewWriter(&body)
	_, _ = zip.Write(plain) // a buffer takes all
	_ = zip.Close()
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		again, err := c.post(ctx, body.Bytes())
		if err == nil || !again || !c.pause(ctx, wait) {
			return err
		}
	}
}

// pause returns false where there is no time for another attempt.
func (c *client) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-c.hasty:
	}
	return false
}

// post makes one attempt, and says whether another may do better.
func (c *client) post(ctx context.Context, body []byte) (again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("make a request of the endpoint") // not err, which shows all of it
	}
	request.Header = c.headers.Clone()
	response, err := c.http.Do(request)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the address
		}
		return ctx.Err() == nil, fmt.Errorf("send spans: %w", err)
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // so that the connection can be kept
	switch status := response.StatusCode; status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, fmt.Errorf("send spans: %s", http.StatusText(status))
	default:
		if status/100 != 2 {
			return false, fmt.Errorf("send spans: %d %s", status, http.StatusText(status))
		}
		return false, nil
	}
}

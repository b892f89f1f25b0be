// Package apiclient asks a running m2mwatch through its API, for the commands:
// by the socket in its data directory, or by URL and token.
package apiclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Config says where the API is: Socket, or else URL and Token.
type Config struct {
	// Socket is the path of a Unix socket. It needs no token.
	Socket string
	// DataDir is what Socket lies in, for the words of an error.
	DataDir string
	// URL is where the API is served, without /v1: https://m2mwatch.example.
	URL string
	// TLS is how URL's server is known, where it is https. Default: by its name
	// and the authorities of the system.
	TLS *tls.Config
	// Token is sent as a bearer token; the socket is never given one.
	Token string
}

// Client asks one API. It may be used concurrently.
type Client struct {
	cfg  Config
	base string
	http *http.Client
}

// maxAnswer bounds what is read of an answer: a thousand events are far less.
const maxAnswer = 64 << 20

// New makes a client. It does not connect.
func New(cfg Config) (*Client, error) {
	c := &Client{cfg: cfg, http: &http.Client{
		// A token must not follow a redirect to wherever it points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: 30 * time.Second, ForceAttemptHTTP2: true, TLSClientConfig: cfg.TLS}
	if cfg.Socket != "" {
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", cfg.Socket)
		}
		c.base = "http://m2mwatch" // the name goes to nobody
	} else {
		u, err := url.Parse(cfg.URL)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.RawQuery != "" {
			return nil, fmt.Errorf("API address: want http://HOST[:PORT] or https://HOST[:PORT]")
		}
		c.base = strings.TrimRight(u.String(), "/")
	}
	c.http.Transport = transport
	return c, nil
}

// Close gives up idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// get asks a question and reads the answer into out.
func (c *Client) get(ctx context.Context, path string, params url.Values, out any) error {
	if len(params) > 0 {
		path += "?" + params.Encode()
	}
	b, err := c.do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	return decode(b, out)
}

func decode(b []byte, out any) error {
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path, contentType string, body io.Reader) ([]byte, error) {
	resp, err := c.send(ctx, method, path, http.Header{"Content-Type": {contentType}}, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return readAnswer(resp)
}

// send answers what is 2xx alone.
func (c *Client) send(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	resp, err := c.ask(ctx, method, path, header, body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, refusal(resp)
	}
	return resp, nil
}

// refusal reads an answer that is not 2xx, to its end.
func refusal(resp *http.Response) error {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return problemOf(resp, b)
}

// ask answers whatever the status is.
func (c *Client) ask(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	for name, values := range header {
		if values[0] != "" {
			req.Header[name] = values
		}
	}
	if c.cfg.Socket == "" && c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return resp, nil
}

func readAnswer(resp *http.Response) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(b) > maxAnswer:
		return nil, fmt.Errorf("read the answer: it is larger than %d bytes", maxAnswer)
	}
	return b, nil
}

// setParams leaves out what is empty: it does not narrow.
func setParams(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// EventQuery narrows a listing of events; what is empty does not. Where has
// conditions in the words of schemas.ParseCondition, by the names of
// schemas.FilterFields. From and To are in the forms that the API reads: RFC
// 3339, a date, or 24h, 7d ago.
type EventQuery struct {
	Where    map[string]string
	Text     string
	From, To string
	Limit    int
	Cursor   string
}

// Values are the parameters of the question.
func (q EventQuery) Values() url.Values {
	return withConditions(q.Where, "text", q.Text, "from", q.From, "to", q.To, "limit", number(q.Limit), "cursor", q.Cursor)
}

// Events lists events, newest first.
func (c *Client) Events(ctx context.Context, q EventQuery) (schemas.EventPage, error) {
	var page schemas.EventPage
	err := c.get(ctx, EventsPath, q.Values(), &page)
	return page, err
}

// Paths of listings, for CSV.
const (
	EventsPath     = "/v1/events"
	FindingsPath   = "/v1/findings"
	IdentitiesPath = "/v1/identities"
	StatsPath      = "/v1/stats"
	UsagePath      = "/v1/usage"
)

// withConditions are the parameters of conditions and others.
func withConditions(where map[string]string, pairs ...string) url.Values {
	v := setParams(pairs...)
	for field, text := range where {
		if text != "" {
			v.Set(field, text)
		}
	}
	return v
}

// Event is one event with its raw record.
func (c *Client) Event(ctx context.Context, tenant, logID string) (schemas.EventDetail, error) {
	var e schemas.EventDetail
	err := c.get(ctx, "/v1/events/"+url.PathEscape(tenant)+"/"+url.PathEscape(logID), nil, &e)
	return e, err
}

// StatsQuery says what to count and by what; see EventQuery for the rest.
type StatsQuery struct {
	Where    map[string]string
	By       []string // schemas.StatsDimensions; none means by type
	Interval string   // hour, day, month; "" counts the range as a whole
	From, To string
	Limit    int
}

// Values are the parameters of the question.
func (q StatsQuery) Values() url.Values {
	return withConditions(q.Where, "by", strings.Join(q.By, ","), "interval", q.Interval, "from", q.From, "to", q.To, "limit", number(q.Limit))
}

// Stats counts events.
func (c *Client) Stats(ctx context.Context, q StatsQuery) (schemas.StatsPage, error) {
	var page schemas.StatsPage
	err := c.get(ctx, StatsPath, q.Values(), &page)
	return page, err
}

// UsageQuery says which tokens to count and by what; see StatsQuery.
type UsageQuery struct {
	Where    map[string]string // tenant and schemas.UsageDimensions
	By       []string          // schemas.UsageDimensions; none means by client_id
	Interval string            // day or month; "" means month
	From, To string
	Limit    int
}

// Values are the parameters of the question.
func (q UsageQuery) Values() url.Values {
	return StatsQuery(q).Values()
}

// Usage counts tokens.
func (c *Client) Usage(ctx context.Context, q UsageQuery) (schemas.UsagePage, error) {
	var page schemas.UsagePage
	err := c.get(ctx, UsagePath, q.Values(), &page)
	return page, err
}

// IdentityQuery narrows a listing of identities; see EventQuery.
type IdentityQuery struct {
	Where map[string]string
	All   bool // also those that never succeeded
	// Owner has a condition, Has facts in the words of schemas.ParseFacts, and
	// UnusedSince a time as From has.
	Owner, Has  string
	UnusedSince string
	From, To    string
	Limit       int
	Cursor      string
}

// Values are the parameters of the question.
func (q IdentityQuery) Values() url.Values {
	all := ""
	if q.All {
		all = "true"
	}
	return withConditions(q.Where, "all", all, "owner", q.Owner, "has", q.Has, "unused_since", q.UnusedSince, "from", q.From, "to", q.To, "limit", number(q.Limit), "cursor", q.Cursor)
}

// Identities lists who was seen, the last seen first.
func (c *Client) Identities(ctx context.Context, q IdentityQuery) (schemas.IdentityPage, error) {
	var page schemas.IdentityPage
	err := c.get(ctx, IdentitiesPath, q.Values(), &page)
	return page, err
}

// Identity is one identity and what it did in a range.
func (c *Client) Identity(ctx context.Context, tenant, id, from, to string) (schemas.IdentityDetail, error) {
	var d schemas.IdentityDetail
	err := c.get(ctx, IdentitiesPath+"/"+url.PathEscape(tenant)+"/"+url.PathEscape(id), setParams("from", from, "to", to), &d)
	return d, err
}

// FindingQuery narrows a listing of findings; what is empty does not.
type FindingQuery struct {
	Tenant, RuleID, State, Level, Key, Identity string
	From, To                                    string
	Limit                                       int
	Cursor                                      string
}

// Values are the parameters of the question.
func (q FindingQuery) Values() url.Values {
	return setParams(
		"tenant", q.Tenant, "rule_id", q.RuleID, "state", q.State, "level", q.Level, "key", q.Key, "identity", q.Identity,
		"from", q.From, "to", q.To, "limit", number(q.Limit), "cursor", q.Cursor)
}

// Findings lists findings, the last active first.
func (c *Client) Findings(ctx context.Context, q FindingQuery) (schemas.FindingPage, error) {
	var page schemas.FindingPage
	err := c.get(ctx, FindingsPath, q.Values(), &page)
	return page, err
}

// Finding is one finding with its history.
func (c *Client) Finding(ctx context.Context, id string) (schemas.FindingDetail, error) {
	var f schemas.FindingDetail
	err := c.get(ctx, "/v1/findings/"+url.PathEscape(id), nil, &f)
	return f, err
}

// DigestQuery narrows a digest; what is empty does not.
type DigestQuery struct{ Tenant, Owner, From, To string }

// Digest is what nobody was woken for.
func (c *Client) Digest(ctx context.Context, q DigestQuery) (schemas.Digest, error) {
	var d schemas.Digest
	err := c.get(ctx, "/v1/digest", setParams("tenant", q.Tenant, "owner", q.Owner, "from", q.From, "to", q.To), &d)
	return d, err
}

// Status is how far the pipeline is.
func (c *Client) Status(ctx context.Context) (schemas.StatusView, error) {
	var s schemas.StatusView
	err := c.get(ctx, "/v1/status", nil, &s)
	return s, err
}

// Ready is whether the process is ready, check by check. One that is not is no
// error.
func (c *Client) Ready(ctx context.Context) (schemas.Readiness, error) {
	var r schemas.Readiness
	resp, err := c.ask(ctx, http.MethodGet, "/readyz", nil, nil)
	if err != nil {
		return r, err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
		return r, refusal(resp)
	}
	defer resp.Body.Close()
	b, err := readAnswer(resp)
	if err != nil {
		return r, err
	}
	return r, decode(b, &r)
}

// Tables compares the store's tables with what the instance makes of them.
func (c *Client) Tables(ctx context.Context) (schemas.TablesView, error) {
	var t schemas.TablesView
	err := c.get(ctx, "/v1/tables", nil, &t)
	return t, err
}

// Metrics are those of the process, in the format of Prometheus.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) {
	return c.do(ctx, http.MethodGet, "/metrics", "", nil)
}

// StartReprocess asks to normalize stored records again. Asked for in the same
// words as a job that is not over, it is that job.
func (c *Client) StartReprocess(ctx context.Context, r schemas.ReprocessRequest) (schemas.Reprocess, error) {
	var job schemas.Reprocess
	body, err := json.Marshal(r)
	if err != nil {
		return job, fmt.Errorf("write the request: %w", err)
	}
	b, err := c.do(ctx, http.MethodPost, "/v1/reprocess", "application/json", bytes.NewReader(body))
	if err != nil {
		return job, err
	}
	return job, decode(b, &job)
}

// Reprocess is how far a job is.
func (c *Client) Reprocess(ctx context.Context, id string) (schemas.Reprocess, error) {
	var job schemas.Reprocess
	err := c.get(ctx, "/v1/reprocess/"+url.PathEscape(id), nil, &job)
	return job, err
}

// CancelReprocess asks to cancel a job, and is how far it is.
func (c *Client) CancelReprocess(ctx context.Context, id string) (schemas.Reprocess, error) {
	var job schemas.Reprocess
	b, err := c.do(ctx, http.MethodDelete, "/v1/reprocess/"+url.PathEscape(id), "", nil)
	if err != nil {
		return job, err
	}
	return job, decode(b, &job)
}

// CancelBacktest asks to cancel a backtest, and is how far it is.
func (c *Client) CancelBacktest(ctx context.Context, id string) (schemas.Backtest, error) {
	var job schemas.Backtest
	b, err := c.do(ctx, http.MethodDelete, "/v1/backtests/"+url.PathEscape(id), "", nil)
	if err != nil {
		return job, err
	}
	return job, decode(b, &job)
}

// StartBacktest asks to run a rule over stored events.
func (c *Client) StartBacktest(ctx context.Context, r schemas.BacktestRequest) (schemas.Backtest, error) {
	var job schemas.Backtest
	body, err := json.Marshal(r)
	if err != nil {
		return job, fmt.Errorf("write the request: %w", err)
	}
	b, err := c.do(ctx, http.MethodPost, "/v1/backtests", "application/json", bytes.NewReader(body))
	if err != nil {
		return job, err
	}
	return job, decode(b, &job)
}

// Backtest is how far a backtest is, and what it found.
func (c *Client) Backtest(ctx context.Context, id string) (schemas.Backtest, error) {
	var job schemas.Backtest
	err := c.get(ctx, "/v1/backtests/"+url.PathEscape(id), nil, &job)
	return job, err
}

// Import sends logs of a tenant's history in any form that ingest reads, gzip
// or not, and reads r as fast as they are taken. After an error none, some or
// all of them may be stored; sending them again is harmless.
func (c *Client) Import(ctx context.Context, tenant string, r io.Reader) (schemas.Accepted, error) {
	var a schemas.Accepted
	b, err := c.do(ctx, http.MethodPost, "/v1/import/"+url.PathEscape(tenant), "application/octet-stream", io.NopCloser(r))
	if err != nil {
		return a, err
	}
	return a, decode(b, &a)
}

// Custom sends custom events to the webhook's listener, which is where the URL
// of c points then, with one of the tenant's secrets as its token. All of them
// are stored or none is; after any error sending them again is harmless.
func (c *Client) Custom(ctx context.Context, tenant string, r io.Reader) (schemas.Accepted, error) {
	var a schemas.Accepted
	b, err := c.do(ctx, http.MethodPost, "/v1/custom/"+url.PathEscape(tenant), "application/x-ndjson", io.NopCloser(r))
	if err != nil {
		return a, err
	}
	return a, decode(b, &a)
}

// Package apiclient asks a running m2mwatch through its API, for the commands:
// by the socket in its data directory, or by URL and token.
package apiclient

import (
	"bytes"
	"context"
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
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: 30 * time.Second, ForceAttemptHTTP2: true}
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
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.cfg.Socket == "" && c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return nil, problemOf(resp, b)
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

// EventQuery narrows a listing of events; what is empty does not. From and To
// are in the forms that the API reads: RFC 3339, a date, or 24h, 7d ago.
type EventQuery struct {
	Tenant, ClientID, UserID, Type string
	From, To                       string
	Limit                          int
	Cursor                         string
}

// Events lists events, newest first.
func (c *Client) Events(ctx context.Context, q EventQuery) (schemas.EventPage, error) {
	var page schemas.EventPage
	err := c.get(ctx, "/v1/events", setParams(
		"tenant", q.Tenant, "client_id", q.ClientID, "user_id", q.UserID, "type", q.Type,
		"from", q.From, "to", q.To, "limit", number(q.Limit), "cursor", q.Cursor), &page)
	return page, err
}

// Event is one event with its raw record.
func (c *Client) Event(ctx context.Context, tenant, logID string) (schemas.EventDetail, error) {
	var e schemas.EventDetail
	err := c.get(ctx, "/v1/events/"+url.PathEscape(tenant)+"/"+url.PathEscape(logID), nil, &e)
	return e, err
}

// StatsQuery says what to count and by what.
type StatsQuery struct {
	Tenant   string
	By       []string // schemas.StatsDimensions; none means by type
	From, To string
	Limit    int
}

// Stats counts events.
func (c *Client) Stats(ctx context.Context, q StatsQuery) (schemas.StatsPage, error) {
	var page schemas.StatsPage
	err := c.get(ctx, "/v1/stats", setParams(
		"tenant", q.Tenant, "by", strings.Join(q.By, ","), "from", q.From, "to", q.To, "limit", number(q.Limit)), &page)
	return page, err
}

// FindingQuery narrows a listing of findings; what is empty does not.
type FindingQuery struct {
	Tenant, RuleID, State, Level, Key string
	From, To                          string
	Limit                             int
	Cursor                            string
}

// Findings lists findings, the last active first.
func (c *Client) Findings(ctx context.Context, q FindingQuery) (schemas.FindingPage, error) {
	var page schemas.FindingPage
	err := c.get(ctx, "/v1/findings", setParams(
		"tenant", q.Tenant, "rule_id", q.RuleID, "state", q.State, "level", q.Level, "key", q.Key,
		"from", q.From, "to", q.To, "limit", number(q.Limit), "cursor", q.Cursor), &page)
	return page, err
}

// Finding is one finding with its history.
func (c *Client) Finding(ctx context.Context, id string) (schemas.FindingDetail, error) {
	var f schemas.FindingDetail
	err := c.get(ctx, "/v1/findings/"+url.PathEscape(id), nil, &f)
	return f, err
}

// Status is how far the pipeline is.
func (c *Client) Status(ctx context.Context) (schemas.StatusView, error) {
	var s schemas.StatusView
	err := c.get(ctx, "/v1/status", nil, &s)
	return s, err
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

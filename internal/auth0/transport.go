package auth0

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxBody bounds an answer. The largest is a page of 100 users or logs.
	maxBody = 32 << 20
	// attempts bounds the repeats after a 5xx or a lost answer.
	attempts = 4
	// firstPause is the wait before the first of them; it doubles.
	firstPause = 500 * time.Millisecond
	// unknownWait is the wait of a 429 that does not say how long.
	unknownWait = time.Second
)

// transport is the http.RoundTripper under go-auth0. See the package for what it
// promises.
type transport struct {
	client *Client
	source *tokenSource
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Host != t.client.cfg.Domain {
		return nil, fmt.Errorf("a call to %s would carry the token of %s there", request.URL.Host, t.client.cfg.Domain)
	}
	body, err := readBody(request)
	if err != nil {
		return nil, err
	}
	c := &call{transport: t, request: request, body: body}
	for {
		response, err := c.once()
		if err == nil {
			return response, nil
		}
		if err := c.again(err); err != nil {
			return nil, err
		}
	}
}

// readBody takes the whole body, as it may have to be sent again.
func readBody(request *http.Request) ([]byte, error) {
	if request.Body == nil {
		return nil, nil
	}
	defer request.Body.Close()
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	return body, nil
}

// call is a request with the attempts that were made of it.
type call struct {
	*transport
	request   *http.Request
	body      []byte
	failed    int   // attempts that ended with a 5xx or without an answer
	renewed   bool  // a 401 has had its second attempt
	token     Token // of the last attempt
	throttled time.Duration
}

// once makes one attempt.
func (c *call) once() (*http.Response, error) {
	var err error
	if c.token, err = c.source.token(c.request.Context()); err != nil {
		return nil, &final{err}
	}
	request := c.request.Clone(c.request.Context())
	request.Header.Set("Authorization", "Bearer "+c.token.AccessToken)
	if c.body != nil {
		request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(c.body)), int64(len(c.body))
		request.GetBody = nil
	}
	response, err := c.client.cfg.Transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > maxBody {
		return nil, &final{fmt.Errorf("the answer is longer than %d MiB", maxBody>>20)}
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	switch {
	case response.StatusCode == http.StatusNotFound && c.request.Method == http.MethodDelete && c.failed > 0:
		// The attempt whose answer was lost has deleted it.
		response.StatusCode, response.Body = http.StatusNoContent, http.NoBody
		return response, nil
	case response.StatusCode >= http.StatusMultipleChoices:
		c.throttled = c.client.waitOf(response.Header)
		return nil, apiError(response.StatusCode, body)
	}
	return response, nil
}

// final is an error that is not tried again and of which nothing was done.
type final struct{ error }

func (f *final) Unwrap() error { return f.error }

// again returns nil when the call is to be made again, having waited as long as
// that takes; else the error that the caller gets.
func (c *call) again(err error) error {
	ctx := c.request.Context()
	var refused *APIError
	var fixed *final
	switch {
	case errors.As(err, &fixed):
		return fixed.error
	case errors.As(err, &refused) && refused.Status == http.StatusTooManyRequests:
		return c.client.wait(ctx, c.throttled, refused)
	case refused != nil && refused.Status == http.StatusUnauthorized:
		if dropped := c.source.drop(ctx, c.token); c.renewed || dropped != nil {
			return refused
		}
		c.renewed = true
		return nil
	case refused != nil && refused.Status < http.StatusInternalServerError:
		return refused
	}
	c.failed++
	if !c.repeatable(err) {
		return fmt.Errorf("%w: %w", ErrMaybeDone, err)
	}
	if c.failed >= attempts || ctx.Err() != nil {
		return err
	}
	return c.client.wait(ctx, firstPause<<(c.failed-1), err)
}

// repeatable reports whether the call may be made again after an attempt of which
// nobody knows whether it was done.
func (c *call) repeatable(err error) bool {
	switch c.request.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete:
		return true
	}
	var dial *net.OpError // it never got there
	return errors.As(err, &dial) && dial.Op == "dial"
}

// waitOf says how long a 429 asks to wait: until X-RateLimit-Reset, by the
// server's own clock, or as Retry-After says.
func (c *Client) waitOf(h http.Header) time.Duration {
	if reset, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil {
		now, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			now = c.cfg.Now()
		}
		return max(time.Unix(reset, 0).Sub(now), unknownWait)
	}
	if seconds, err := strconv.ParseInt(h.Get("Retry-After"), 10, 32); err == nil {
		return max(time.Duration(seconds)*time.Second, unknownWait)
	}
	return unknownWait
}

// wait waits because of an error, which it returns where the wait is too long.
func (c *Client) wait(ctx context.Context, d time.Duration, because error) error {
	if d > c.cfg.MaxWait {
		return fmt.Errorf("%w; it asks to wait %s", because, d.Round(time.Second))
	}
	c.cfg.OnWait(d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), because)
	}
}

package auth0

import (
	"bytes"
	"context"
	"encoding/json"
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
	request *http.Request
	body    []byte
	arrived bool          // an attempt may have got there, and was not refused
	failed  int           // attempts that ended with a 5xx or without an answer
	renewed bool          // a 401 has had its second attempt
	token   Token         // of the last attempt
	asked   time.Duration // to wait, by the last 429
	waited  time.Duration // because of 429s
}

// once makes one attempt.
func (c *call) once() (*http.Response, error) {
	ctx := c.request.Context()
	var err error
	if c.token, err = c.source.token(ctx); err != nil {
		return nil, &final{err}
	}
	if err := c.client.pacer.wait(ctx, c.client.cfg.MaxWait); err != nil {
		return nil, &final{err}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, body, err := c.send(ctx)
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	switch {
	case response.StatusCode == http.StatusNotFound && c.request.Method == http.MethodDelete && c.arrived:
		// The attempt whose answer was lost has deleted it.
		response.StatusCode, response.Body = http.StatusNoContent, http.NoBody
		return response, nil
	case response.StatusCode >= http.StatusMultipleChoices:
		c.asked = c.client.waitOf(response.Header)
		return nil, apiError(response.StatusCode, body)
	case len(body) > 0 && !json.Valid(body):
		return nil, errors.New("the answer is not JSON")
	}
	return response, nil
}

// send sends the request and reads the answer, and tells both to the pacer.
func (c *call) send(ctx context.Context) (response *http.Response, body []byte, err error) {
	request := c.request.Clone(ctx)
	request.Header.Set("Authorization", "Bearer "+c.token.AccessToken)
	if request.Body = nil; len(c.body) > 0 {
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.body)), nil }
		request.Body, _ = request.GetBody()
		request.ContentLength = int64(len(c.body))
	}
	response, err = c.client.cfg.Transport.RoundTrip(request)
	if err != nil {
		c.client.pacer.done(nil, 0)
		return nil, nil, err
	}
	throttled := time.Duration(0)
	if response.StatusCode == http.StatusTooManyRequests {
		throttled = c.client.waitOf(response.Header)
	}
	c.client.pacer.done(response.Header, throttled)
	body, err = readAnswer(response)
	return response, body, err
}

func readAnswer(response *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("the answer is longer than %d MiB", maxBody>>20)
	}
	return body, nil
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
		c.waited += c.asked
		return c.client.waitThrottled(ctx, c.asked, c.waited, refused)
	case refused != nil && refused.Status == http.StatusUnauthorized:
		if dropped := c.source.drop(ctx, c.token); c.renewed || dropped != nil {
			return refused
		}
		c.renewed = true
		return nil
	case refused != nil && refused.Status == http.StatusForbidden && len(MissingScopes(refused)) > 0 && c.source.outgrown(ctx, c.token):
		return nil // nothing was done
	case refused != nil && refused.Status < http.StatusInternalServerError:
		return refused
	}
	c.failed++
	if arrived := !neverArrived(err); arrived {
		c.arrived = true
		if !idempotent(c.request.Method) {
			return fmt.Errorf("%w: %w", ErrMaybeDone, err)
		}
	}
	if c.failed >= attempts || ctx.Err() != nil {
		return err
	}
	return pause(ctx, firstPause<<(c.failed-1), err)
}

// neverArrived reports whether nobody was there to take the request.
func neverArrived(err error) bool {
	var dial *net.OpError
	return errors.As(err, &dial) && dial.Op == "dial"
}

// idempotent reports whether a call may be made again though it may have been done
// (RFC 9110, 9.2.2).
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// tooLong is a wait that nobody waits out.
const tooLong = 365 * 24 * time.Hour

// waitOf says how long a 429 asks to wait: until X-RateLimit-Reset, by the
// server's own clock, or as long as Retry-After says (RFC 9110, 10.2.3), whichever
// is longer: a quota that is used up names its end in the second alone.
func (c *Client) waitOf(h http.Header) time.Duration {
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = c.cfg.Now()
	}
	wait := unknownWait
	if value := h.Get("X-RateLimit-Reset"); value != "" {
		wait = max(wait, untilUnix(value, now))
	}
	if value := h.Get("Retry-After"); value != "" {
		if at, err := http.ParseTime(value); err == nil {
			wait = max(wait, min(at.Sub(now), tooLong))
		} else {
			wait = max(wait, seconds(value))
		}
	}
	return wait
}

// untilUnix is the time from now to a Unix time in seconds.
func untilUnix(value string, now time.Time) time.Duration {
	at, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil || at > now.Add(tooLong).Unix():
		return tooLong
	case at < now.Unix():
		return 0
	}
	return time.Unix(at, 0).Sub(now)
}

func seconds(value string) time.Duration {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || n > uint64(tooLong/time.Second) {
		return tooLong
	}
	return time.Duration(n) * time.Second
}

// waitThrottled waits d because of a 429, unless all such waits of a call come to
// more than MaxWait.
func (c *Client) waitThrottled(ctx context.Context, d, all time.Duration, because error) error {
	if all > c.cfg.MaxWait {
		return fmt.Errorf("%w; it asks to wait %s", because, d.Round(time.Second))
	}
	c.cfg.OnWait(d)
	return pause(ctx, d, because)
}

// pause waits because of an error, no longer than ctx.
func pause(ctx context.Context, d time.Duration, because error) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), because)
	}
}

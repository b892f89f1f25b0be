package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// poster sends documents to one receiver over HTTP.
type poster struct {
	url     string
	shown   string   // of url, without what may be secret
	secrets []string // that a receiver may send back, and that no error may hold
	client  *http.Client
	now     func() time.Time
}

// HTTP is how a channel speaks to its receiver; the zero value does.
type HTTP struct {
	// Timeout bounds one attempt. Default: 10 s.
	Timeout time.Duration
	// Transport does the requests. Default: one of its own with the settings
	// of http.DefaultTransport.
	Transport http.RoundTripper
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// newPoster checks the URL. Its error does not show it.
func newPoster(target string, h HTTP, secrets ...string) (*poster, error) {
	p := &poster{url: target, client: h.client(), now: h.Now}
	if p.now == nil {
		p.now = time.Now
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return p, errors.New("url: want http:// or https:// and a host")
	}
	p.shown = u.Scheme + "://" + u.Host
	password, _ := u.User.Password()
	p.secrets = slices.DeleteFunc(append(secrets, target, strings.Trim(u.Path, "/"), u.RawQuery, password), func(s string) bool { return len(s) < 6 })
	return p, nil
}

func (h HTTP) client() *http.Client {
	c := &http.Client{
		Timeout:   h.Timeout,
		Transport: h.Transport,
		// A redirect would carry the finding to where nobody configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Transport == nil {
		t, ok := http.DefaultTransport.(*http.Transport)
		if !ok {
			t = &http.Transport{}
		}
		c.Transport = t.Clone()
	}
	return c
}

const (
	maxAnswer = 64 << 10 // read, so that the connection can be used again; no receiver needs more
	maxQuote  = 300      // bytes of an answer in an error
)

// post sends one document and returns nil when the receiver has taken it.
func (p *poster) post(ctx context.Context, header http.Header, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post to %s: the url is not valid", p.shown)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "m2mwatch")
	maps.Copy(req.Header, header)
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("post to %s: %w", p.shown, withoutURL(err))
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return p.verdict(resp, text)
}

// verdict is nil for any 2xx. Whoever wants no more, or cannot read what it was
// sent, refuses; whoever is busy or broken is asked again; for all other answers,
// redirects too, somebody has to do something.
func (p *poster) verdict(resp *http.Response, body []byte) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	err := fmt.Errorf("post to %s: status %d%s", p.shown, resp.StatusCode, p.quote(body))
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %w", err, ErrRefused)
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		if resp.StatusCode < 500 {
			return fmt.Errorf("%w: %w", err, ErrUnwelcome)
		}
	}
	if after := retryAfter(resp.Header.Get("Retry-After"), p.now()); after > 0 {
		return &Busy{err, after}
	}
	return err
}

// retryAfter reads the header's two forms; 0 where it says nothing.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// quote is the beginning of an answer, on one line, without secrets that the
// receiver repeats.
func (p *poster) quote(body []byte) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body), "?")), " ")
	for _, s := range p.secrets {
		text = strings.ReplaceAll(text, s, "<secret>")
	}
	if text == "" {
		return ""
	}
	return ": " + clip(text, maxQuote)
}

// withoutURL takes the cause out of the client's error, which quotes the whole
// URL with its query.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

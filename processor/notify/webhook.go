package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// WebhookConfig says where a webhook is and how it is signed.
type WebhookConfig struct {
	// Name is the channel's name in records, logs and metrics. Default: webhook.
	Name string
	// URL is http or https. Its user and password, where it has any, are sent
	// as basic authentication.
	URL string
	// Secrets sign each request, whsec_<base64> of 24 to 64 bytes. Several are
	// valid at once while a secret is changed: there is a signature of each.
	Secrets []string
	// Timeout bounds one attempt. Default: 10 s.
	Timeout time.Duration
	// Transport does the requests. Default: one of its own with the settings
	// of http.DefaultTransport.
	Transport http.RoundTripper
	// Now is the clock of webhook-timestamp. Default: time.Now.
	Now func() time.Time
}

// Webhook posts findings as JSON, signed as Standard Webhooks says.
type Webhook struct {
	name   string
	url    string
	shown  string // without what may be secret
	keys   [][]byte
	client *http.Client
	now    func() time.Time
}

// NewWebhook checks the configuration and reports every problem of it at once.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	w := &Webhook{name: cfg.Name, url: cfg.URL, now: cfg.Now}
	if w.name == "" {
		w.name = "webhook"
	}
	if w.now == nil {
		w.now = time.Now
	}
	var problems []error
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		problems = append(problems, fmt.Errorf("webhook %s: url: want http:// or https:// and a host", w.name))
	} else {
		w.shown = u.Scheme + "://" + u.Host
	}
	if len(cfg.Secrets) == 0 {
		problems = append(problems, fmt.Errorf("webhook %s: secrets: want at least one", w.name))
	}
	for i, s := range cfg.Secrets {
		key, err := webhookKey(s)
		if err != nil {
			problems = append(problems, fmt.Errorf("webhook %s: secret %d: %w", w.name, i+1, err))
		}
		w.keys = append(w.keys, key)
	}
	w.client = newClient(cfg)
	return w, errors.Join(problems...)
}

func newClient(cfg WebhookConfig) *http.Client {
	c := &http.Client{
		Timeout:   cfg.Timeout,
		Transport: cfg.Transport,
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

// webhookKey reads whsec_<base64>. Its error does not show it.
func webhookKey(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, "whsec_")
	if !ok {
		return nil, errors.New("want whsec_ and base64")
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("want whsec_ and the base64 of 24 to 64 bytes")
	}
	return key, nil
}

// Name is the channel's name.
func (w *Webhook) Name() string { return w.name }

// webhookBody is what a receiver reads.
type webhookBody struct {
	Type      string          `json:"type"`
	Timestamp time.Time       `json:"timestamp"`
	Data      schemas.Finding `json:"data"`
}

// Deliver posts one alert. Any 2xx means delivered, 410 that the receiver
// wants no more; everything else, redirects too, is a failure.
func (w *Webhook) Deliver(ctx context.Context, a schemas.Alert) error {
	now := w.now().UTC()
	body, err := json.Marshal(webhookBody{Type: "finding." + string(a.Finding.State), Timestamp: now, Data: a.Finding})
	if err != nil {
		return fmt.Errorf("write the body: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post to %s: the url is not valid", w.shown)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "m2mwatch")
	w.sign(req.Header, a.ID, now, body)
	resp, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("post to %s: %w", w.shown, withoutURL(err))
	}
	defer resp.Body.Close()
	// Read so that the connection can be used again; no receiver needs more.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return w.verdict(resp.StatusCode)
}

func (w *Webhook) verdict(status int) error {
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusGone:
		return fmt.Errorf("post to %s: status 410: %w", w.shown, ErrGone)
	}
	return fmt.Errorf("post to %s: status %d", w.shown, status)
}

// withoutURL takes the cause out of the client's error, which quotes the whole
// URL with its query.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// sign sets the headers of Standard Webhooks: HMAC-SHA256 over id, timestamp
// and body, once per valid secret.
func (w *Webhook) sign(h http.Header, id string, now time.Time, body []byte) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	signatures := make([]string, len(w.keys))
	for i, key := range w.keys {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.", id, timestamp)
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", timestamp)
	h.Set("webhook-signature", strings.Join(signatures, " "))
}

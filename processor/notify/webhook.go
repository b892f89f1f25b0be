package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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
	// HTTP is how it is sent; Now is also the clock of webhook-timestamp.
	HTTP
}

// Webhook posts findings as JSON, signed as Standard Webhooks says.
type Webhook struct {
	name string
	post *poster
	keys [][]byte
}

// NewWebhook checks the configuration and reports every problem of it at once.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	w := &Webhook{name: cfg.Name}
	if w.name == "" {
		w.name = "webhook"
	}
	var problems []error
	var err error
	if w.post, err = newPoster(cfg.URL, cfg.HTTP, cfg.Secrets...); err != nil {
		problems = append(problems, fmt.Errorf("webhook %s: %w", w.name, err))
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
	return w, errors.Join(problems...)
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
	Type      string    `json:"type"` // finding.open, finding.withdrawn, finding.test where somebody tries the channel, findings.summary or digest
	Timestamp time.Time `json:"timestamp"`
	Data      any       `json:"data"`          // schemas.Finding, schemas.Summary or schemas.Digest
	URL       string    `json:"url,omitempty"` // where to look at it
}

// Deliver posts one alert.
func (w *Webhook) Deliver(ctx context.Context, a schemas.Alert) error {
	now := w.post.now().UTC()
	kind := "finding." + string(a.Finding.State)
	if a.Test {
		kind = "finding.test"
	}
	data := any(a.Finding)
	if a.Summary != nil {
		kind, data = "findings.summary", a.Summary
	}
	if a.Digest != nil {
		kind, data = "digest", a.Digest
	}
	body, err := json.Marshal(webhookBody{Type: kind, Timestamp: now, Data: data, URL: a.URL})
	if err != nil {
		return fmt.Errorf("write the body: %w", err)
	}
	header := http.Header{}
	w.sign(header, a.ID, now, body)
	return w.post.post(ctx, header, body)
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

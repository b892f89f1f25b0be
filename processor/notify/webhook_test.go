package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/processor/notify"
	"github.com/m2mwatch/m2mwatch/schemas"
)

var (
	secret      = "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of thirty-two bytes ...."))
	otherSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("another of those, for the change."))
)

// verified checks a request as a receiver with one secret does, from the text
// of the Standard Webhooks specification.
func verified(h http.Header, body, secret string, now time.Time) error {
	key, err := base64.StdEncoding.DecodeString(strings.Split(secret, "_")[1])
	if err != nil {
		return err
	}
	sent, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	if err != nil || now.Sub(time.Unix(sent, 0)).Abs() > 5*time.Minute {
		return errors.New("the timestamp is not of now")
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.Join([]string{h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), body}, ".")))
	want := mac.Sum(nil)
	for part := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		version, text, _ := strings.Cut(part, ",")
		got, err := base64.StdEncoding.DecodeString(text)
		if err == nil && version == "v1" && subtle.ConstantTimeCompare(got, want) == 1 {
			return nil
		}
	}
	return errors.New("no signature fits")
}

func TestWebhookIsSignedByEveryValidSecret(t *testing.T) {
	r := newReceiver(t, 200)
	w, err := notify.NewWebhook(notify.WebhookConfig{URL: r.URL, Secrets: []string{secret, otherSecret}})
	if err != nil {
		t.Fatal(err)
	}
	a := alert(7)
	if err := w.Deliver(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	header, body := r.headers[0], r.bodies[0]
	for _, s := range []string{secret, otherSecret} {
		if err := verified(header, body, s, time.Now()); err != nil {
			t.Errorf("signature %q: %v", header.Get("webhook-signature"), err)
		}
	}
	if err := verified(header, body+" ", secret, time.Now()); err == nil {
		t.Error("a changed body is accepted")
	}
	strange := "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret that was never configured"))
	if err := verified(header, body, strange, time.Now()); err == nil {
		t.Error("a strange secret is accepted")
	}
	if got := header.Get("Webhook-Id"); got != a.ID {
		t.Errorf("webhook-id %q, want the alert's %q", got, a.ID)
	}
}

func TestWebhookBodyCarriesTheFinding(t *testing.T) {
	at := time.Date(2026, 4, 14, 12, 0, 0, 0, time.UTC)
	for state, wantType := range map[schemas.State]string{schemas.StateOpen: "finding.open", schemas.StateWithdrawn: "finding.withdrawn"} {
		r := newReceiver(t, 200)
		w, err := notify.NewWebhook(notify.WebhookConfig{URL: r.URL, Secrets: []string{secret}, HTTP: notify.HTTP{Now: func() time.Time { return at }}})
		if err != nil {
			t.Fatal(err)
		}
		a := alert(1)
		a.Finding.State = state
		if err := w.Deliver(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Type      string
			Timestamp time.Time
			Data      schemas.Finding
		}
		if err := json.Unmarshal([]byte(r.bodies[0]), &got); err != nil {
			t.Fatal(err)
		}
		if got.Type != wantType || !got.Timestamp.Equal(at) {
			t.Errorf("type %q at %s, want %q at %s", got.Type, got.Timestamp, wantType, at)
		}
		if diff := cmp.Diff(a.Finding, got.Data); diff != "" {
			t.Errorf("data (-want +got):\n%s", diff)
		}
	}
}

func TestWebhookFollowsNoRedirect(t *testing.T) {
	elsewhere := newReceiver(t, 200)
	redirecting := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(redirecting.Close)
	if err := webhook(t, redirecting.URL).Deliver(t.Context(), alert(1)); err == nil || !strings.Contains(err.Error(), "status 307") {
		t.Errorf("error %v, want status 307", err)
	}
	if got := elsewhere.got(); len(got) != 0 {
		t.Errorf("the finding went where the redirect pointed: %v", got)
	}
}

func TestWebhookErrorsHoldNoSecret(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close() // nobody listens there
	for _, url := range []string{
		"http://user:hunter2@" + address + "/path-hunter2?token=hunter2#hunter2",
		"http://user:hunter2@" + newReceiver(t, 500).Listener.Addr().String() + "/?token=hunter2",
	} {
		err := webhook(t, url).Deliver(t.Context(), alert(1))
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("error %v, want one with the host and without the secrets", err)
		}
	}
	_, err = notify.NewWebhook(notify.WebhookConfig{URL: "http://x:hunter2@%zz/?hunter2", Secrets: []string{"hunter2", "whsec_hunter2", "whsec_" + base64.StdEncoding.EncodeToString([]byte("short"))}})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v, want one without the secrets", err)
	}
	for _, want := range []string{"url:", "secret 1:", "secret 2:", "secret 3:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to name %s", err, want)
		}
	}
}

func TestWebhookGivesUpOnAReceiverThatNeverAnswers(t *testing.T) {
	quit := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-quit:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(quit) })
	w, err := notify.NewWebhook(notify.WebhookConfig{URL: server.URL, Secrets: []string{secret}, HTTP: notify.HTTP{Timeout: 50 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Deliver(context.Background(), alert(1)); err == nil || errors.Is(err, notify.ErrRefused) {
		t.Errorf("error %v, want one that asks for another attempt", err)
	}
}

func TestWebhookReadsABoundedAnswer(t *testing.T) {
	written := make(chan int, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk, n := make([]byte, 64<<10), 0
		for ; n < 64<<20; n += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				break
			}
		}
		written <- n
	}))
	t.Cleanup(server.Close)
	if err := webhook(t, server.URL).Deliver(t.Context(), alert(1)); err != nil {
		t.Fatal(err)
	}
	if n := <-written; n >= 64<<20 {
		t.Errorf("the receiver could send %d bytes, want it cut off", n)
	}
}

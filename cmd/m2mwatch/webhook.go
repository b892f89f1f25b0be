package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// What a webhook takes, as its path says.
const (
	takesLogs   = "/v1/logs/"
	takesCustom = "/v1/custom/"
)

// payloadURL is the address that a log stream or an Action delivers to. Of a host
// alone it is the tenant's webhook there. Auth0 delivers to https alone; http is for
// a simulated tenant on the same machine.
func payloadURL(text, tenant, takes string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return "", fmt.Errorf("%w: --endpoint: want https://HOST, to which Auth0 delivers alone", errUsage)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%w: --endpoint: want no more than https://HOST and a path: what lets a delivery in is the secret", errUsage)
	}
	switch path := strings.Trim(u.Path, "/"); {
	case path == "" && tenant == "":
		return "", fmt.Errorf("%w: --endpoint is a host alone: want --tenant with it, or the whole payload URL", errUsage)
	case path == "":
		u.Path = takes + tenant
	case takes == takesLogs && strings.Contains(u.Path, takesCustom):
		return "", fmt.Errorf("%w: --endpoint takes custom events: want %s and the tenant's name", errUsage, takes)
	case takes == takesCustom && strings.Contains(u.Path, takesLogs):
		return "", fmt.Errorf("%w: --endpoint takes the logs of a log stream: want %s and the tenant's name", errUsage, takes)
	}
	if _, name, ours := strings.Cut(u.Path, takes); ours && tenant != "" && name != tenant {
		return "", fmt.Errorf("%w: --endpoint is the webhook of tenant %q, and --tenant is %q", errUsage, name, tenant)
	}
	return u.String(), nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// What a webhook says of a secret.
var (
	errSecretUnknown = errors.New("the webhook refuses the secret: m2mwatch.yaml does not name it for this tenant, or does not have the tenant")
	errWebhookAway   = errors.New("the webhook cannot be asked from here")
	errNotNow        = errors.New("the webhook is not ready")
)

// askWebhook sends a delivery of no logs, which stores nothing and tells whether
// the secret is known. The error wraps one of the three above where trying again
// may help; any other is about the address.
func askWebhook(ctx context.Context, endpoint, secret string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader("[]"))
	if err != nil {
		return fmt.Errorf("--endpoint: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", secret)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return fmt.Errorf("%w: %w", errWebhookAway, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("%w: %w", errWebhookAway, err)
	}
	return judgeWebhook(resp.StatusCode, body)
}

// judgeWebhook tells the webhook's answers from those of whatever else may answer.
func judgeWebhook(status int, body []byte) error {
	var answer struct {
		schemas.Problem
		Accepted *int `json:"accepted"`
	}
	ours := json.Unmarshal(body, &answer) == nil && (answer.Code != "" || answer.Accepted != nil)
	switch {
	case status == http.StatusOK && ours:
		return nil
	case status == http.StatusUnauthorized && ours:
		return errSecretUnknown
	case status == http.StatusForbidden && ours:
		return fmt.Errorf("%w: ingest.allow lets others in alone, Auth0 for one", errWebhookAway)
	case status >= 500:
		return fmt.Errorf("%w: %d %s", errNotNow, status, http.StatusText(status))
	case ours:
		return fmt.Errorf("--endpoint is not the payload URL of a tenant: %d, %s", status, answer.Detail)
	}
	return fmt.Errorf("--endpoint is not the webhook of m2mwatch: another server answers there, %d %s", status, http.StatusText(status))
}

// askAgain is the pause between two looks at a webhook.
const askAgain = time.Second

// awaitSecret waits until a webhook knows a secret; it asks once at least. One that
// cannot be asked from here is told and no error: Auth0 may reach it all the same.
func awaitSecret(ctx context.Context, inv *invocation, endpoint, secret string, wait time.Duration) error {
	bar := newProgress(inv.stderr, "webhook")
	defer bar.done()
	for begun := time.Now(); ; {
		err := askWebhook(ctx, endpoint, secret)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errWebhookAway):
			bar.done()
			fmt.Fprintln(inv.stderr, "not tried whether it is let in:", legible(err.Error()))
			return nil
		case !errors.Is(err, errSecretUnknown) && !errors.Is(err, errNotNow):
			return fmt.Errorf("nothing was changed at Auth0: %w", err)
		}
		spent := time.Since(begun)
		if spent >= wait {
			return fmt.Errorf("nothing was changed at Auth0: after %s %w. The secret stays in its file: name it in m2mwatch.yaml, then run this again with --from-secret-file", wait, err)
		}
		bar.show(int64(spent), int64(wait), err.Error())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(askAgain, wait-spent)):
		}
	}
}

package doctor

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// webhook sends a delivery that must be refused: with a token that is nobody's
// and nothing in it.
func (d *Doctor) webhook(ctx context.Context) Result {
	var r Result
	if d.cfg.URL == "" {
		r.skip("say --url https://your-host, the address that Auth0 delivers to", "whether Auth0 can reach it was not tried")
		return r
	}
	target, err := d.webhookURL()
	if err != nil {
		r.fail("say --url https://your-host", "%v", err)
		return r
	}
	if target.Scheme == "http" {
		r.warn("put a reverse proxy before it, or set tls in the configuration", "%s is http: Auth0 delivers to https alone", target.Redacted())
	}
	d.payload(&r, target)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), strings.NewReader("[]"))
	if err != nil {
		r.fail("say --url https://your-host", "%v", err)
		return r
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "m2mwatch-doctor-is-to-be-refused")
	resp, err := d.cfg.HTTP.Do(req)
	if err != nil {
		unreachable(&r, target, err)
		return r
	}
	defer resp.Body.Close()
	judgeAnswer(&r, target, resp)
	return r
}

var errWebhookURL = errors.New("the address of the webhook is no http or https URL")

// webhookURL adds the path of a tenant's webhook where it is not there.
func (d *Doctor) webhookURL() (*url.URL, error) {
	u, err := url.Parse(d.cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errWebhookURL
	}
	if strings.Trim(u.Path, "/") == "" {
		tenant := "doctor"
		if len(d.cfg.Settings.Tenants) > 0 {
			tenant = d.cfg.Settings.Tenants[0].Name
		}
		u.Path = "/v1/logs/" + tenant
	}
	return u, nil
}

// logsPath ends the payload URL of a log stream.
var logsPath = regexp.MustCompile(`/v1/logs/([^/]+)$`)

// payload tells what shows of the URL without asking: the webhook refuses a
// tenant that it does not know in the words of a wrong token, so that nobody
// learns whose logs it takes. Another path may be one that a proxy rewrites.
func (d *Doctor) payload(r *Result, target *url.URL) {
	if strings.Contains(target.Path, "/v1/custom/") {
		r.fail("give the log stream the payload URL that ends in /v1/logs/ and the tenant's name", "%s takes custom events, not the deliveries of a log stream", target.Redacted())
		return
	}
	m := logsPath.FindStringSubmatch(target.Path)
	if m == nil {
		return
	}
	var names []string
	for _, t := range d.cfg.Settings.Tenants {
		names = append(names, t.Name)
	}
	switch {
	case len(names) == 0:
		r.fail(addTenant, "no tenants are configured: each delivery is refused with 401")
	case !slices.Contains(names, m[1]):
		r.fail("correct the payload URL in Auth0, or add the tenant to the configuration, which has "+strings.Join(names, ", "),
			"no tenant %s is configured: each of its deliveries is refused with 401", m[1])
	}
}

// unreachable says how far the request came.
func unreachable(r *Result, target *url.URL, err error) {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // which does not repeat the address
	}
	host := target.Host
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		r.fail("correct the name, or its DNS record", "the name %s does not resolve", target.Hostname())
		return
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		r.fail("use a certificate of a public authority, for this name, with its chain: Auth0 refuses others", "the certificate of %s is not trusted: %v", host, err)
		return
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		r.fail("put a reverse proxy before it, or set tls in the configuration", "%s does not speak TLS", host)
		return
	}
	r.fail("look at the firewall, the proxy, and whether m2mwatch runs", "cannot connect to %s: %v", host, err)
}

// maxProblem bounds what is read of an answer.
const maxProblem = 64 << 10

// judgeAnswer tells our own refusal from whatever else may answer.
func judgeAnswer(r *Result, target *url.URL, resp *http.Response) {
	var p schemas.Problem
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem)) // what was cut off is no problem of ours
	ours := strings.HasPrefix(resp.Header.Get("Content-Type"), schemas.ProblemType) && json.Unmarshal(b, &p) == nil && p.Code != ""
	switch {
	case ours && p.Code == "unauthorized":
		r.ok("%s is reached and refuses a wrong token", target.Redacted())
	case ours && resp.StatusCode == http.StatusForbidden:
		r.warn("see that ingest.allow names the addresses that Auth0 publishes, and trusted_proxies the proxy before it; call doctor from an address on the list to try the rest",
			"%s is reached, and ingest.allow refuses the address that this machine comes from (403 %s)", target.Redacted(), p.Code)
	case ours:
		r.fail("give the whole payload URL, ending in /v1/logs/ and the tenant's name, and the listener that serves it", "%s answers %d %s: %s", target.Redacted(), resp.StatusCode, p.Code, p.Detail)
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		r.fail("give Auth0 the address that is redirected to", "%s redirects to another address, which Auth0 does not follow", target.Redacted())
	case resp.StatusCode >= 502 && resp.StatusCode <= 504:
		r.fail("see that m2mwatch runs, and where the proxy sends requests", "what stands before m2mwatch answers %d at %s: it does not reach it", resp.StatusCode, target.Redacted())
	default:
		r.fail("correct the address, or where the proxy sends requests", "another server answers at %s: %s, no refusal of m2mwatch", target.Redacted(), resp.Status)
	}
}

package doctor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
)

// refusedWith says what an answer of the webhook means, and what to do.
var refusedWith = []struct{ code, why, advice string }{
	{"401", "a wrong token, or a tenant that is not configured (each `doctor --url` is one of them)", "compare the authorization token of the log stream with the tenant's secrets, and the end of its payload URL with the tenant's name; the log names tenant and address"},
	{"403", "their address is not on ingest.allow", "add those that Auth0 publishes, or name the proxy before it in trusted_proxies; the log names the addresses"},
	{"400", "no logs of a log stream, or unfit custom events", "create a log stream of the type Custom Webhook; the log tells the code"},
	{"408", "the body did not come in time", "look at the network before it, or raise ingest.body_timeout"},
	{"413", "larger than ingest.max_body", "send them in parts"},
	{"503", "LOGS was full, too much came at once, or nothing could be written; what was not stored is sent again", "see the checks of instance, disk room and clickhouse: LOGS is full where nothing is taken out of it"},
}

const requestsMetric = `m2mwatch_ingest_requests_total{code="`

// deliveries tells what became of those that came since the instance was
// started: a tenant whose deliveries are refused looks like one that has none.
func (d *Doctor) deliveries(ctx context.Context) Result {
	var r Result
	if !d.running {
		r.skip("", "what became of them is known to a running instance alone")
		return r
	}
	text, err := d.client.Metrics(ctx)
	if refusal, ok := errors.AsType[*apiclient.Error](err); ok && refusal.Status == http.StatusNotFound {
		r.skip("start it with this build", "not looked at: the instance that runs is of an earlier build")
		return r
	}
	if err != nil {
		r.fail("see the check of instance", "not looked at: %v", err)
		return r
	}
	answers := RequestsByCode(text)
	for _, refused := range refusedWith {
		if n := answers[refused.code]; n > 0 {
			r.warn(refused.advice, "%.0f were refused with %s since the instance was started: %s", n, refused.code, refused.why)
		}
	}
	switch n := answers["200"]; {
	case n > 0:
		r.ok("%.0f were taken since the instance was started, custom events and imports among them", n)
	case len(r.Notes) == 0:
		r.ok("none has come since the instance was started")
	}
	return r
}

// RequestsByCode reads from an instance's metrics, in the format of Prometheus, how
// many requests its webhook has answered, by status.
func RequestsByCode(text []byte) map[string]float64 {
	counts := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), requestsMetric)
		if !ok {
			continue
		}
		code, value, _ := strings.Cut(rest, `"} `)
		var n float64
		if _, err := fmt.Sscan(value, &n); err == nil {
			counts[code] = n
		}
	}
	return counts
}

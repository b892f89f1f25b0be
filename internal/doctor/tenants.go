package doctor

import (
	"context"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
)

// quiet is after how long without an event a tenant's stream may be broken.
const quiet = 24 * time.Hour

const addTenant = "add one under tenants in the configuration: a name, and the secret that its log stream sends. A stage that runs alone without ingest needs none"

const checkStream = "look at the log stream's health in the Auth0 Dashboard (Monitoring › Streams), and try `m2mwatch doctor --url https://your-host`"

// tenants tells whose events come in.
func (d *Doctor) tenants(ctx context.Context) Result {
	var r Result
	tenants := d.cfg.Settings.Tenants
	if len(tenants) == 0 {
		r.warn(addTenant, "none are configured: every delivery is refused")
		return r
	}
	if !d.running {
		r.ok("%d configured", len(tenants))
		r.skip("", "when each was heard of last is known to a running instance alone")
		return r
	}
	for _, t := range tenants {
		page, err := d.client.Events(ctx, apiclient.EventQuery{Where: map[string]string{"tenant": t.Name}, Limit: 1})
		if err != nil {
			r.fail("see the checks of instance and clickhouse", "events of %s: %v", t.Name, err)
			continue
		}
		if len(page.Events) == 0 {
			r.warn(checkStream, "%s: nothing was ever stored", t.Name)
			continue
		}
		last := page.Events[0].Time
		if ago := d.cfg.Now().Sub(last); ago > quiet {
			r.warn(checkStream, "%s: the last event is of %s, %s ago", t.Name, last.UTC().Format(time.RFC3339), ago.Round(time.Hour))
			continue
		}
		r.ok("%s: the last event is of %s", t.Name, last.UTC().Format(time.RFC3339))
	}
	return r
}

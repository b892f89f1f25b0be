package doctor

import (
	"context"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// quiet is after how long without an event a tenant's stream may be broken.
const quiet = 24 * time.Hour

const addTenant = "add one under tenants in the configuration: a name, and the secret that its log stream sends. A stage that runs alone without ingest needs none"

const checkStream = "look at the log stream's health in the Auth0 Dashboard (Monitoring › Streams), and try `m2mwatch doctor --url https://your-host`"

const checkPull = "it may be so: a tenant that is followed through its Management API has its logs read to the end. `m2mwatch status` tells how far"

// toBeDone is what to do where a tenant cannot be pulled, by the reason.
var toBeDone = map[string]string{
	schemas.PullReasonCredentials: "compare management.client_id and its secret or key with the application's settings in the Auth0 Dashboard",
	schemas.PullReasonScope:       "grant the application the Management API with the scope read:logs, and others that begin with read: alone",
	schemas.PullReasonThrottled:   "something else uses up the calls of the tenant's Management API: look for api_limit among its events",
	schemas.PullReasonUnreachable: "look whether the domain is the tenant's, and whether this machine gets to it by https",
	schemas.PullReasonNotStored:   "see the checks of nats and disk",
}

// behind is after how long a tenant that is followed is too far behind.
const behind = 15 * time.Minute

// pulled tells how a tenant is followed through its Management API.
func (d *Doctor) pulled(r *Result, p *schemas.PullView) {
	if p.Error != "" {
		r.fail(toBeDone[p.Reason], "%s: its logs cannot be pulled since %s: %s", p.Tenant, utc(p.Since), p.Error)
	} else if p.CaughtUp != nil && d.cfg.Now().Sub(*p.CaughtUp) > behind {
		r.warn("look whether an ingest process runs, and at m2mwatch_ingest_pull_errors_total; a tenant that logs more than 100 a second needs a log stream", "%s: its live logs were last read to the end at %s", p.Tenant, utc(p.CaughtUp))
	}
	for _, m := range p.Missing {
		r.warn("there may have been none; else they are lost, as Auth0 has dropped them", "%s: Auth0 had no logs left of %s to %s when they were to be read", p.Tenant, utc(&m.From), utc(&m.To))
	}
}

// utc is a time, or a word where it is not known.
func utc(t *time.Time) string {
	if t == nil {
		return "an unknown time"
	}
	return t.UTC().Format(time.RFC3339)
}

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
	status, err := d.client.Status(ctx)
	if err != nil {
		r.fail("see the checks of instance and clickhouse", "the status: %v", err)
	}
	pulls := map[string]schemas.PullView{}
	for _, p := range status.Pulls {
		pulls[p.Tenant] = p
	}
	for _, t := range tenants {
		checkStream := checkStream
		if p, ok := pulls[t.Name]; ok {
			d.pulled(&r, &p)
			if t.Pulled() {
				checkStream = checkPull
			}
		}
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

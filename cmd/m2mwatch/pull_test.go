package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// fastPull has pages follow one another at once.
const fastPull = "M2MWATCH_PACE=pull=200ms,page=1ms,lease=1s,ack=1s"

// pulledTenant is a simulated tenant and the configuration that follows it.
type pulledTenant struct {
	*operator
	config, data string
}

// newPulledTenant has a history, and an application with read:logs. With webhook
// its log stream may deliver, too.
func newPulledTenant(t *testing.T, history int, management string, webhook bool) *pulledTenant {
	t.Helper()
	o := newWatcher(t, "read:logs", "read:clients")
	if history > 0 {
		o.tenant.KeepHistory(time.Now().Add(-20*time.Hour), time.Now().Add(-time.Hour), history)
	}
	p := &pulledTenant{operator: o, config: filepath.Join(t.TempDir(), "m2mwatch.yaml"), data: filepath.Join(t.TempDir(), "data")}
	p.configure(management, webhook)
	return p
}

func (p *pulledTenant) configure(management string, webhook bool) {
	p.t.Helper()
	secrets := ""
	if webhook {
		secrets = fmt.Sprintf("secrets: [%q], ", testSecret)
	}
	text := fmt.Sprintf("tenants: [{name: acme, %sdomain: %q, management: {client_id: %q, client_secret: %q, inventory: never%s}}]\napi: {tokens: [{name: test, token: %q}]}\nclickhouse: {memory: 768MiB}\n",
		secrets, strings.TrimPrefix(p.base, "http://"), p.client.ID, p.client.Secret, management, testToken)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pulledTenant) up(env ...string) *instance {
	p.t.Helper()
	return startProgram(p.t, append([]string{fastPull}, env...), "up", "--config", p.config, "--data", p.data, "--listen", "127.0.0.1:0", "--log-format", "json")
}

// logged are the log_ids of all that the tenant keeps.
func (p *pulledTenant) logged() map[string]bool {
	p.t.Helper()
	ids := map[string]bool{}
	for from := "900"; ; {
		var page []struct {
			ID string `json:"log_id"`
		}
		if status := p.admin("GET", "logs?take=100&from="+from, nil, &page); status != http.StatusOK {
			p.t.Fatalf("status %d", status)
		}
		if len(page) == 0 {
			return ids
		}
		for _, l := range page {
			ids[l.ID] = true
			from = l.ID
		}
	}
}

// act has the tenant log something n times: failed exchanges, which are no call of
// the Management API.
func (p *pulledTenant) act(n int) {
	p.t.Helper()
	for range n {
		response, err := http.PostForm(p.base+"/oauth/token", map[string][]string{
			"grant_type": {"client_credentials"}, "client_id": {p.client.ID}, "client_secret": {"wrong"}, "audience": {"https://" + p.tenant.Domain() + "/api/v2/"},
		})
		if err != nil {
			p.t.Fatal(err)
		}
		response.Body.Close()
	}
}

// bySource are how many events are stored by each source.
func (i *instance) bySource() map[string]int {
	i.tb.Helper()
	var answer struct {
		Rows []struct {
			Source string
			Count  int
		}
	}
	i.mustGet("/v1/stats?tenant=acme&by=source", &answer)
	out := map[string]int{}
	for _, row := range answer.Rows {
		out[row.Source] = row.Count
	}
	return out
}

// awaitPull waits until the tenant is imported and as many events are stored as it
// has.
func (i *instance) awaitPull(want int) {
	i.tb.Helper()
	i.eventually(fmt.Sprintf("%d events", want), func() error {
		var s schemas.StatusView
		if err := i.get("/v1/status", &s); err != nil {
			return err
		}
		if len(s.Pulls) != 1 || s.Pulls[0].Imported == nil || len(s.Pulls[0].Spans) > 0 {
			return fmt.Errorf("pulls %+v", s.Pulls)
		}
		if n := len(i.listed("")); n != want {
			return fmt.Errorf("%d events", n)
		}
		return nil
	})
	i.settle()
}

func TestATenantWithoutALogStreamIsFollowed(t *testing.T) {
	p := newPulledTenant(t, 1200, "", false)
	i := p.up()
	before := len(p.logged())
	i.awaitPull(before)
	p.act(5)
	all := p.logged()
	i.awaitPull(len(all))
	i.checkOnce(all)
	if got := i.bySource(); got["import"] < 1200 || got["import"]+got["pull"] != len(all) || got["pull"] < 5 {
		t.Errorf("stored by source %v, of %d", got, len(all))
	}
	var s schemas.StatusView
	i.mustGet("/v1/status", &s)
	if v := s.Pulls[0]; v.Tenant != "acme" || v.CaughtUp == nil || time.Since(*v.CaughtUp) > 2*time.Minute || v.Error != "" {
		t.Errorf("status %+v", v)
	}
	i.interrupt()
	if strings.Contains(i.log(), p.client.Secret) {
		t.Error("the log has the secret")
	}
}

// TestPullAndWebhookOfTheSameEventsGiveOneRowEach has each log come both ways.
func TestPullAndWebhookOfTheSameEventsGiveOneRowEach(t *testing.T) {
	p := newPulledTenant(t, 300, ", pull: always", true)
	i := p.up()
	i.awaitPull(len(p.logged())) // what comes is live
	p.tenant.AddLogStream(auth0sim.Stream{Endpoint: i.webhook, Authorization: testSecret, Format: auth0sim.FormatJSONArray})
	run := make(chan struct{})
	go func() {
		defer close(run)
		p.tenant.Run(t.Context())
	}()
	p.act(60)
	all := p.logged()
	i.awaitPull(len(all))
	i.eventually("the copies of both", func() error {
		pulled, _ := i.findMetric(`m2mwatch_ingest_records_total{source="pull"}`)
		if got := i.bySource(); got["stream"] < 60 || pulled < 60 {
			return fmt.Errorf("%v, %.0f pulled", got, pulled)
		}
		return nil
	})
	i.settle()
	i.checkOnce(all)
	i.interrupt()
}

func TestHistoryIsImportedThoughAStreamDelivers(t *testing.T) {
	p := newPulledTenant(t, 300, "", true)
	i := p.up()
	i.eventually("the history", func() error {
		if got := i.bySource(); got["import"] < 300 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	var s schemas.StatusView
	i.mustGet("/v1/status", &s)
	if len(s.Pulls) != 1 || s.Pulls[0].CaughtUp != nil || s.Pulls[0].Error != "" {
		t.Errorf("status %+v: want it not followed", s.Pulls)
	}
	i.interrupt()
}

// TestKillWhilePullingLosesNothing ends the process at each step of a puller, over
// and over, and compares what is stored with what the tenant has.
func TestKillWhilePullingLosesNothing(t *testing.T) {
	p := newPulledTenant(t, 2000, "", false)
	for _, point := range []string{
		"ingest.pull_begun:1", "ingest.before_publish:2", "ingest.published:2", "ingest.pull_published:3", "ingest.pull_noted:2", "ingest.pull_published:1",
	} {
		i := p.up("M2MWATCH_KILL_AT=" + point)
		i.awaitExit()
		if status, ok := i.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("%s: the process ended otherwise: %v\n%s", point, i.exitErr, i.log())
		}
		p.act(2)
	}
	i := p.up()
	all := p.logged()
	i.awaitPull(len(all))
	i.checkOnce(all)
	i.interrupt()
}

func TestPullSurvivesWhatAuth0Answers(t *testing.T) {
	p := newPulledTenant(t, 900, "", false)
	const logs = "/api/v2/logs"
	for _, f := range []auth0sim.Fault{
		{Path: logs, Skip: 1, Status: http.StatusTooManyRequests},
		{Path: logs, Skip: 1, Drop: true},
		{Path: logs, Skip: 2, Status: http.StatusServiceUnavailable, Times: 5}, // more than the adapter tries
		{Path: logs, Skip: 1, Status: http.StatusBadGateway, Body: "<html>"},
	} {
		p.tenant.Inject(f)
	}
	i := p.up()
	i.eventually("the history", func() error {
		if got := i.bySource(); got["import"] < 900 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	all := p.logged()
	i.awaitPull(len(all))
	i.checkOnce(all)
	if n := strings.Count(i.log(), "logs are pulled again"); n != 1 {
		t.Errorf("told %d times that it goes on\n%s", n, i.log())
	}
	i.interrupt()
}

// TestPullIsReloaded has a scope that is missing, a secret that is wrong, and their
// end, without a restart.
func TestPullIsReloaded(t *testing.T) {
	p := newPulledTenant(t, 50, "", false)
	p.become("read:clients")
	p.configure("", false)
	i := p.up()
	reason := func(want string) {
		t.Helper()
		i.eventually("a status of "+want, func() error {
			var s schemas.StatusView
			if err := i.get("/v1/status", &s); err != nil {
				return err
			}
			if len(s.Pulls) != 1 || s.Pulls[0].Reason != want {
				return fmt.Errorf("%+v", s.Pulls)
			}
			return nil
		})
	}
	reason(schemas.PullReasonScope)
	out, _, code := p.run("", "status", "--data", p.data)
	if code != exitOK || !strings.Contains(out, "FAILING since") || !strings.Contains(out, "read:logs") {
		t.Errorf("status says\n%s", out)
	}
	p.become("read:logs")
	good := p.client.Secret
	p.client.Secret = "not-the-one-that-it-has"
	p.configure("", false)
	reason(schemas.PullReasonCredentials)
	p.client.Secret = good
	p.configure("", false)
	reason("")
	i.eventually("the history", func() error {
		if got := i.bySource(); got["import"] < 50 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	p.configure(", pull: never", true)
	i.eventually("no pull", func() error {
		var s schemas.StatusView
		if err := i.get("/v1/status", &s); err != nil {
			return err
		}
		if len(s.Pulls) != 0 {
			return errors.New("it is pulled on")
		}
		return nil
	})
	i.interrupt()
	for _, secret := range []string{good, "not-the-one-that-it-has"} {
		if strings.Contains(i.log(), secret) {
			t.Error("the log has a secret")
		}
	}
}

// TestOneOfTwoProcessesPulls has two that take logs in, and kills the one that pulls.
func TestOneOfTwoProcessesPulls(t *testing.T) {
	broker := startBroker(t)
	p := newPulledTenant(t, 300, "", false)
	var both []*instance
	for range 2 {
		both = append(both, startProgram(t, []string{fastPull + ",lease=2s", "NATS_URL=" + broker.url()}, "ingest", "--config", p.config, "--listen", "127.0.0.1:0", "--log-format", "json"))
	}
	took := func(i *instance, source string) int {
		t.Helper()
		n, _ := i.findMetric(`m2mwatch_ingest_records_total{source="` + source + `"}`)
		return int(n)
	}
	both[0].eventually("the history", func() error {
		if a, b := took(both[0], "import"), took(both[1], "import"); a+b < 300 {
			return fmt.Errorf("%d and %d", a, b)
		}
		return nil
	})
	holder, other := both[0], both[1]
	if took(holder, "import") == 0 {
		holder, other = other, holder
	}
	if n := took(other, "import") + took(other, "pull"); n != 0 {
		t.Errorf("the other one pulls, too: %d", n)
	}
	holder.kill()
	p.act(5)
	other.eventually("the other one to go on", func() error {
		if n := took(other, "pull") + took(other, "repair"); n < 5 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	if n := took(other, "import"); n != 0 {
		t.Errorf("it imports %d again", n)
	}
	other.interrupt()
}

// TestATenantIsPulledOnWhileItsNewKeyIsBroken has half a key written, as by an
// editor, and then the good secret again.
func TestATenantIsPulledOnWhileItsNewKeyIsBroken(t *testing.T) {
	p := newPulledTenant(t, 20, "", false)
	i := p.up()
	i.awaitPull(len(p.logged()))
	good, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(good), fmt.Sprintf("client_secret: %q", p.client.Secret), `private_key: "-----BEGIN PRIVATE KEY-----"`, 1)
	if err := os.WriteFile(p.config, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	i.eventually("the log to tell of the key", func() error {
		if !strings.Contains(i.log(), "a tenant is pulled as it was before") {
			return errors.New("nothing yet")
		}
		return nil
	})
	p.act(5)
	i.awaitPull(len(p.logged()))
	if err := os.WriteFile(p.config, good, 0o600); err != nil {
		t.Fatal(err)
	}
	p.act(5)
	i.awaitPull(len(p.logged()))
	if got := i.bySource(); got["pull"] < 10 {
		t.Errorf("stored by source %v", got)
	}
	i.interrupt()
}

// TestNothingIsLostWhereATenantIsNeverPulledAnyMore has logs come between the last
// look of a puller and a configuration without it.
func TestNothingIsLostWhereATenantIsNeverPulledAnyMore(t *testing.T) {
	p := newPulledTenant(t, 20, "", false)
	i := p.up()
	i.awaitPull(len(p.logged()))
	i.interrupt()
	p.act(5)
	all := p.logged() // what is logged from now on the stream has
	p.configure(", pull: never", true)
	i = p.up()
	i.eventually("what came until it was never pulled", func() error {
		if got := i.bySource(); got["repair"] < 5 {
			return fmt.Errorf("%v, of %d", got, len(all))
		}
		return nil
	})
	var s schemas.StatusView
	i.mustGet("/v1/status", &s)
	if len(s.Pulls) != 0 {
		t.Errorf("status %+v of a tenant that is never pulled", s.Pulls)
	}
	i.interrupt()
}

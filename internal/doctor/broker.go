package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/nats"
)

const (
	brokerTimeout = 5 * time.Second
	nearlyFull    = 0.8 // of a stream's limit
)

// broker looks at the outside NATS and at the streams on it.
func (d *Doctor) broker(ctx context.Context) Result {
	var r Result
	if d.cfg.Settings.NATS.URL == "" {
		r.ok("embedded, nats-server %s", nats.EmbeddedVersion)
		return r
	}
	connecting, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	conn, err := nats.Connect(connecting, d.cfg.Broker)
	if err != nil {
		r.fail("see that it runs and is reached from here, and that nats.user, .password, .creds_file and .ca_file are right", "%v", err)
		return r
	}
	defer conn.Close()
	streams, err := conn.Inspect(connecting, d.cfg.Limits)
	if errors.Is(err, nats.ErrNoJetStream) {
		r.fail("turn it on in the server's configuration (jetstream), and for the account of this user", "nats-server %s at %s: %v", conn.Version(), d.cfg.Broker, err)
		return r
	}
	if err != nil {
		r.fail("give the user the rights to publish to $JS.API.> and to subscribe to _INBOX.>", "nats-server %s at %s: %v", conn.Version(), d.cfg.Broker, err)
		return r
	}
	r.ok("nats-server %s at %s", conn.Version(), d.cfg.Broker)
	var missing []string
	now := time.Time{}
	for _, s := range streams {
		if s.Missing {
			missing = append(missing, s.Name)
			continue
		}
		judgeStream(&r, s)
		now = s.Now
	}
	if len(missing) > 0 {
		r.warn("nothing: ingest and process make them when they start", "streams that are not there yet: %s", strings.Join(missing, ", "))
	}
	d.apart(&r, "NATS", now)
	return r
}

func judgeStream(r *Result, s nats.StreamState) {
	switch {
	case s.Err != nil:
		r.fail("m2mwatch changes nothing that could lose messages: do as it says", "stream %s: %v", s.Name, s.Err)
	case len(s.Differs) > 0:
		r.warn("nothing: the next start changes it; two processes with different settings take turns", "stream %s: %s", s.Name, strings.Join(s.Differs, ", "))
	case s.MaxBytes > 0 && float64(s.Bytes) > nearlyFull*float64(s.MaxBytes):
		r.warn("see that what reads it runs (process; for DEAD `m2mwatch dead list`), or raise its limit", "stream %s holds %s of %s: full means 503", s.Name, bytesText(s.Bytes), bytesText(uint64(s.MaxBytes)))
	}
}

const syncAlways = "set sync_interval: always under jetstream in the configuration of every NATS server, and restart them one by one"

// brokerSync reads from the servers themselves whether an ack means "on disk".
func (d *Doctor) brokerSync(ctx context.Context) Result {
	var r Result
	if d.cfg.Settings.NATS.URL == "" {
		d.embeddedSync(ctx, &r)
		return r
	}
	if len(d.cfg.Monitors) == 0 {
		r.warn("turn on http_port on every server and say --nats-monitor http://host:8222 for each; or look at sync_interval under jetstream in their configuration: it must be always",
			"not known: NATS tells a client nothing of how it syncs, only its monitoring and its system account. Without it 2xx does not mean on disk")
		return r
	}
	looked, others := map[string]bool{}, d.streamServers(ctx)
	for _, address := range d.cfg.Monitors {
		m, err := nats.Monitor(ctx, address)
		if err != nil {
			r.fail("see that http_port is set on the server and reached from here", "%v", err)
			continue
		}
		others = append(others, m.Others...)
		if !looked[m.Name] {
			judgeServer(&r, m)
			d.apart(&r, "NATS server "+m.Name, m.Now)
		}
		looked[m.Name] = true
	}
	slices.Sort(others)
	others = slices.DeleteFunc(slices.Compact(others), func(name string) bool { return looked[name] })
	if len(others) > 0 {
		r.warn("say --nats-monitor http://host:8222 for each of them too: 2xx means on disk where all that keep a stream sync",
			"servers of the cluster that were not looked at: %s", strings.Join(others, ", "))
	}
	return r
}

func judgeServer(r *Result, m nats.Monitored) {
	switch {
	case !m.JetStream:
		r.skip("", "%s has no JetStream: it stores no stream", m.Name)
	case !m.SyncAlways:
		r.fail(syncAlways, "%s syncs every %s: what was acknowledged in between is lost with the power", m.Name, m.SyncInterval)
	default:
		r.ok("%s syncs each write before it is acknowledged", m.Name)
	}
}

// streamServers are the servers that keep the streams, those that are away too,
// which no monitoring of another one names. The check of nats tells errors.
func (d *Doctor) streamServers(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	conn, err := nats.Connect(ctx, d.cfg.Broker)
	if err != nil {
		return nil
	}
	defer conn.Close()
	streams, err := conn.Inspect(ctx, d.cfg.Limits)
	if err != nil {
		return nil
	}
	var names []string
	for _, s := range streams {
		names = append(names, s.Servers...)
	}
	return names
}

// embeddedSync asks the instance that runs what its server says.
func (d *Doctor) embeddedSync(ctx context.Context, r *Result) {
	if !d.running {
		r.ok("the embedded server is started to sync each write; one that runs is asked")
		return
	}
	ready, err := d.client.Ready(ctx)
	if err != nil {
		r.fail("see the check of instance", "%v", err)
		return
	}
	for _, c := range ready.Checks {
		if c.Name != "nats_syncing" {
			continue
		}
		if c.OK {
			r.ok("the embedded server says that it syncs each write")
		} else {
			r.fail(readyAdvice[c.Name], "%s", c.Error)
		}
		return
	}
	r.warn("call doctor with the settings of the instance that runs", "the instance that runs has no embedded NATS")
}

package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func outside(t *testing.T, o *natstest.Outside) Config {
	t.Helper()
	s := settings(t)
	s.NATS.URL = config.Secret(o.URL())
	return Config{Settings: s, Broker: nats.Config{URL: o.URL()}, Limits: natstest.Limits()}
}

func TestOutsideNATSIsLookedAt(t *testing.T) {
	wantNote(t, look(t, Config{Settings: settings(t)}, "nats"), StateOK, "embedded")
	o := natstest.NewOutside(t)
	c := outside(t, o)
	wantNote(t, look(t, c, "nats"), StateWarn, "not there yet: LOGS, DEAD")
	conn := natstest.Connect(t, c.Broker)
	if err := conn.Declare(t.Context(), c.Limits); err != nil {
		t.Fatal(err)
	}
	wantNote(t, look(t, c, "nats"), StateOK, nats.EmbeddedVersion)
	c.Limits.LogsBytes *= 2
	wantNote(t, look(t, c, "nats"), StateWarn, "stream LOGS: max_bytes is")
	wrong := c
	wrong.Broker.URL, wrong.Broker.User, wrong.Broker.Password = "nats://"+o.Host, o.User, "not-the-one-of-the-test"
	wantNote(t, look(t, wrong, "nats"), StateFail, "Authorization")
	conn.Close()
	o.Stop()
	o.WithoutJetStream()
	o.Start(t)
	wantNote(t, look(t, outside(t, o), "nats"), StateFail, "JetStream is not enabled")
}

func TestSyncIsReadFromTheServer(t *testing.T) {
	for _, always := range []bool{true, false} {
		o := natstest.NewOutside(t)
		o.Stop()
		o.Monitored(always)
		o.Start(t)
		c := outside(t, o)
		wantNote(t, look(t, c, "nats sync"), StateWarn, "not known")
		c.Monitors = []string{o.MonitorURL()}
		r := look(t, c, "nats sync")
		if always {
			wantNote(t, r, StateOK, "syncs each write")
		} else {
			wantNote(t, r, StateFail, "syncs every 2m0s")
		}
	}
	c := outside(t, natstest.NewOutside(t))
	c.Monitors = []string{"http://127.0.0.1:1"}
	wantNote(t, look(t, c, "nats sync"), StateFail, "monitoring of NATS")
}

func TestEachServerOfAClusterIsLookedAt(t *testing.T) {
	cluster := natstest.NewCluster(t)
	c := Config{Settings: settings(t), Broker: nats.Config{URL: cluster.URL()}, Limits: natstest.Limits()}
	c.Settings.NATS.URL = config.Secret(cluster.URL())
	c.Limits.Replicas = 3
	if err := natstest.Connect(t, c.Broker).Declare(t.Context(), c.Limits); err != nil {
		t.Fatal(err)
	}
	c.Monitors = []string{cluster.MonitorURL(0), cluster.MonitorURL(0)}
	wantNote(t, look(t, c, "nats sync"), StateWarn, "not looked at: s2, s3")
	c.Monitors[1] = cluster.MonitorURL(1)
	wantNote(t, look(t, c, "nats sync"), StateWarn, "not looked at: s3")
	cluster.Servers[2].Shutdown() // whose disk has acknowledged too
	natstest.Eventually(t, "nobody has a route to s3", func() bool {
		return cluster.Servers[0].NumRemotes() == 1 && cluster.Servers[1].NumRemotes() == 1
	})
	natstest.Eventually(t, "the streams name s3", func() bool {
		r := look(t, c, "nats sync")
		return slices.ContainsFunc(r.Notes, func(n Note) bool { return n.State == StateWarn && strings.Contains(n.Found, "not looked at: s3") })
	})
}

func TestServersThatAreAllLookedAtAreFine(t *testing.T) {
	cluster := natstest.NewCluster(t)
	c := Config{Settings: settings(t), Broker: nats.Config{URL: cluster.URL()}, Limits: natstest.Limits()}
	c.Settings.NATS.URL = config.Secret(cluster.URL())
	for n := range cluster.Servers {
		c.Monitors = append(c.Monitors, cluster.MonitorURL(n))
	}
	wantNote(t, look(t, c, "nats sync"), StateOK, "s3 syncs each write")
}

func TestSyncOfTheEmbeddedServerIsAskedOfTheInstance(t *testing.T) {
	s := settings(t)
	wantNote(t, look(t, Config{Settings: s}, "nats sync"), StateOK, "is started to sync")
	i := &instance{ready: schemas.Readiness{Checks: []schemas.ReadyCheck{{Name: "nats_syncing", OK: true}}}}
	i.run(t, s)
	wantNote(t, look(t, Config{Settings: s}, "nats sync"), StateOK, "says that it syncs")
	i.ready.Checks[0] = schemas.ReadyCheck{Name: "nats_syncing", Error: "it does not"}
	wantNote(t, look(t, Config{Settings: s}, "nats sync"), StateFail, "it does not")
	i.ready.Checks = nil
	wantNote(t, look(t, Config{Settings: s}, "nats sync"), StateWarn, "no embedded NATS")
}

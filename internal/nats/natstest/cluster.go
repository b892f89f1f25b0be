package natstest

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// Cluster is three servers on the loopback interface that replicate.
type Cluster struct {
	Servers []*server.Server
}

// NewCluster starts a cluster and waits until it has elected a leader. It ends
// with the test.
func NewCluster(tb testing.TB) *Cluster {
	tb.Helper()
	ports := freePorts(tb, 3)
	var routes []*url.URL
	for _, port := range ports {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	c := &Cluster{}
	for i, port := range ports {
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprintf("s%d", i+1), Host: "127.0.0.1", Port: server.RANDOM_PORT,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port}, Routes: routes,
			NoSigs: true, NoLog: true, MaxPayload: 1 << 20,
			HTTPHost: "127.0.0.1", HTTPPort: server.RANDOM_PORT,
			JetStream: true, StoreDir: tb.TempDir(), SyncAlways: true,
			JetStreamMaxMemory: 16 << 20, JetStreamMaxStore: 16 << 30,
		})
		if err != nil {
			tb.Fatal(err)
		}
		s.Start()
		tb.Cleanup(func() {
			s.Shutdown()
			s.WaitForShutdown()
		})
		c.Servers = append(c.Servers, s)
	}
	Eventually(tb, "a cluster with a leader", c.ready)
	return c
}

func (c *Cluster) ready() bool {
	led := false
	for _, s := range c.Servers {
		if !s.ReadyForConnections(Wait) || !s.JetStreamIsCurrent() {
			return false
		}
		led = led || (s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == len(c.Servers))
	}
	return led
}

// URL names all servers.
func (c *Cluster) URL() string {
	urls := make([]string, 0, len(c.Servers))
	for _, s := range c.Servers {
		urls = append(urls, s.ClientURL())
	}
	return strings.Join(urls, ",")
}

// MonitorURL is where the monitoring of a server is.
func (c *Cluster) MonitorURL(n int) string {
	return "http://" + c.Servers[n].MonitorAddr().String()
}

// freePorts finds ports that nobody listens on: the servers of a cluster must
// know each other's before they start.
func freePorts(tb testing.TB, n int) []int {
	tb.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

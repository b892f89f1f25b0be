package clickhousetest

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
)

// Cluster is the name of the cluster that Shards makes.
const Cluster = "shards"

// Shards starts n engines of the test's own, each a shard of one cluster, and
// is how to connect to the first: a database of all of them, without
// replication, not made yet.
func Shards(tb testing.TB, n int) clickhouse.Config {
	tb.Helper()
	engines := make([]*clickhouse.Engine, n)
	dirs := make([]string, n)
	shards := make([]clickhouse.Config, n)
	var servers strings.Builder
	for i := range engines {
		dirs[i] = tb.TempDir()
		engines[i] = Own(tb, clickhouse.EngineConfig{Dir: dirs[i]})
		shards[i] = engines[i].Options(clickhouse.RoleApp)
		servers.WriteString(shardXML(tb, shards[i]))
	}
	// What the URL's user of a cluster needs over the embedded engine's.
	const grant = "<query>GRANT SELECT ON system.*</query>"
	const grants = grant + "<query>GRANT CREATE TEMPORARY TABLE, REMOTE ON *.*</query>"
	cluster := fmt.Sprintf("<remote_servers><%s>%s</%s></remote_servers>\n</clickhouse>", Cluster, &servers, Cluster)
	for i, e := range engines {
		replace(tb, filepath.Join(dirs[i], "config.xml"), "</clickhouse>", cluster)
		replace(tb, filepath.Join(dirs[i], "users.xml"), grant, grants)
		restart(tb, e)
	}
	c := shards[0]
	c.Cluster, c.Shards = Cluster, shards
	return c
}

func shardXML(tb testing.TB, c clickhouse.Config) string {
	tb.Helper()
	u, err := url.Parse(c.URL)
	if err != nil {
		tb.Fatal(err)
	}
	password, _ := u.User.Password()
	return fmt.Sprintf("<shard><replica><host>%s</host><port>%s</port><user>%s</user><password>%s</password></replica></shard>",
		u.Hostname(), u.Port(), u.User.Username(), password)
}

func replace(tb testing.TB, path, old, with string) {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		tb.Fatalf("%s is without %s", path, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, with, 1)), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// restart kills the child of an engine: the next one reads its configuration
// anew, on the same port and with the same passwords, which are known only once
// the first has run.
func restart(tb testing.TB, e *clickhouse.Engine) {
	tb.Helper()
	old := e.PID()
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		tb.Fatal(err)
	}
	for tick := time.Tick(10 * time.Millisecond); e.PID() == old; {
		select {
		case <-tick:
		case <-tb.Context().Done():
			tb.Fatal("the engine did not come back")
		}
	}
}

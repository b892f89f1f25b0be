package main

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// TestStagesRunApart runs each stage as a process of its own, two processors
// among them, against servers outside, and kills one processor under load.
func TestStagesRunApart(t *testing.T) {
	one, two, in, api, store := startApart(t)
	password, _, _ := strings.Cut(strings.TrimPrefix(store.URL, "clickhouse://app:"), "@")
	want := map[string]bool{}
	for batch := range 40 {
		var records []string
		for k := range 50 {
			id, raw := record(batch*50+k, epoch.Add(time.Duration(batch*50+k)*time.Second), "seccft", fmt.Sprint("client-", k), "192.0.2")
			want[id] = true
			records = append(records, raw)
		}
		if status, accepted, _ := api.post(lines(records...)); status != http.StatusOK || accepted != 50 {
			t.Fatalf("got %d, accepted %d", status, accepted)
		}
		if batch == 20 {
			one.kill()
		}
	}
	replayApart(t, api)
	api.settle()
	api.checkOnce(want)
	two.interrupt()
	warmingApart(t, api, store)
	for _, i := range []*instance{api, in} {
		i.interrupt()
	}
	for _, i := range []*instance{api, in, two} {
		if strings.Contains(i.log(), password) {
			t.Error("the log holds the store's password")
		}
	}
}

// warmingApart asks for the status while something warms up: the stage that answers has
// no rules, and so tells of none.
func warmingApart(t *testing.T, api *instance, store clickhouse.Config) {
	t.Helper()
	store.Database = apartDatabase
	db, err := clickhouse.Connect(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	warming := schemas.Selector{Selector: "new", State: schemas.SelectorWarming, Since: epoch, Ver: 1}
	if err := clickhouse.NewSelectorStore(db).AddSelectors(t.Context(), []schemas.Selector{warming}); err != nil {
		t.Fatal(err)
	}
	var status schemas.StatusView
	api.mustGet("/v1/status", &status)
	if status.Events == 0 || len(status.Warming) > 0 {
		t.Errorf("status %+v, want events and no rules", status)
	}
}

const apartDatabase = "m2mwatch_apart"

// replayApart has the stage that answers publish to LOGS what cannot be read
// this time either.
func replayApart(t *testing.T, api *instance) {
	t.Helper()
	if status, _, dead := api.post([]byte(`{"cut off`)); status != http.StatusOK || dead != 1 {
		t.Fatalf("got %d, %d dead", status, dead)
	}
	replay := exec.Command(programPath(t), "dead", "replay", "--all")
	replay.Env = append(cleanEnviron(), "M2MWATCH_URL="+api.api, "M2MWATCH_TOKEN="+testToken)
	if out, err := replay.CombinedOutput(); err != nil || string(out) != "1 replayed\n" {
		t.Fatalf("replay: %v: %s", err, out)
	}
	api.settle()
	var page schemas.DeadPage
	api.mustGet("/v1/dead", &page)
	if len(page.Dead) != 1 || !page.Dead[0].Replayed {
		t.Errorf("DEAD lists %+v, want the log that failed again", page.Dead)
	}
}

// TestProcessorThatIsStoppedHarmsNothing stops one of two processors under load,
// and then the other one, for longer than its leases stand. The one that wakes
// up has events that were given to the other, and is in the middle of what it
// computed as their holder.
func TestProcessorThatIsStoppedHarmsNothing(t *testing.T) {
	one, two, in, api, _ := startApart(t, fastRecount+",lease=2s,ack=2s")
	l := newLoad()
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { l.run(api, stop) })
	for n, p := range []struct{ stopped, other *instance }{{one, two}, {two, one}, {one, two}} {
		api.awaitProgress(l)
		before := map[string]int{"this process correlates": 0, "this process recounts": 0}
		for does := range before {
			if n > 0 { // at first either may hold it
				before[does] = strings.Count(p.other.log(), does)
			}
		}
		p.stopped.signal(p.stopped.cmd.Process.Pid, syscall.SIGSTOP)
		for does, times := range before {
			api.eventually("the other one to log: "+does, func() error {
				if strings.Count(p.other.log(), does) == times {
					return errors.New("it does not")
				}
				return nil
			})
		}
		api.awaitProgress(l)
		p.stopped.signal(p.stopped.cmd.Process.Pid, syscall.SIGCONT)
	}
	api.awaitProgress(l)
	close(stop)
	running.Wait()
	api.settle()
	api.checkOnce(l.sent)
	l.checkDead(api)
	api.awaitClean()
	if dirty := l.checkCounts(api); dirty != 0 {
		t.Errorf("%d hours are dirty", dirty)
	}
	for _, i := range []*instance{api, in, one, two} {
		i.interrupt()
	}
}

// startApart starts each stage as a process of its own, two processors among
// them, against servers outside. env is added to their environment.
func startApart(t *testing.T, env ...string) (one, two, in, api *instance, store clickhouse.Config) {
	t.Helper()
	broker := natstest.NewOutside(t)
	engine := clickhousetest.Own(t, clickhouse.EngineConfig{})
	store = engine.Options(clickhouse.RoleApp)
	env = append([]string{
		"NATS_URL=" + broker.URL(),
		"CLICKHOUSE_URL=" + store.URL,
		"M2MWATCH_CLICKHOUSE_DATABASE=" + apartDatabase,
		"M2MWATCH_STORE_RETENTION=0",
		"M2MWATCH_LOG_FORMAT=json",
		"M2MWATCH_LISTEN=127.0.0.1:0",
		"M2MWATCH_DATA=" + filepath.Join(t.TempDir(), "data"),
		fmt.Sprintf("M2MWATCH_TENANTS=[{name: acme, secrets: [%s]}]", testSecret),
		fmt.Sprintf("M2MWATCH_API_TOKENS=[{name: test, token: %s}]", testToken),
	}, env...)
	one = startProgram(t, env, "process")
	two = startProgram(t, env, "process")
	in = startProgram(t, env, "ingest")
	api = startProgram(t, env, "query")
	api.webhook = in.webhook
	return one, two, in, api, store
}

// What is recounted are events, so that an hour is given up when those are too
// old, however long other tables are kept.
func TestRecountReachesBackAsFarAsEvents(t *testing.T) {
	var cfg config.Config
	cfg.Store.Retention, cfg.Store.RetentionByTable = 30, map[string]config.Days{"events": 400}
	s := &server{cfg: &cfg}
	if got, want := s.recounterConfig().Retention, 400*24*time.Hour; got != want {
		t.Errorf("hours of the last %s are recounted, want those of %s", got, want)
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
)

// patience is how long tests wait for what must come. On a busy machine that takes
// minutes, and only a test that fails waits as long.
const patience = 6 * time.Minute

const (
	testSecret = "webhook-secret-of-acme"
	testToken  = "api-token-of-the-tests"
)

// TestMain also serves as the program: the tests start this very binary under
// the name m2mwatch, and that starts it again as the engine. The engine's
// hidden command has to be looked at first, or the child would run the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == clickhouse.EngineCommand {
		os.Exit(clickhouse.EngineMain(os.Args[2:]))
	}
	testscript.Main(stateful{m}, map[string]func(){"m2mwatch": main})
}

// stateful runs the tests, and all programs that they start, with a journal of their
// own: a developer's is not theirs to take in.
type stateful struct{ *testing.M }

// Run implements testscript.TestingM.
func (m stateful) Run() int {
	state, err := os.MkdirTemp("", "m2mwatch-state-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(state)
	os.Setenv("XDG_STATE_HOME", state)
	return m.M.Run()
}

// instance is one m2mwatch process.
type instance struct {
	tb      testing.TB
	cmd     *exec.Cmd
	api     string // base URL
	webhook string // URL of acme's webhook
	hook    string // address of the webhook alone, where it has its own
	exited  chan struct{}
	exitErr error
	mu      sync.Mutex // guards stderr
	stderr  bytes.Buffer
}

// startUp starts `m2mwatch up` on a data directory and returns when it is
// ready. env is added to the environment.
func startUp(tb testing.TB, data string, env ...string) *instance {
	tb.Helper()
	config := filepath.Join(tb.TempDir(), "m2mwatch.yaml")
	text := fmt.Sprintf("tenants: [{name: acme, secrets: [%q]}]\napi: {tokens: [{name: test, token: %q}]}\nstore: {retention: 0}\nclickhouse: {memory: 768MiB}\n", testSecret, testToken)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return startProgram(tb, env, "up", "--config", config, "--data", data, "--listen", "127.0.0.1:0", "--log-format", "json")
}

// startProgram starts the program and waits for the line that says it is
// ready, or for its end.
func startProgram(tb testing.TB, env []string, args ...string) *instance {
	tb.Helper()
	i := &instance{tb: tb, exited: make(chan struct{})}
	i.cmd = exec.Command(programPath(tb), args...)
	i.cmd.Env = append(cleanEnviron(), env...)
	i.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that times out cleans up nothing
	stderr, err := i.cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := i.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ready := make(chan string, 1)
	go i.follow(stderr, ready)
	tb.Cleanup(i.kill)
	select {
	case listen := <-ready:
		i.api = "http://" + listen
		i.webhook = i.api + "/v1/logs/acme"
	case <-i.exited:
		tb.Fatalf("the program ended before it was ready: %v\n%s", i.exitErr, i.log())
	case <-time.After(patience):
		tb.Fatalf("the program was not ready after a while\n%s", i.log())
	}
	return i
}

// cleanEnviron is the environment without what would configure the program.
func cleanEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return name == "NATS_URL" || name == "CLICKHOUSE_URL" || strings.HasPrefix(name, "M2MWATCH_") && name != "M2MWATCH_ENGINE_LIBRARY"
	})
}

// programPath is this test binary under the program's name.
func programPath(tb testing.TB) string {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(tb.TempDir(), "m2mwatch")
	if err := os.Symlink(self, path); err != nil {
		tb.Fatal(err)
	}
	return path
}

func (i *instance) follow(stderr io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		i.mu.Lock()
		i.stderr.Write(lines.Bytes())
		i.stderr.WriteByte('\n')
		i.mu.Unlock()
		var line struct {
			Msg, Listen   string
			WebhookListen string `json:"webhook_listen"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			i.hook = line.WebhookListen
			ready <- line.Listen
		}
	}
	i.exitErr = i.cmd.Wait()
	close(i.exited)
}

// log is what the program has written to standard error.
func (i *instance) log() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.stderr.String()
}

// kill ends the process with SIGKILL and waits until it is gone.
func (i *instance) kill() {
	_ = i.cmd.Process.Kill()
	<-i.exited
}

// awaitExit waits for an end that comes from inside.
func (i *instance) awaitExit() {
	i.tb.Helper()
	select {
	case <-i.exited:
	case <-time.After(patience):
		i.tb.Fatalf("the program did not end\n%s", i.log())
	}
}

// interrupt asks the process to stop and waits until it has.
func (i *instance) interrupt() {
	i.tb.Helper()
	if err := i.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		i.tb.Fatal(err)
	}
	select {
	case <-i.exited:
	case <-time.After(patience):
		i.tb.Fatalf("the program did not stop\n%s", i.log())
	}
	if i.exitErr != nil {
		i.tb.Errorf("the program stopped with %v\n%s", i.exitErr, i.log())
	}
	if strings.Contains(i.log(), `"msg":"stopping"`) { // a component that did not stop in its time
		i.tb.Errorf("the program did not stop cleanly\n%s", i.log())
	}
}

// post sends a body to acme's webhook; the status is 0 where there was no
// answer.
func (i *instance) post(body []byte) (status int, accepted, dead int) {
	return i.postReader(bytes.NewReader(body))
}

func (i *instance) postReader(body io.Reader) (status int, accepted, dead int) {
	return i.postTo(i.webhook, body)
}

// postTo sends a body with acme's secret.
func (i *instance) postTo(url string, body io.Reader) (status int, accepted, dead int) {
	request, err := http.NewRequest(http.MethodPost, url, body)
	if err != nil {
		i.tb.Error(err)
		return 0, 0, 0
	}
	request.Header.Set("Authorization", testSecret)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, 0, 0
	}
	defer response.Body.Close()
	var answer struct{ Accepted, Dead int }
	if response.StatusCode == http.StatusOK {
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			return 0, 0, 0 // cut off: nobody was told that it is safe
		}
	}
	return response.StatusCode, answer.Accepted, answer.Dead
}

// get asks the API and decodes the answer.
func (i *instance) get(path string, into any) error {
	request, err := http.NewRequest(http.MethodGet, i.api+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+testToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, response.Status, body)
	}
	return json.Unmarshal(body, into)
}

func (i *instance) mustGet(path string, into any) {
	i.tb.Helper()
	if err := i.get(path, into); err != nil {
		i.tb.Fatal(err)
	}
}

// metric is the value of a metric without labels.
func (i *instance) metric(name string) float64 {
	i.tb.Helper()
	value, ok := i.findMetric(name)
	if !ok {
		i.tb.Fatalf("no metric %s", name)
	}
	return value
}

// findMetric is metric of one that may not be there yet.
func (i *instance) findMetric(name string) (value float64, ok bool) {
	i.tb.Helper()
	request, err := http.NewRequest(http.MethodGet, i.api+"/metrics", nil)
	if err != nil {
		i.tb.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+testToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		i.tb.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				i.tb.Fatal(err)
			}
			return value, true
		}
	}
	if response.StatusCode != http.StatusOK {
		i.tb.Fatalf("metrics: %s", response.Status)
	}
	return 0, false
}

// settle waits until everything accepted is stored and judged.
func (i *instance) settle() {
	i.tb.Helper()
	i.eventually("nothing pending and nothing uncorrelated", func() error {
		var status struct{ Pending, Uncorrelated *int }
		if err := i.get("/v1/status", &status); err != nil {
			return err
		}
		if status.Pending == nil || *status.Pending != 0 || status.Uncorrelated == nil || *status.Uncorrelated != 0 {
			return fmt.Errorf("pending %s, uncorrelated %s", show(status.Pending), show(status.Uncorrelated))
		}
		return nil
	})
}

func show(n *int) string {
	if n == nil {
		return "unknown"
	}
	return fmt.Sprint(*n)
}

// eventually polls until look returns nil, as long as tests wait.
func (i *instance) eventually(what string, look func() error) {
	i.tb.Helper()
	ctx, cancel := context.WithTimeout(i.tb.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := look()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-i.exited:
			i.tb.Fatalf("waiting for %s: the program ended: %v\n%s", what, i.exitErr, i.log())
		case <-ctx.Done():
			_ = i.cmd.Process.Signal(syscall.SIGQUIT) // every goroutine's stack, for whoever reads this
			i.awaitExit()
			i.tb.Fatalf("waiting for %s: %v\n%s", what, err, i.log())
		}
	}
}

// counts returns how many events of acme there are of each type, by the stats.
func (i *instance) counts() map[string]int {
	i.tb.Helper()
	var answer struct {
		Rows []struct {
			Type  string
			Count int
		}
	}
	i.mustGet("/v1/stats?tenant=acme&by=type&limit=10000", &answer)
	out := map[string]int{}
	for _, row := range answer.Rows {
		out[row.Type] = row.Count
	}
	return out
}

// listed returns how often each log_id of acme comes when its events are paged
// through.
func (i *instance) listed(filter string) map[string]int {
	i.tb.Helper()
	out := map[string]int{}
	for cursor := ""; ; {
		var page struct {
			Events []struct {
				LogID string `json:"log_id"`
			}
			Next string
		}
		i.mustGet("/v1/events?tenant=acme&limit=1000&cursor="+cursor+filter, &page)
		for _, e := range page.Events {
			out[e.LogID]++
		}
		if page.Next == "" {
			return out
		}
		cursor = page.Next
	}
}

// checkOnce fails unless exactly the wanted log_ids are listed and counted,
// each once.
func (i *instance) checkOnce(want map[string]bool) {
	i.tb.Helper()
	got := i.listed("")
	var missing, strange, twice []string
	for id := range want {
		if got[id] == 0 {
			missing = append(missing, id)
		}
	}
	for id, n := range got {
		if !want[id] {
			strange = append(strange, id)
		}
		if n > 1 {
			twice = append(twice, id)
		}
	}
	if len(missing)+len(strange)+len(twice) > 0 {
		i.tb.Errorf("of %d: missing %d %.3q, not sent %d %.3q, listed twice %d %.3q",
			len(want), len(missing), clip(missing), len(strange), clip(strange), len(twice), clip(twice))
	}
	total := 0
	for _, n := range i.counts() {
		total += n
	}
	if total != len(want) {
		i.tb.Errorf("counted %d, want %d", total, len(want))
	}
}

func clip(s []string) []string { return s[:min(len(s), 3)] }

// record is one event in Auth0's envelope; n makes its log_id.
func record(n int, at time.Time, kind, client, network string) (logID, raw string) {
	logID = fmt.Sprintf("900%s%03d%032d", at.UTC().Format("20060102150405"), at.UnixMilli()%1000, n)
	raw = fmt.Sprintf(`{"log_id":%q,"data":{"date":%q,"type":%q,"description":"","client_id":%q,"client_name":"c","ip":"%s.7","user_agent":"Go-http-client/2.0","audience":"https://api.example.com","scope":"read:a write:b","log_id":%q}}`,
		logID, at.UTC().Format("2006-01-02T15:04:05.000Z"), kind, client, network, logID)
	return logID, raw
}

func lines(records ...string) []byte { return []byte(strings.Join(records, "\n")) }

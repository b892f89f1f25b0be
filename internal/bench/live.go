package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// LiveConfig says how to load a whole instance on a filled data directory.
type LiveConfig struct {
	Dir     string
	Program string // the path of m2mwatch
	Rate    int    // events per second
	// Backtests are rules that are run over the month when all is judged.
	Backtests []string
	For       time.Duration // how long to send
	// Warmup is how long before that: an instance that has run for some time knows what
	// its machines did in the months before, which it reads when they first come.
	Warmup time.Duration
	// Judged takes what the rules have matched of the month for judged, as in an
	// instance that has run for it.
	Judged bool

	Progress io.Writer
}

// What the instance is configured with: it listens on the loopback alone, and
// for as long as the measurement takes.
const (
	liveSecret = "webhook-secret-of-the-bench"
	liveToken  = "api-token-of-the-bench"
	liveConfig = "tenants: [{name: " + Tenant + ", secrets: [" + liveSecret + "]}]\napi: {tokens: [{name: bench, token: " + liveToken + "}]}\n"
)

// liveBatch is how often a batch is sent.
const liveBatch = 100 * time.Millisecond

// Live starts `m2mwatch up` on a directory that was filled lately, sends it events
// at a rate, and tells how long alerts took, on what the correlator worked, and the
// memory of its processes together. What was sent stays in the store.
func Live(ctx context.Context, c LiveConfig) (Report, error) {
	p, err := readProgress(c.Dir)
	if err != nil {
		return Report{}, err
	}
	l := &live{config: c}
	config, err := os.MkdirTemp("", "m2mbench") // it is read again while the program runs
	if err != nil {
		return Report{}, err
	}
	defer os.RemoveAll(config)
	alarms, more, err := newAlarms(config)
	if err != nil {
		return Report{}, err
	}
	l.alarms = alarms
	config = filepath.Join(config, "m2mwatch.yaml")
	if err := l.start(ctx, config, more); err != nil {
		return Report{}, err
	}
	defer func() { l.kill() }()
	warm, err := l.awaitWarm(ctx)
	if err != nil {
		return Report{}, err
	}
	if c.Judged {
		if err := l.skipHistory(ctx, config, more); err != nil {
			return Report{}, err
		}
	}
	lines, err := l.load(ctx, p, warm)
	if err != nil {
		return Report{}, err
	}
	return Report{Events: p.Events, Lines: lines}, l.stop()
}

// live is a Live under way.
type live struct {
	config  LiveConfig
	batches [][]byte
	program *exec.Cmd
	url     string
	ended   chan error
	alarms  *alarms
}

func (l *live) say(format string, args ...any) {
	fmt.Fprintf(l.config.Progress, time.Now().Format(time.TimeOnly)+"  "+format+"\n", args...)
}

// bodies makes what is sent, so that making it takes nothing from what is
// measured. It is of those who are in the month, another part each time, and of now:
// what is late or follows a pause of hours is judged by other rules. Of its failures
// there are as many in a second as in the month: a hundred times as many of as many
// machines would be what a storm is, a fifth of them within ten minutes.
func (l *live) bodies(p progress) {
	generator := p.generator()
	now := time.Now().UTC().Truncate(time.Second)
	part := 1000 + int(time.Now().Unix()%900_000)
	events := l.config.Rate * int(l.sends()/time.Second)
	inBatch := max(1, l.config.Rate*int(liveBatch/time.Millisecond)/1000)
	var body []byte
	rare := max(1, l.config.Rate*p.Span*24*60*60/max(1, p.Events))
	n, failures := 0, 0
	for raw := range generator.simulated().HistoryPart(part, now, now.Add(l.sends()), events+events/4) {
		if bytes.Contains(raw, []byte(`"type":"feccft"`)) {
			if failures++; failures%rare != 0 {
				continue
			}
		}
		body = append(append(body, raw...), '\n')
		if n++; n%inBatch == 0 {
			l.batches = append(l.batches, body)
			body = nil
		}
		if n == events {
			break
		}
	}
}

// start starts the program and waits until it is ready.
func (l *live) start(ctx context.Context, config, more string) error {
	if err := os.WriteFile(config, []byte(liveConfig+more), 0o600); err != nil {
		return err
	}
	return l.startProcess(ctx, l.config.Program, "up", "--config", config, "--data", l.config.Dir, "--listen", "127.0.0.1:0", "--log-format", "json")
}

// startProcess starts a program that logs JSON and waits until it says where it
// listens.
func (l *live) startProcess(ctx context.Context, program string, args ...string) error {
	l.program = exec.Command(program, args...)
	stderr, err := l.program.StderrPipe()
	if err != nil {
		return err
	}
	if err := l.program.Start(); err != nil {
		return err
	}
	ready := make(chan string, 1)
	l.ended = make(chan error, 1)
	go func() {
		l.follow(stderr, ready)
		l.ended <- l.program.Wait()
	}()
	l.say("waiting for m2mwatch %s", args[0])
	select {
	case listen := <-ready:
		l.url = "http://" + listen
		return nil
	case err := <-l.ended:
		return fmt.Errorf("%s ended before it was ready: %w", args[0], errors.Join(err, errEnded))
	case <-ctx.Done():
		l.kill()
		return ctx.Err()
	}
}

var errEnded = errors.New("see its messages above")

// follow passes what the program warns of on, and tells when it is ready.
func (l *live) follow(stderr io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Level, Msg, Listen string }
		switch err := json.Unmarshal(lines.Bytes(), &line); {
		case err != nil || line.Level != "INFO":
			fmt.Fprintln(l.config.Progress, lines.Text())
		case line.Msg == "ready":
			ready <- line.Listen
		}
	}
}

// skipHistory starts the program again on a store in which nothing is left to judge,
// and waits for its first look at what time has changed, which is the longest.
func (l *live) skipHistory(ctx context.Context, config, more string) error {
	if err := l.stop(); err != nil {
		return err
	}
	s, err := openStore(ctx, l.config.Dir, 1<<30)
	if err != nil {
		return err
	}
	err = s.dropTouches(ctx)
	s.close()
	if err != nil {
		return err
	}
	if err := l.start(ctx, config, more); err != nil {
		return err
	}
	l.say("waiting for the first tick")
	for looked := 0; looked == 0; { // so that it has begun
		byRule, err := l.correlating(ctx)
		if err == nil {
			err = sleepUntil(ctx, time.Now().Add(time.Second))
		}
		if err != nil {
			return err
		}
		looked = len(byRule)
	}
	return l.awaitCalm(ctx, "m2mwatch_correlator_leads", "m2mwatch_correlator_agenda")
}

// load sends the batches and waits until all of them are stored and judged.
func (l *live) load(ctx context.Context, p progress, warm time.Duration) ([]Measurement, error) {
	memory := watchMemory(l.pids)
	l.say("making %d events", l.config.Rate*int(l.sends()/time.Second))
	l.bodies(p)
	l.say("sending %d events/s for %s", l.config.Rate, l.sends())
	first := min(len(l.batches), int(max(0, l.config.Warmup)/liveBatch))
	if _, err := l.send(ctx, l.batches[:first]); err != nil {
		return nil, err
	}
	if first > 0 {
		l.say("measuring")
	}
	before, err := l.correlating(ctx)
	if err != nil {
		return nil, err
	}
	alarming, enough := context.WithCancel(ctx)
	alarmed := make(chan error, 1)
	go func() { alarmed <- l.alarms.send(alarming, l) }()
	defer enough()
	began, worked := time.Now(), cpuTime(l.pids())
	accepted, err := l.send(ctx, l.batches[first:])
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	worked = cpuTime(l.pids()) - worked
	after, err := l.correlating(ctx)
	if err != nil {
		return nil, err
	}
	enough()
	if err := <-alarmed; err != nil {
		return nil, err
	}
	l.say("waiting until all is stored and judged")
	behind, err := l.behind(ctx, began.Add(took))
	if err != nil {
		return nil, err
	}
	l.alarms.await(ctx)
	for _, m := range l.alarms.measurements() { // backtests may take long, and fail
		l.say("%s: %s", m.What, m.Result)
	}
	backtests, err := l.backtests(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Concat(l.alarms.measurements(), []Measurement{
		{"until the rules had matched the month", warm.Round(100 * time.Millisecond).String(), ""},
	}, correlated(before, after, took), []Measurement{
		{"cores that all its processes had busy meanwhile", fmt.Sprintf("%.2f", worked.Seconds()/took.Seconds()), ""},
		{"events that `up` took in, over the month that is stored", fmt.Sprintf("%.0f/s", float64(accepted)/took.Seconds()), fmt.Sprintf("%d/s", l.config.Rate)},
		{"until the last of them was stored and judged", behind, ""},
		{"memory of all its processes meanwhile, at most", mib(memory.stop()), "1536 MiB"},
	}, backtests), nil
}

// sends is how long is sent in all.
func (l *live) sends() time.Duration { return l.config.Warmup + l.config.For }

// send sends batches, each at its time or as soon after as the one before is answered.
func (l *live) send(ctx context.Context, batches [][]byte) (accepted int, err error) {
	began := time.Now()
	for i, body := range batches {
		if err := sleepUntil(ctx, began.Add(time.Duration(i)*liveBatch)); err != nil {
			return 0, err
		}
		n, err := l.post(ctx, body)
		if err != nil {
			return 0, err
		}
		accepted += n
	}
	return accepted, nil
}

func sleepUntil(ctx context.Context, at time.Time) error {
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// post sends a batch until it is acknowledged, as Auth0 does.
func (l *live) post(ctx context.Context, body []byte) (accepted int, err error) {
	for {
		var answer struct{ Accepted, Dead int }
		status, err := l.ask(ctx, http.MethodPost, "/v1/logs/"+Tenant, liveSecret, body, &answer)
		switch {
		case err != nil:
			return 0, err
		case status == http.StatusServiceUnavailable:
			if err := sleepUntil(ctx, time.Now().Add(liveBatch)); err != nil {
				return 0, err
			}
		case status/100 != 2 || answer.Dead > 0:
			return 0, fmt.Errorf("the webhook answered %d, and %d of the batch are dead", status, answer.Dead)
		default:
			return answer.Accepted, nil
		}
	}
}

// liveStatus is what the instance says of how far it is.
type liveStatus struct{ Pending, Uncorrelated uint64 }

func (l *live) awaitDone(ctx context.Context) error {
	return l.await(ctx, func(s liveStatus) bool { return s.Pending == 0 && s.Uncorrelated == 0 })
}

// patience is how long it is waited until what was sent is judged. What is left of the
// month may take longer, and waits itself for what comes in.
const patience = 2 * time.Minute

// behind is how long after a moment all is stored and judged, if it is soon.
func (l *live) behind(ctx context.Context, since time.Time) (string, error) {
	waiting, enough := context.WithTimeout(ctx, patience)
	defer enough()
	switch err := l.awaitDone(waiting); {
	case err == nil:
		return time.Since(since).Round(100 * time.Millisecond).String(), nil
	case ctx.Err() == nil && waiting.Err() != nil:
		return "more than " + patience.String(), nil
	default:
		return "", err
	}
}

// askAgain is the wait between two looks at the status, which takes the engine some
// 50 ms of CPU: it must not be the load that is measured.
const askAgain = 500 * time.Millisecond

func (l *live) await(ctx context.Context, done func(liveStatus) bool) error {
	for {
		var status liveStatus
		code, err := l.ask(ctx, http.MethodGet, "/v1/status", "Bearer "+liveToken, nil, &status)
		busy := code == http.StatusServiceUnavailable // the engine is short of memory for a moment
		if err != nil || code != http.StatusOK && !busy {
			return errors.Join(err, fmt.Errorf("/v1/status answered %d", code))
		}
		if !busy && done(status) {
			return nil
		}
		if err := sleepUntil(ctx, time.Now().Add(askAgain)); err != nil {
			return err
		}
	}
}

func (l *live) ask(ctx context.Context, method, path, authorization string, body []byte, answer any) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, method, l.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", authorization)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return response.StatusCode, nil
	}
	return response.StatusCode, json.NewDecoder(response.Body).Decode(answer)
}

// pids are those of the program and of what it has started.
func (l *live) pids() []int {
	pids := []int{l.program.Process.Pid}
	for i := 0; i < len(pids); i++ {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[i]))
		for _, task := range tasks {
			children, _ := os.ReadFile(task) // a task may be gone
			for child := range strings.FieldsSeq(string(children)) {
				if pid, err := strconv.Atoi(child); err == nil {
					pids = append(pids, pid)
				}
			}
		}
	}
	return pids
}

func (l *live) stop() error {
	if err := l.program.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return <-l.ended
}

func (l *live) kill() { _ = l.program.Process.Kill() }

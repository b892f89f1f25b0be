package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// RoadConfig says how to measure the way of events from the webhook to their rows.
type RoadConfig struct {
	Program string        // the path of m2mwatch
	Self    string        // the path of this program, which serves the webhooks
	For     time.Duration // how long each webhook is loaded
	Events  int           // that go the whole way
	Probe   time.Duration // how long the delay is looked at
	Profile string        // file for a CPU profile of m2mwatch on the whole way; "" for none

	Progress io.Writer
}

// The load: senders that wait for their answer, as Auth0 does.
const (
	webhookSenders = 16
	webhookEvents  = 20_000 // distinct ones that a webhook gets over and over
	waySenders     = 4
	wayBatch       = 100
	delayRate      = 1000 // events a second
)

// Road measures webhooks against the least that gives the same promise, the whole
// way as fast as it goes, and how long an event takes until it can be asked for.
func Road(ctx context.Context, c RoadConfig) (Report, error) {
	r := &road{config: c}
	var report Report
	for _, step := range []func(context.Context, *Report) error{r.webhooks, r.wholeWay, r.bareInserts} {
		if err := step(ctx, &report); err != nil {
			return report, err
		}
	}
	report.Events = c.Events
	return report, nil
}

type road struct{ config RoadConfig }

func (r *road) say(format string, args ...any) {
	fmt.Fprintf(r.config.Progress, time.Now().Format(time.TimeOnly)+"  "+format+"\n", args...)
}

// logs are realistic records of the hour that has passed, all of them distinct:
// what a log stream delivers is minutes old.
func (r *road) logs(seed uint64, n int) iter.Seq[[]byte] {
	generator := Generator{Seed: seed}
	to := time.Now().UTC().Truncate(time.Minute)
	return generator.simulated().HistoryPart(0, to.Add(-time.Hour), to, n)
}

// batches are bodies of so many records each.
func batches(logs iter.Seq[[]byte], size int) [][]byte {
	var all [][]byte
	var body []byte
	n := 0
	for raw := range logs {
		body = append(append(body, raw...), '\n')
		if n++; n%size == 0 {
			all, body = append(all, body), nil
		}
	}
	return all
}

// webhooks loads ours and the ceiling, in turns, with batches of each size.
func (r *road) webhooks(ctx context.Context, report *Report) error {
	logs := slices.Collect(r.logs(1, webhookEvents))
	size := 0
	for _, raw := range logs {
		size += len(raw)
	}
	report.Lines = append(report.Lines, Measurement{"a record, as Auth0 sends it", fmt.Sprintf("%d bytes", size/len(logs)), ""})
	for _, size := range []int{1, 10, 100, 1000} {
		bodies := batches(slices.Values(logs), size)
		rates := map[string]float64{}
		var ours usage
		for _, kind := range []string{WebhookOurs, WebhookCeiling} {
			rate, used, err := r.webhook(ctx, kind, bodies, size)
			if err != nil {
				return fmt.Errorf("%s webhook, batches of %d: %w", kind, size, err)
			}
			rates[kind] = rate
			if kind == WebhookOurs {
				ours = used
			}
		}
		target := ""
		if size == 100 {
			target = "0.7"
		}
		report.Lines = append(report.Lines,
			Measurement{fmt.Sprintf("webhook to synced answer, batches of %d", size), fmt.Sprintf("%.0f events/s, %s", rates[WebhookOurs], ours), ""},
			Measurement{"of net/http and one synced message per request", fmt.Sprintf("%.2f (%.0f/s)", rates[WebhookOurs]/rates[WebhookCeiling], rates[WebhookCeiling]), target})
	}
	return nil
}

// webhook loads one webhook in a process of its own.
func (r *road) webhook(ctx context.Context, kind string, bodies [][]byte, size int) (rate float64, used usage, err error) {
	dir, err := os.MkdirTemp("", "m2mbench")
	if err != nil {
		return 0, used, err
	}
	defer os.RemoveAll(dir)
	p := &live{config: LiveConfig{Progress: r.config.Progress}}
	if err := p.startProcess(ctx, r.config.Self, "webhook", "--kind", kind, "--dir", dir); err != nil {
		return 0, used, err
	}
	defer p.kill()
	r.say("%s webhook, batches of %d", kind, size)
	if _, err := p.hammer(ctx, bodies, webhookSenders, r.config.For/5); err != nil { // to warm up
		return 0, used, err
	}
	before, began := cpuTime(p.pids()), time.Now()
	answered, err := p.hammer(ctx, bodies, webhookSenders, r.config.For)
	if err != nil {
		return 0, used, err
	}
	took := time.Since(began)
	used = usage{cpu: cpuTime(p.pids()) - before, events: answered * size, resident: resident(p.program.Process.Pid)}
	return float64(answered*size) / took.Seconds(), used, p.stop()
}

// hammer sends bodies over and over for a time, each sender one after the other,
// and tells how many were answered.
func (l *live) hammer(ctx context.Context, bodies [][]byte, senders int, span time.Duration) (answered int, err error) {
	ends := time.Now().Add(span)
	var (
		mu     sync.Mutex // guards answered and failed
		failed error
		all    sync.WaitGroup
	)
	for s := range senders {
		all.Go(func() {
			n := 0
			var mine error
			for i := s; time.Now().Before(ends) && mine == nil; i += senders {
				if _, mine = l.post(ctx, bodies[i%len(bodies)]); mine == nil {
					n++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			answered += n
			failed = errors.Join(failed, mine)
		})
	}
	all.Wait()
	return answered, failed
}

// wholeWay sends events through a whole instance as fast as it takes them, and
// then few, to see how long each takes.
func (r *road) wholeWay(ctx context.Context, report *Report) error {
	r.say("making %d events", r.config.Events)
	bodies := batches(r.logs(2, r.config.Events), wayBatch)
	dir, err := os.MkdirTemp("", "m2mbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := &live{config: LiveConfig{Dir: filepath.Join(dir, "data"), Program: r.config.Program, Progress: r.config.Progress}}
	if err := l.start(ctx, filepath.Join(dir, "m2mwatch.yaml"), ""); err != nil {
		return err
	}
	defer l.kill()
	if err := r.fast(ctx, l, bodies, report); err != nil {
		return err
	}
	if err := r.delay(ctx, l, report); err != nil {
		return err
	}
	return l.stop()
}

func (r *road) fast(ctx context.Context, l *live, bodies [][]byte, report *Report) error {
	r.say("sending %d events the whole way", len(bodies)*wayBatch)
	pids := l.pids()
	peaks := make([]*memoryWatch, len(pids))
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		peaks[i], before[i] = watchMemory(func() []int { return []int{pid} }), cpuTime([]int{pid})
	}
	profiled := r.profile(ctx, l)
	next := make(chan []byte)
	began := time.Now()
	var (
		mu     sync.Mutex // guards failed
		failed error
		all    sync.WaitGroup
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range waySenders {
		all.Go(func() {
			for body := range next {
				if _, err := l.post(ctx, body); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
					cancel()
				}
			}
		})
	}
	for _, body := range bodies {
		next <- body
	}
	close(next)
	all.Wait()
	if failed != nil {
		return failed
	}
	answered := time.Since(began)
	if err := l.await(ctx, func(s liveStatus) bool { return s.Pending == 0 }); err != nil {
		return err
	}
	stored := time.Since(began)
	if err := l.awaitDone(ctx); err != nil {
		return err
	}
	judged := time.Since(began)
	if err := profiled(); err != nil {
		return err
	}
	events := float64(len(bodies) * wayBatch)
	report.Lines = append(report.Lines,
		Measurement{"the whole way, answered", fmt.Sprintf("%.0f events/s", events/answered.Seconds()), ""},
		Measurement{"the whole way, stored", fmt.Sprintf("%.0f events/s over %s", events/stored.Seconds(), stored.Round(time.Second)), "25000 events/s"},
		Measurement{"the whole way, stored and judged by the rules", fmt.Sprintf("%.0f events/s", events/judged.Seconds()), ""})
	for i, pid := range pids {
		u := usage{cpu: cpuTime([]int{pid}) - before[i], events: int(events), resident: peaks[i].stop()}
		report.Lines = append(report.Lines, Measurement{"meanwhile, " + nameOf(pid), u.String(), ""})
	}
	return nil
}

// profileTime is how long a profile is taken.
const profileTime = 10 * time.Second

// profile takes a CPU profile of the instance by its socket, while it works.
func (r *road) profile(ctx context.Context, l *live) (wait func() error) {
	if r.config.Profile == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		socket := filepath.Join(l.config.Dir, "api.sock")
		client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}}}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://socket/debug/pprof/profile?seconds=%.0f", profileTime.Seconds()), nil)
		if err != nil {
			done <- err
			return
		}
		answer, err := client.Do(request)
		if err != nil {
			done <- err
			return
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		done <- errors.Join(err, os.WriteFile(r.config.Profile, text, 0o600))
	}()
	return func() error { return <-done }
}

// delay sends a thousand events a second, and asks for one of each batch until it
// is there.
func (r *road) delay(ctx context.Context, l *live, report *Report) error {
	r.say("looking at the delay at %d events/s for %s", delayRate, r.config.Probe)
	const inBatch = delayRate / 10
	bodies := batches(r.logs(3, delayRate*int(r.config.Probe/time.Second)), inBatch)
	var (
		mu     sync.Mutex // guards delays and failed
		delays []time.Duration
		failed error
		all    sync.WaitGroup
	)
	began := time.Now()
	for i, body := range bodies {
		if err := sleepUntil(ctx, began.Add(time.Duration(i)*liveBatch)); err != nil {
			return err
		}
		sent := time.Now()
		if _, err := l.post(ctx, body); err != nil {
			return err
		}
		if i%5 != 0 { // two looks a second, or looking would be the load
			continue
		}
		logID, err := lastLogID(body)
		if err != nil {
			return err
		}
		all.Go(func() {
			err := l.awaitEvent(ctx, logID)
			mu.Lock()
			defer mu.Unlock()
			delays, failed = append(delays, time.Since(sent)), errors.Join(failed, err)
		})
	}
	all.Wait()
	if failed != nil || len(delays) == 0 {
		return errors.Join(failed, fmt.Errorf("%d events were looked for", len(delays)))
	}
	slices.Sort(delays)
	at := func(q float64) time.Duration {
		return delays[int(q*float64(len(delays)-1))].Round(10 * time.Millisecond)
	}
	report.Lines = append(report.Lines, Measurement{
		fmt.Sprintf("from sending an event until it can be asked for, at %d events/s", delayRate),
		fmt.Sprintf("p50 %s, p95 %s, at most %s (of %d)", at(0.5), at(0.95), at(1), len(delays)), "2s",
	})
	return nil
}

func lastLogID(body []byte) (string, error) {
	var last []byte
	for line := range lines(body) {
		last = line
	}
	var log struct {
		LogID string `json:"log_id"`
	}
	if err := json.Unmarshal(last, &log); err != nil || log.LogID == "" {
		return "", fmt.Errorf("a record without a log_id: %w", err)
	}
	return log.LogID, nil
}

func lines(body []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for from := 0; from < len(body); {
			to := from + bytes.IndexByte(body[from:], '\n')
			if !yield(body[from:to]) {
				return
			}
			from = to + 1
		}
	}
}

// lookAgain is the wait between two looks for an event.
const lookAgain = 20 * time.Millisecond

func (l *live) awaitEvent(ctx context.Context, logID string) error {
	for {
		var event struct{}
		status, err := l.ask(ctx, http.MethodGet, "/v1/events/"+Tenant+"/"+logID, "Bearer "+liveToken, nil, &event)
		switch {
		case err != nil:
			return err
		case status == http.StatusOK:
			return nil
		case status != http.StatusNotFound:
			return fmt.Errorf("an event was asked for, the answer is %d", status)
		}
		if err := sleepUntil(ctx, time.Now().Add(lookAgain)); err != nil {
			return err
		}
	}
}

// bareInserts compares the processor's writer with a bare insert, on an engine of
// their own.
func (r *road) bareInserts(ctx context.Context, report *Report) error {
	r.say("inserts")
	dir, err := os.MkdirTemp("", "m2mbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := openStore(ctx, filepath.Join(dir, "data"), 1<<30)
	if err != nil {
		return err
	}
	defer s.close()
	p := progress{Seed: 4, Events: 1, Span: 30, To: time.Now().UTC().Truncate(24 * time.Hour)}
	m := &measuring{config: StoreConfig{Rounds: 8, Progress: r.config.Progress}, progress: p, store: s}
	if m.raw, err = rawConnection(s.app); err != nil {
		return err
	}
	defer m.raw.Close()
	return m.inserts(ctx, report)
}

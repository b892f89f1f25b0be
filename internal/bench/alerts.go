package bench

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// alarmEvery is how often an event is sent that a person is to hear of.
const alarmEvery = time.Second

// alarmRule finds what is sent to measure how long an alert takes: a user of its
// own for each event, so that each is a finding.
const alarmRule = `title: Probe of the bench
id: 5b1f4c9e-7a58-4c1e-8f0e-6d3b0a7c9e21
level: high
logsource: {product: auth0}
detection:
  selection: {type: sapi, details.request.path: /api/v2/probe-of-the-bench}
  condition: selection
x-entity: user_id
`

// alarms measure the time from the webhook's 2xx to a delivered alert.
type alarms struct {
	listener net.Listener

	mu   sync.Mutex
	sent map[string]time.Time
	took []time.Duration
}

// newAlarms listens for alerts, which the configuration that it writes to dir
// sends there.
func newAlarms(dir string) (a *alarms, config string, err error) {
	rules := filepath.Join(dir, "rules")
	if err := os.MkdirAll(rules, 0o700); err != nil {
		return nil, "", err
	}
	if err := os.WriteFile(filepath.Join(rules, "probe.yml"), []byte(alarmRule), 0o600); err != nil {
		return nil, "", err
	}
	a = &alarms{sent: map[string]time.Time{}}
	if a.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, "", err
	}
	go func() { _ = (&http.Server{Handler: a, ReadHeaderTimeout: time.Minute}).Serve(a.listener) }()
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte("no secret: it stays on this machine"))
	return a, fmt.Sprintf("rules: {dirs: [%q]}\nnotify: {channels: [{name: bench, type: webhook, url: \"http://%s\", secret: %q, burst: -1}]}\n", rules, a.listener.Addr(), secret), nil
}

var alarmUser = regexp.MustCompile(`probe-[0-9]+-[0-9]+-of-the-bench`)

// ServeHTTP takes an alert.
func (a *alarms) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	user := string(alarmUser.Find(body))
	if sent, ok := a.sent[user]; ok {
		a.took = append(a.took, now.Sub(sent))
		delete(a.sent, user)
	}
}

// send posts one event a second until ctx ends.
func (a *alarms) send(ctx context.Context, l *live) error {
	run := time.Now().Unix() // people are told of nobody twice a day
	for n := 0; ; n++ {
		user, now := fmt.Sprintf("probe-%d-%d-of-the-bench", run, n), time.Now().UTC()
		id := fmt.Sprintf("900%s%03d%039d", now.Format("20060102150405"), now.Nanosecond()/1e6, n)
		body := fmt.Sprintf(`{"log_id":%q,"data":{"log_id":%[1]q,"date":%q,"type":"sapi","client_id":"probe","user_id":"auth0|%s","details":{"request":{"method":"post","path":"/api/v2/probe-of-the-bench"}}}}`,
			id, now.Format("2006-01-02T15:04:05.000Z"), user)
		if _, err := l.post(ctx, []byte(body)); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		a.mu.Lock()
		a.sent[user] = time.Now()
		a.mu.Unlock()
		if sleepUntil(ctx, now.Add(alarmEvery)) != nil {
			return nil
		}
	}
}

// alarmPatience is how long the last alerts are waited for.
const alarmPatience = time.Minute

// await waits until all alerts have arrived, or for too long.
func (a *alarms) await(ctx context.Context) {
	ctx, end := context.WithTimeout(ctx, alarmPatience)
	defer end()
	for a.missing() > 0 {
		if sleepUntil(ctx, time.Now().Add(liveBatch)) != nil {
			return
		}
	}
}

func (a *alarms) missing() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.sent)
}

// measurements are of those that arrived; how many did not is told, too.
func (a *alarms) measurements() []Measurement {
	_ = a.listener.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.took) == 0 {
		return []Measurement{{"alerts delivered", fmt.Sprintf("none of %d", len(a.sent)), ""}}
	}
	slices.Sort(a.took)
	at := func(share float64) string {
		return a.took[int(share*float64(len(a.took)-1))].Round(10 * time.Millisecond).String()
	}
	return []Measurement{
		{"from the webhook's 2xx to a delivered alert, p50", at(0.5), ""},
		{"the same, p99", at(0.99), "3s"},
		{"alerts delivered", fmt.Sprintf("%d of %d", len(a.took), len(a.took)+len(a.sent)), ""},
	}
}

// metrics are those of the instance, by name.
func (l *live) metrics(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+liveToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read /metrics: %w", err)
	}
	return families, nil
}

// awaitWarm waits until the rules, which are new to a store that was filled, have
// seen its history: until then they page nobody. It tells how long that took, but
// for the judging of it, which goes on beside what comes in.
func (l *live) awaitWarm(ctx context.Context) (took time.Duration, err error) {
	l.say("waiting until the rules have seen the month")
	began := time.Now()
	err = l.awaitCalm(ctx, "m2mwatch_warmer_leads", "m2mwatch_warmer_warming")
	return time.Since(began), err
}

// awaitCalm waits until one metric is not 0 and another is, and stays so.
func (l *live) awaitCalm(ctx context.Context, leads, waiting string) error {
	for calm := 0; calm < 3; { // a look may come before the first of the program's
		families, err := l.metrics(ctx)
		if err != nil {
			return err
		}
		sum := func(name string) (n float64) {
			for _, m := range families[name].GetMetric() {
				n += m.GetGauge().GetValue()
			}
			return n
		}
		calm++
		if sum(leads) == 0 || sum(waiting) > 0 {
			calm = 0
		}
		if err := sleepUntil(ctx, time.Now().Add(time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// correlating is how long the looks of the correlator's rules took, by its own clock.
func (l *live) correlating(ctx context.Context) (byRule map[string]float64, err error) {
	families, err := l.metrics(ctx)
	if err != nil {
		return nil, err
	}
	byRule = map[string]float64{}
	for _, m := range families["m2mwatch_correlator_rule_seconds_total"].GetMetric() {
		byRule[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	return byRule, nil
}

// correlated tells how much of a time the correlator worked, and on which rules most.
func correlated(before, after map[string]float64, took time.Duration) []Measurement {
	type spent struct {
		rule    string
		seconds float64
	}
	var all []spent
	sum := 0.0
	for rule, seconds := range after {
		seconds -= before[rule]
		sum += seconds
		all = append(all, spent{rule, seconds})
	}
	slices.SortFunc(all, func(a, b spent) int { return cmp.Compare(b.seconds, a.seconds) })
	var most []string
	for _, s := range all[:min(len(all), 10)] {
		most = append(most, fmt.Sprintf("%s %.1f s", s.rule, s.seconds))
	}
	return []Measurement{
		{"time that the correlator worked meanwhile", fmt.Sprintf("%.0f %%", 100*sum/took.Seconds()), "100 %"},
		{"of it on", strings.Join(most, ", "), ""},
	}
}

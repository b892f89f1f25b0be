package bench

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// StoreConfig says how to measure a filled data directory.
type StoreConfig struct {
	Dir    string
	Runs   int   // of each question
	Rounds int   // of the inserts
	Merge  bool  // merge each day into one part first
	Memory int64 // of the engine, in bytes

	Progress io.Writer
}

// Measurement is one line of the table: what, how much, and what was aimed at.
type Measurement struct {
	What   string `json:"what"`
	Result string `json:"result"`
	Target string `json:"target,omitempty"`
}

// Report is what Measure found.
type Report struct {
	Events  int           `json:"events"` // that were generated, each of them distinct
	Rows    uint64        `json:"rows"`   // of them; more than events where a day was stored twice
	Lines   []Measurement `json:"lines"`
	Columns []Size        `json:"columns"` // the largest first
}

// Measure times the questions that people ask of the store, its inserts, and
// what it takes on disk and in memory.
func Measure(ctx context.Context, c StoreConfig) (Report, error) {
	var r Report
	p, err := readProgress(c.Dir)
	if err != nil {
		return r, err
	}
	if p.Days < p.Span || !p.Counted {
		return r, fmt.Errorf("%s is not filled to its end: call fill again", c.Dir)
	}
	s, err := openStore(ctx, c.Dir, c.Memory)
	if err != nil {
		return r, err
	}
	defer s.close()
	m := &measuring{config: c, progress: p, store: s, random: rand.New(rand.NewPCG(p.Seed, 1))}
	if m.raw, err = rawConnection(s.app); err != nil {
		return r, err
	}
	defer m.raw.Close()
	for _, step := range []func(context.Context, *Report) error{m.settle, m.sizes, m.questions, m.inserts} {
		if err := step(ctx, &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// measuring is a Measure under way.
type measuring struct {
	config   StoreConfig
	progress progress
	store    *store
	raw      rawConn
	random   *rand.Rand
}

func (m *measuring) say(format string, args ...any) {
	fmt.Fprintf(m.config.Progress, time.Now().Format(time.TimeOnly)+"  "+format+"\n", args...)
}

// settle waits until the engine merges no more.
func (m *measuring) settle(ctx context.Context, _ *Report) error {
	if m.config.Merge {
		if err := m.mergeDays(ctx); err != nil {
			return err
		}
	}
	for {
		merges, err := scalar[uint64](ctx, m.raw, "SELECT count() FROM system.merges")
		if err != nil || merges == 0 {
			return err
		}
		m.say("%d merges are under way", merges)
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sample are rows of the store that questions are asked about.
type sample struct {
	identity, logID string
	at              time.Time
}

// samples draws from the events of a kind of identity, so that busy ones are
// asked about more often than quiet ones.
func (m *measuring) samples(ctx context.Context, kind string) ([]sample, error) {
	const most = 1000 // minutes that are looked at
	var drawn []sample
	for n := 0; len(drawn) < m.config.Runs; n++ {
		if n == most {
			return nil, fmt.Errorf("%d minutes of the month have too few events of %s identities", most, kind)
		}
		at := m.moment()
		rows, err := collect(ctx, m.raw, fmt.Sprintf(`SELECT identity, log_id, time FROM events
WHERE tenant = '%s' AND time >= fromUnixTimestamp64Milli(%d) AND time < fromUnixTimestamp64Milli(%d) AND startsWith(identity, '%s:')
ORDER BY rand() LIMIT 5`, Tenant, at.UnixMilli(), at.Add(time.Minute).UnixMilli(), kind),
			func(scan func(...any) error) (s sample, err error) {
				return s, scan(&s.identity, &s.logID, &s.at)
			})
		if err != nil {
			return nil, err
		}
		drawn = append(drawn, rows...)
	}
	return drawn[:m.config.Runs], nil
}

// moment is some minute of the month.
func (m *measuring) moment() time.Time {
	return m.progress.To.Add(-time.Minute * time.Duration(1+m.random.IntN(m.progress.Span*24*60-1)))
}

// questions asks each question Runs times, as the query API's user, and says
// what the engine's memory was at most.
func (m *measuring) questions(ctx context.Context, r *Report) error {
	db, err := clickhouse.Connect(ctx, m.store.engine.Options(clickhouse.RoleAPI))
	if err != nil {
		return err
	}
	defer db.Close()
	samples, err := m.samples(ctx, "app")
	if err != nil {
		return err
	}
	users, err := m.samples(ctx, "user")
	if err != nil {
		return err
	}
	if err := m.dirty(ctx, 2); err != nil {
		return err
	}
	reader := clickhouse.NewReader(db)
	from, to := m.progress.generator().From(), m.progress.To
	memory := watchMemory(func() []int { return []int{m.store.engine.PID()} })
	for _, q := range []struct {
		what, target string
		runs         int
		ask          func(i int) error
	}{
		{"a month by client and audience, 2 hours of it dirty", "200 ms", min(m.config.Runs, 20), func(int) error {
			rows, err := reader.Stats(ctx, schemas.StatsFilter{Tenant: Tenant, By: []string{"client_id", "audience"}, From: from, To: to, Limit: 1000})
			return atLeastOne(len(rows), err)
		}},
		{"events of a machine in a day, the newest 100", "p95 100 ms", m.config.Runs, func(i int) error {
			return search(ctx, reader, samples[i%len(samples)])
		}},
		{"events of a user in a day, the newest 100", "p95 100 ms", m.config.Runs, func(i int) error {
			return search(ctx, reader, users[i%len(users)])
		}},
		{"newest 100 events of all", "", m.config.Runs, func(int) error {
			events, err := reader.Events(ctx, schemas.EventFilter{Tenant: Tenant, Limit: 100})
			return atLeastOne(len(events), err)
		}},
		{"summary of an identity over the month", "100 ms", m.config.Runs, func(i int) error {
			seen, err := reader.Presence(ctx, Tenant, samples[i%len(samples)].identity, from, to)
			return atLeastOne(len(seen), err)
		}},
		{"one log_id", "50 ms", m.config.Runs, func(i int) error {
			_, err := reader.Event(ctx, Tenant, samples[i%len(samples)].logID)
			return err
		}},
	} {
		m.say("%s", q.what)
		times, err := timed(q.runs, q.ask)
		if err != nil {
			return fmt.Errorf("%s: %w", q.what, err)
		}
		r.Lines = append(r.Lines, Measurement{q.what, percentiles(times), q.target})
	}
	r.Lines = append(r.Lines, Measurement{"memory of the engine meanwhile, at most", mib(memory.stop()), ""})
	return nil
}

// search asks for what an identity did on a day on which it did something.
func search(ctx context.Context, reader *clickhouse.Reader, s sample) error {
	day := s.at.UTC().Truncate(24 * time.Hour)
	events, err := reader.Events(ctx, schemas.EventFilter{
		Tenant: Tenant, Identity: s.identity, From: day, To: day.AddDate(0, 0, 1), Limit: 100,
	})
	return atLeastOne(len(events), err)
}

// dirty touches hours, as a flush would that stored something in them.
func (m *measuring) dirty(ctx context.Context, hours int) error {
	var events []schemas.Event
	for i := range hours {
		at := m.progress.To.Add(-time.Duration(1+25*i) * time.Hour)
		clients, err := collect(ctx, m.raw, fmt.Sprintf(`SELECT DISTINCT client_id FROM events
WHERE tenant = '%s' AND time >= fromUnixTimestamp64Milli(%d) AND time < fromUnixTimestamp64Milli(%d)`,
			Tenant, at.UnixMilli(), at.Add(time.Hour).UnixMilli()),
			func(scan func(...any) error) (id string, err error) { return id, scan(&id) })
		if err != nil {
			return err
		}
		for _, id := range clients {
			events = append(events, schemas.Event{Tenant: Tenant, ClientID: id, Time: at})
		}
	}
	return clickhouse.NewWriter(m.store.db).InsertTouches(ctx, schemas.CountTouches(newFlushID(), events))
}

func atLeastOne(n int, err error) error {
	if err == nil && n == 0 {
		return fmt.Errorf("no row was found")
	}
	return err
}

// timed asks n times, after two that only warm up.
func timed(n int, ask func(i int) error) ([]time.Duration, error) {
	var times []time.Duration
	for i := range n + 2 {
		began := time.Now()
		if err := ask(i); err != nil {
			return nil, err
		}
		if i >= 2 {
			times = append(times, time.Since(began))
		}
	}
	slices.Sort(times)
	return times, nil
}

// percentiles of sorted times.
func percentiles(times []time.Duration) string {
	at := func(p int) time.Duration {
		return times[min(len(times)*p/100, len(times)-1)].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %s, p95 %s (of %d)", at(50), at(95), len(times))
}

func mib(bytes uint64) string { return fmt.Sprintf("%d MiB", bytes>>20) }

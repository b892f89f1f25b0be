package processor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// again is a store with all that reads and writes it.
type again struct {
	*bench
	db *clickhouse.DB
}

func newAgain(t *testing.T) *again {
	t.Helper()
	db := clickhousetest.New(t)
	b := newBenchOn(t, db)
	b.now = func() time.Time { return moment.Add(10 * time.Hour) }
	return &again{b, db}
}

// store takes events in as a flush does.
func (b *again) storeAll(events []schemas.Event, matcher processor.Matcher) {
	b.t.Helper()
	var matches []schemas.Match
	for i := range events {
		before := len(matches)
		matches = matcher.Match(matches, &events[i])
		events[i].Selectors = nil
		for _, m := range matches[before:] {
			events[i].Selectors = append(events[i].Selectors, m.Selector)
		}
		slices.Sort(events[i].Selectors)
	}
	b.flush++
	id := fmt.Sprintf("01900000-0000-7000-8000-%012x", b.flush)
	touches := append(schemas.Touches(id, matches), schemas.CountTouches(id, events)...)
	for _, err := range []error{
		b.writer.InsertEvents(b.t.Context(), events),
		b.writer.InsertMatches(b.t.Context(), matches),
		b.writer.InsertTouches(b.t.Context(), touches),
	} {
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// lease is one that no load of the machine takes away.
func (b *again) lease(name string) *nats.Lease {
	return nats.NewLease(b.broker.Conn, nats.LeaseConfig{Name: name, TTL: time.Minute})
}

// eventually waits longer than natstest does: a whole history is judged.
func (b *again) eventually(what string, ok func() bool) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(3 * time.Minute); !ok(); {
		select {
		case <-limit:
			b.t.Fatalf("%s: not within three minutes", what)
		case <-tick.C:
		}
	}
}

// judge correlates and recounts until nothing is left to do.
func (b *again) judge() {
	b.t.Helper()
	logger := slog.New(slog.NewTextHandler(b.t.Output(), nil))
	c, err := processor.NewCorrelator(processor.CorrelatorConfig{
		Store: b.store, Alerts: b.broker.Publisher(b.t), Rules: b.rules, Lease: b.lease("correlate"), Interval: 5 * time.Millisecond, Now: b.now, Logger: logger,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := processor.NewRecounter(processor.RecounterConfig{
		Store: clickhouse.NewCountStore(b.db), Lease: b.lease("recount"), Interval: 5 * time.Millisecond, Quiet: time.Nanosecond, Logger: logger,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	done := make(chan error, 2)
	go func() { done <- c.Run(ctx) }()
	go func() { done <- r.Run(ctx) }()
	b.eventually("every touch is recounted, and then, as a recount makes touches, correlated", func() bool {
		dirty, err := b.reader.DirtyHours(b.t.Context(), "", time.Time{}, time.Time{})
		if err != nil || dirty > 0 {
			return false
		}
		_, flushes, err := b.store.Touched(b.t.Context(), 1)
		return err == nil && len(flushes) == 0
	})
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			b.t.Fatal(err)
		}
	}
}

// ask adds a job of all that is stored.
func (b *again) ask(id string, dryRun bool) {
	b.t.Helper()
	b.askSince(id, dryRun, time.Unix(0, 0))
}

func (b *again) askSince(id string, dryRun bool, from time.Time) {
	b.t.Helper()
	job := schemas.Reprocess{
		ID: id, Tenant: "acme", From: from, To: moment.AddDate(1, 0, 0), DryRun: dryRun, State: schemas.ReprocessPending,
		CreatedAt: moment, UpdatedAt: moment,
	}
	if err := clickhouse.NewReprocessJobs(b.db).AddReprocess(b.t.Context(), job); err != nil {
		b.t.Fatal(err)
	}
}

// reprocessor makes one on a lease. at is called at its points.
func (b *again) reprocessor(lease processor.Lease, matcher processor.Matcher, at func(string), edits ...func(*processor.ReprocessorConfig)) *processor.Reprocessor {
	b.t.Helper()
	cfg := processor.ReprocessorConfig{
		Store: clickhouse.NewReprocessStore(b.db), Lease: lease,
		Matcher: matcher, Selectors: []string{fmt.Sprintf("%T", matcher)}, Interval: 5 * time.Millisecond, ChunkRows: 40, Now: b.now, At: at,
		Retention: 100 * aDay, Logger: slog.New(slog.NewTextHandler(b.t.Output(), nil)),
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	r, err := processor.NewReprocessor(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// reprocess runs a reprocessor until the job is over, or until it reaches a
// point for the nth time: nothing behind that is written.
func (b *again) reprocess(id string, matcher processor.Matcher, until string, n int64, edits ...func(*processor.ReprocessorConfig)) schemas.Reprocess {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	var reached atomic.Int64
	r := b.reprocessor(b.lease("reprocess"), matcher, func(point string) {
		if point == until && reached.Add(1) == n {
			cancel()
		}
	}, edits...)
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	job := b.over(ctx, id)
	if until != "" && ctx.Err() == nil {
		b.t.Fatalf("the job was over before it reached %s for the %dth time", until, n)
	}
	cancel()
	if err := <-done; err != nil {
		b.t.Fatal(err)
	}
	return job
}

// over waits until a job is over, or ctx is.
func (b *again) over(ctx context.Context, id string) (job schemas.Reprocess) {
	b.t.Helper()
	jobs := clickhouse.NewReprocessJobs(b.db)
	b.eventually("the job is over, or the point is reached", func() bool {
		var err error
		job, err = jobs.Reprocess(b.t.Context(), id)
		return ctx.Err() != nil || err == nil && job.Over()
	})
	return job
}

// rawLogs are logs of three days: a client that works and then fails, one that
// fails for its quota alone, people, and calls of the Management API.
func rawLogs(r *rand.Rand) [][]byte {
	var raws [][]byte
	add := func(at time.Time, fields string) {
		raws = append(raws, fmt.Appendf(nil, `{"log_id":%q,"data":{"date":%q,%s,"log_id":%[1]q}}`,
			fmt.Sprintf("900%053d", len(raws)), at.Format("2006-01-02T15:04:05.000Z"), fields))
	}
	for i := range 70 {
		at := moment.Add(-60*time.Hour + time.Duration(i/10)*10*time.Hour + time.Duration(i%10)*5*time.Minute) // in few hours: each is counted
		for _, client := range []string{"works", "quota"} {
			add(at, fmt.Sprintf(`"type":"seccft","client_id":%q,"ip":"198.51.100.%d","details":{"access_token_jti":"jti-%s-%d"}`, client, i, client, i))
		}
		add(at, fmt.Sprintf(`"type":"s","client_id":"web","user_id":"auth0|%d","ip":"203.0.113.%d"`, r.IntN(3), r.IntN(9)))
		add(at, fmt.Sprintf(`"type":"sapi","client_id":"admin","user_id":"auth0|%d","details":{"request":{"method":"get","path":"/api/v2/users","auth":{"user":{"user_id":"auth0|1"},"credentials":{"jti":"used-%d"}}}}`, r.IntN(3), i))
	}
	for i := range 4 {
		at := moment.Add(time.Duration(i) * time.Minute)
		add(at, fmt.Sprintf(`"type":"feccft","client_id":"works","description":"Unauthorized","ip":"198.51.100.%d"`, i))
		add(at, fmt.Sprintf(`"type":"feccft","client_id":"quota","description":"Client quota exceeded","ip":"198.51.100.%d"`, i))
	}
	return raws
}

func normalized(t *testing.T, raws [][]byte) []schemas.Event {
	t.Helper()
	n := processor.NewNormalizer(schemas.EventTypes(), nil)
	var events []schemas.Event
	for _, raw := range raws {
		e, err := n.Normalize(&schemas.Log{Tenant: "acme", Source: schemas.SourceStream, IngestedAt: moment, Raw: raw})
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// distort makes of events what a normalizer that was wrong would have made of
// their logs: other values, and other keys. The refusals it gets all wrong.
func distort(r *rand.Rand, events []schemas.Event) (distorted []schemas.Event, changed, moved int) {
	for _, e := range events {
		e.Ver = schemas.Version(e.Source, schemas.NormalizerVersion-1, e.Raw)
		kind := r.IntN(10)
		switch {
		case e.Type == "feccft" && e.ClientID == "works":
			e.Network = ""
		case e.Type == "feccft":
			e.Description, e.Cause = "Unauthorized", schemas.CauseCredentials
		case e.ClientID == "quota": // a finding of it needs all of these
			distorted = append(distorted, e)
			continue
		case kind < 2:
			e.Identity, e.Network, e.Country = schemas.Identity{ID: "user:wrong", Kind: schemas.KindHuman, Reason: "wrong"}, "192.0.2.0/24", "XX"
		case kind == 2:
			e.ClientID = "wrong"
			moved++
		case kind == 3:
			e.Time = e.Time.Add(time.Duration(r.IntN(60)-30) * time.Hour).Add(time.Millisecond)
			moved++
		case kind == 4:
			e.TokenID, e.UserID, e.UsedTokenID = "wrong", "auth0|wrong", "wrong-too"
		case kind == 5:
			e.Type, e.Outcome = "feccft", schemas.OutcomeFailure
		default:
			distorted = append(distorted, e)
			continue
		}
		changed++
		distorted = append(distorted, e)
	}
	return distorted, changed, moved
}

// view is all that readers tell.
type view struct {
	Events   map[string][]schemas.Event
	Stats    map[string][]schemas.StatsRow
	Presence map[string][]schemas.Presence
	Tokens   map[string]schemas.Token
	Raw      []string
	Findings []schemas.Finding
}

func (b *again) view(events []schemas.Event) view {
	b.t.Helper()
	ctx := b.t.Context()
	v := view{map[string][]schemas.Event{}, map[string][]schemas.StatsRow{}, map[string][]schemas.Presence{}, map[string]schemas.Token{}, nil, nil}
	var err error
	fail := func() {
		b.t.Helper()
		if err != nil {
			b.t.Fatal(err)
		}
	}
	for _, f := range []schemas.EventFilter{
		{},
		{Identity: "user:wrong"},
		{Identity: "app:works"},
		{Identity: "user:auth0|1"},
		{UserID: "auth0|wrong"},
		{UserID: "auth0|2"},
		{ClientID: "wrong"},
		{ClientID: "admin"},
		{Type: "feccft"},
		{From: moment.AddDate(0, 0, -1), To: moment},
	} {
		f.Limit = 1000
		name := fmt.Sprintf("%+v", f)
		v.Events[name], err = b.reader.Events(ctx, f)
		fail()
	}
	for _, f := range []schemas.StatsFilter{
		{By: []string{"client_id", "type"}},
		{By: []string{"identity", "outcome", "cause"}},
		{By: []string{"network", "user_id"}},
		{By: []string{"client_id"}, From: moment.AddDate(0, 0, -1).Add(time.Minute), To: moment.Add(time.Minute)},
	} {
		f.Tenant, f.Limit = "acme", 1000
		v.Stats[fmt.Sprintf("%+v", f)], err = b.reader.Stats(ctx, f)
		fail()
	}
	for _, identity := range []string{"user:wrong", "app:works", "app:quota", "user:auth0|1", "app:admin", "app:wrong"} {
		v.Presence[identity], err = b.reader.Presence(ctx, "acme", identity, time.Time{}, time.Time{})
		fail()
	}
	for _, jti := range []string{"jti-works-3", "used-3", "wrong", "wrong-too"} {
		token, err := b.reader.Token(ctx, "acme", jti)
		if err != nil {
			token.ID = "none"
		}
		v.Tokens[jti] = token
	}
	for i := 0; i < len(events); i += 9 {
		var e schemas.Event
		e, err = b.reader.Event(ctx, "acme", events[i].LogID)
		fail()
		v.Raw = append(v.Raw, string(e.Raw))
	}
	for _, f := range b.findings("acme") {
		if f.State == schemas.StateOpen {
			v.Findings = append(v.Findings, f)
		}
	}
	return v
}

// same compares two views, but for what tells when and how often something was
// written.
var sameView = cmp.Options{
	cmpopts.IgnoreFields(schemas.Event{}, "StoredAt", "Ver"),
	cmpopts.IgnoreFields(schemas.Finding{}, "Ver", "Changes", "PagedAt", "FoundAt"),
	cmpopts.EquateEmpty(),
}

// TestReprocessMakesTheStoreAsIfItHadNeverBeenOtherwise fills a store by a
// normalizer that is wrong about much, has it counted and judged, and normalizes
// it again: in one go, and with a crash behind each step, where the attempt
// that crashed had other rules. The oracle is a store that was filled right.
func TestReprocessMakesTheStoreAsIfItHadNeverBeenOtherwise(t *testing.T) {
	t.Parallel()
	const seed = 5
	raws := rawLogs(rand.New(rand.NewPCG(seed, 1)))
	right := normalized(t, raws)
	oracle := newAgain(t)
	oracle.storeAll(right, oracle.rules)
	oracle.judge()
	want := oracle.view(right)
	if len(want.Findings) != 1 || want.Findings[0].Key != "works" || len(want.Events) == 0 || want.Tokens["jti-works-3"].Issue == nil {
		t.Fatalf("the oracle has findings %+v, tokens %+v", want.Findings, want.Tokens)
	}
	for _, point := range []string{"", "running_saved", "begun", "matches_replaced", "records_replaced", "touches_inserted", "position_saved"} {
		t.Run("crash behind "+point, func(t *testing.T) {
			b := newAgain(t)
			wrong, changed, moved := distort(rand.New(rand.NewPCG(seed, 2)), slices.Clone(right))
			b.storeAll(wrong, b.rules)
			b.judge()
			if before := b.view(right); len(before.Findings) != 1 || before.Findings[0].Key != "quota" || cmp.Equal(want, before, sameView) {
				t.Fatalf("findings before: %+v, want that of the quota", before.Findings)
			}
			b.ask("job", false)
			if point != "" {
				n := int64(2)
				if point == "running_saved" {
					n = 1
				}
				b.reprocess("job", allFailures{}, point, n)
			}
			job := b.reprocess("job", b.rules, "", 0)
			b.judge()
			if diff := cmp.Diff(want, b.view(right), sameView); diff != "" {
				t.Errorf("(-right +normalized again):\n%s", diff)
			}
			if job.State != schemas.ReprocessDone || job.Total != job.Done || job.Errors != 0 || job.Changed < uint64(changed) || job.Moved < uint64(moved) {
				t.Errorf("job %+v, want %d changed and %d moved", job, changed, moved)
			}
			if point == "" && (job.Changed != uint64(changed) || job.Moved != uint64(moved)) {
				t.Errorf("job %+v, want %d changed and %d moved exactly", job, changed, moved)
			}
			if point != "" {
				return
			}
			// Once more there is nothing to do.
			b.ask("once more", true)
			if job := b.reprocess("once more", b.rules, "", 0); job.Changed != 0 || job.Done != uint64(len(right)) {
				t.Errorf("once more: %+v, want %d records and no change", job, len(right))
			}
		})
	}
}

// everybodysLease makes a holder of everyone who asks: none is told that
// another has come.
type everybodysLease struct{}

func (everybodysLease) Acquire(ctx context.Context, atLeast uint64) (context.Context, uint64, func(), error) {
	return ctx, atLeast + 1, func() {}, nil
}

// TestAReprocessorThatStalledHarmsNothing stops a reprocessor of other rules
// between two steps, lets another do the job, and wakes it up.
func TestAReprocessorThatStalledHarmsNothing(t *testing.T) {
	t.Parallel()
	const seed = 6
	right := normalized(t, rawLogs(rand.New(rand.NewPCG(seed, 1))))
	oracle := newAgain(t)
	oracle.storeAll(right, oracle.rules)
	oracle.judge()
	want := oracle.view(right)
	for _, at := range []string{"begun", "matches_replaced", "records_replaced", "touches_inserted"} {
		b := newAgain(t)
		wrong, _, _ := distort(rand.New(rand.NewPCG(seed, 2)), slices.Clone(right))
		b.storeAll(wrong, b.rules)
		b.ask("job", false)
		ctx, cancel := context.WithCancel(t.Context())
		stalled, wake := make(chan struct{}), make(chan struct{})
		stop := sync.OnceFunc(func() {
			close(stalled)
			<-wake
		})
		sleeper := b.reprocessor(everybodysLease{}, allFailures{}, func(point string) {
			if point == at {
				stop()
			}
		})
		done := make(chan error, 2)
		go func() { done <- sleeper.Run(ctx) }()
		<-stalled
		other := b.reprocessor(everybodysLease{}, b.rules, nil)
		go func() { done <- other.Run(ctx) }()
		if job := b.over(ctx, "job"); job.State != schemas.ReprocessDone {
			t.Fatalf("job %+v", job)
		}
		close(wake)
		b.judge()
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		b.judge()
		if diff := cmp.Diff(want, b.view(right), sameView); diff != "" {
			t.Errorf("stalled behind %s (-right +normalized again):\n%s", at, diff)
		}
	}
}

func TestReprocessLeavesWhatItMayNotReplace(t *testing.T) {
	t.Parallel()
	b := newAgain(t)
	log := func(n int, date string, source schemas.Source) schemas.Event {
		raw := fmt.Appendf(nil, `{"log_id":"900%053d","data":{"date":%q,"type":"seccft","client_id":"a","source":%q}}`, n, date, source)
		events := normalized(t, [][]byte{raw})
		events[0].Source, events[0].Ver = source, schemas.Version(source, schemas.NormalizerVersion, raw)
		return events[0]
	}
	const day = "2026-04-13T12:00:00.000Z"
	newer := log(1, day, schemas.SourceStream)
	newer.Ver, newer.Type = schemas.Version(newer.Source, schemas.NormalizerVersion+1, newer.Raw), "of a newer build"
	old := log(2, "2025-01-01T00:00:00.000Z", schemas.SourceStream) // by its log it is past the retention
	old.Time = moment.Add(-aDay)
	stray, best := log(3, day, schemas.SourceImport), log(3, day, schemas.SourceStream) // two copies, one under a wrong key
	stray.ClientID = "wrong"
	b.storeAll([]schemas.Event{newer, old, stray, best}, b.rules)
	b.ask("job", false)
	job := b.reprocess("job", b.rules, "", 0)
	if job.State != schemas.ReprocessDone || job.Done != 4 || job.Changed != 1 || job.Moved != 1 || job.Errors != 2 || job.Error == "" {
		t.Errorf("job %+v, want 4 read, 1 moved, 2 left", job)
	}
	got, err := b.reader.Events(t.Context(), schemas.EventFilter{Tenant: "acme", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]schemas.Event{newer.LogID: newer, old.LogID: old, best.LogID: best}
	for _, e := range got {
		if w := want[e.LogID]; e.Ver != w.Ver || e.Type != w.Type || e.ClientID != w.ClientID || !e.Time.Equal(w.Time) || e.Source != w.Source {
			t.Errorf("got %+v\nwant %+v", e, w)
		}
	}
	if len(got) != 3 {
		t.Errorf("%d events, want 3: the import's copy lost", len(got))
	}
}

// newerFiles know of every address a system, which no test's events have.
type newerFiles struct{}

func (newerFiles) Place(netip.Addr) schemas.Place { return schemas.Place{ASN: 64500, Edition: 9} }

func withNewerFiles(c *processor.ReprocessorConfig) { c.Places = newerFiles{} }

// sameAsEvents claims that what is counted is what the events say.
func (b *again) sameAsEvents() {
	b.t.Helper()
	events, err := b.reader.Events(b.t.Context(), schemas.EventFilter{Tenant: "acme", Limit: 1000})
	if err != nil {
		b.t.Fatal(err)
	}
	want := map[string]uint64{}
	for _, e := range events {
		want[fmt.Sprint(e.ClientID, e.Type, e.Identity.ID, e.Network)]++
	}
	rows, err := b.reader.Stats(b.t.Context(), schemas.StatsFilter{Tenant: "acme", By: []string{"client_id", "type", "identity", "network"}, Limit: 1000})
	if err != nil {
		b.t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, r := range rows {
		got[fmt.Sprint(r.Values[0], r.Values[1], r.Values[2], r.Values[3])] = r.Count
	}
	if diff := cmp.Diff(want, got); diff != "" || len(events) == 0 {
		b.t.Errorf("%d events (-events +counted):\n%s", len(events), diff)
	}
}

// TestReprocessTouchesWhatItFindsBegunAndMayNotReplace crashes where records
// are replaced and not touched. Who goes on has older files, so that what is
// stored stays; it is counted all the same.
func TestReprocessTouchesWhatItFindsBegunAndMayNotReplace(t *testing.T) {
	t.Parallel()
	const seed = 7
	right := normalized(t, rawLogs(rand.New(rand.NewPCG(seed, 1))))
	b := newAgain(t)
	wrong, _, _ := distort(rand.New(rand.NewPCG(seed, 2)), slices.Clone(right))
	b.storeAll(wrong, b.rules)
	b.judge()
	b.ask("job", false)
	b.reprocess("job", b.rules, "records_replaced", 2, withNewerFiles)
	if job := b.reprocess("job", b.rules, "", 0); job.State != schemas.ReprocessDone || job.Errors == 0 {
		t.Errorf("job %+v, want it done, and records that newer files made left", job)
	}
	b.judge()
	b.sameAsEvents()
}

// toldStore tells of the epochs and generations that begin.
type toldStore struct {
	processor.ReprocessStore
	at func(string)
}

func (s toldStore) BeginEpoch(ctx context.Context, epoch uint64) error {
	defer s.at("epoch_begun")
	return s.ReprocessStore.BeginEpoch(ctx, epoch)
}

func (s toldStore) BeginGeneration(ctx context.Context, epoch, generation uint64, basis string) error {
	defer s.at("generation_begun")
	return s.ReprocessStore.BeginGeneration(ctx, epoch, generation, basis)
}

// wronged is a store that was filled by a normalizer that is wrong, and judged.
func wronged(t *testing.T, seed uint64) (b *again, right []schemas.Event, changed, moved int) {
	t.Helper()
	right = normalized(t, rawLogs(rand.New(rand.NewPCG(seed, 1))))
	b = newAgain(t)
	wrong, changed, moved := distort(rand.New(rand.NewPCG(seed, 2)), slices.Clone(right))
	b.storeAll(wrong, b.rules)
	b.judge()
	return b, right, changed, moved
}

func (b *again) generation() uint64 {
	b.t.Helper()
	last, _, err := clickhouse.NewReprocessStore(b.db).LastGeneration(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return last
}

// TestReprocessOfOneBasisIsOneGeneration crashes at point after point, each
// time to go on by the same rules: the numbers are those of a job that was never
// broken off, and what was written has one generation. Other rules make one more,
// and a dry run makes none.
func TestReprocessOfOneBasisIsOneGeneration(t *testing.T) {
	t.Parallel()
	b, right, changed, moved := wronged(t, 8)
	b.ask("dry", true)
	if job := b.reprocess("dry", allFailures{}, "", 0); job.Changed < uint64(changed) || b.generation() != 0 {
		t.Errorf("job %+v of generation %d, want changes and none", job, b.generation())
	}
	b.ask("job", false)
	for _, point := range []string{"epoch_begun", "running_saved", "generation_begun", "begun", "matches_replaced", "position_saved", "records_replaced", "records_replaced", "marks_inserted", "touches_inserted"} {
		var reach func(string)
		crash := func(c *processor.ReprocessorConfig) {
			reach = c.At
			c.Store = toldStore{c.Store, func(at string) { reach(at) }}
		}
		b.reprocess("job", b.rules, point, 1, crash)
	}
	job := b.reprocess("job", b.rules, "", 0)
	if job.State != schemas.ReprocessDone || job.Changed != uint64(changed) || job.Moved != uint64(moved) || job.Errors != 0 {
		t.Errorf("job %+v, want %d changed and %d moved", job, changed, moved)
	}
	if got := b.generation(); got != 1 {
		t.Errorf("generation %d, want 1", got)
	}
	b.judge()
	b.sameAsEvents()
	b.ask("other", false)
	if b.reprocess("other", allFailures{}, "", 0); b.generation() != 2 {
		t.Errorf("generation %d by other rules, want 2", b.generation())
	}
	b.ask("nothing", false)
	if job := b.reprocess("nothing", allFailures{}, "", 0); job.Changed != 0 || job.Done != uint64(len(right)) || b.generation() != 2 {
		t.Errorf("job %+v of generation %d, want no change and 2", job, b.generation())
	}
}

func TestReprocessLeavesRecordsOnceGenerationsAreUsedUp(t *testing.T) {
	t.Parallel()
	b, _, changed, _ := wronged(t, 9)
	store := clickhouse.NewReprocessStore(b.db)
	begin := func(epoch, generation uint64) {
		t.Helper()
		if err := errors.Join(store.BeginEpoch(t.Context(), epoch), store.BeginGeneration(t.Context(), epoch, generation, "another")); err != nil {
			t.Fatal(err)
		}
	}
	b.ask("job", false)
	b.reprocess("job", allFailures{}, "records_replaced", 2)
	last, err := store.LastEpoch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	begin(last+1, schemas.MaxGeneration)
	job := b.reprocess("job", b.rules, "", 0)
	if job.State != schemas.ReprocessDone || job.Errors == 0 || job.Errors > uint64(changed)+100 || !strings.Contains(job.Error, "ver has room for no more") {
		t.Errorf("job %+v, want records left for want of a generation", job)
	}
	if b.generation() != schemas.MaxGeneration {
		t.Errorf("generation %d", b.generation())
	}
	b.judge()
	b.sameAsEvents()
}

// conn is a connection for what no part of the program does.
func (b *again) conn() driver.Conn {
	b.t.Helper()
	options, err := ch.ParseDSN(clickhousetest.Engine(b.t).Options(clickhouse.RoleApp).URL)
	if err != nil {
		b.t.Fatal(err)
	}
	options.Auth.Database = b.db.Database()
	conn, err := ch.Open(options)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	return conn
}

func (b *again) exec(sql string) {
	b.t.Helper()
	if err := b.conn().Exec(b.t.Context(), sql); err != nil {
		b.t.Fatal(err)
	}
}

// rulesAndAllFailures select what either does.
type rulesAndAllFailures struct{ processor.Matcher }

func (m rulesAndAllFailures) Match(dst []schemas.Match, e *schemas.Event) []schemas.Match {
	return allFailures{}.Match(m.Matcher.Match(dst, e), e)
}

// TestReprocessLeavesWhatTheStoreRefuses has the store refuse events of one
// client and matches of another: they stay what they were, with what was found
// of them, and all else is normalized again.
func TestReprocessLeavesWhatTheStoreRefuses(t *testing.T) {
	t.Parallel()
	b, right, _, _ := wronged(t, 10)
	before := b.findings("acme")
	b.exec("ALTER TABLE events ADD CONSTRAINT no_web CHECK client_id != 'web'")
	b.exec("ALTER TABLE matches ADD CONSTRAINT no_quota CHECK client_id != 'quota'")
	b.ask("job", false)
	job := b.reprocess("job", rulesAndAllFailures{b.rules}, "", 0)
	if job.State != schemas.ReprocessDone || job.Errors == 0 || job.Changed == 0 || !strings.Contains(job.Error, "refused") {
		t.Errorf("job %+v, want it done, and records left", job)
	}
	b.judge()
	b.sameAsEvents()
	got, err := b.reader.Events(t.Context(), schemas.EventFilter{Tenant: "acme", Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]schemas.Event{}
	for _, e := range right {
		want[e.LogID] = e
	}
	left := 0
	for _, e := range got {
		w, once := want[e.LogID]
		isRight := e.ClientID == w.ClientID && e.Time.Equal(w.Time) && e.Type == w.Type && e.Network == w.Network
		switch mayStay := w.ClientID == "web" || w.ClientID == "quota"; {
		case !once || !isRight && !mayStay:
			t.Errorf("log_id %s of %s is there once %t, right %t", e.LogID, w.ClientID, once, isRight)
		case w.ClientID == "quota" && w.Type == "feccft" && (e.Description != "Unauthorized" || e.Ver&schemas.MaxGeneration != 0):
			t.Errorf("log_id %s is written, though its match was refused", e.LogID)
		case !isRight:
			left++
		}
		delete(want, e.LogID)
	}
	if len(want) != 0 || left == 0 || uint64(left) > job.Errors {
		t.Errorf("%d records are gone, %d wrong, of %d errors", len(want), left, job.Errors)
	}
	after := slices.DeleteFunc(b.findings("acme"), func(f schemas.Finding) bool { return f.Key != "quota" })
	if diff := cmp.Diff(before, after, sameView); diff != "" || len(before) != 1 {
		t.Errorf("findings of what is left (-before +after):\n%s", diff)
	}
}

// unreadable is a store that cannot read one tenant's records, for ever.
type unreadable struct {
	processor.ReprocessStore
	tenant string
}

func (s unreadable) RecordDays(ctx context.Context, tenant string, from, to time.Time) ([]schemas.RecordDay, error) {
	if tenant == s.tenant {
		return nil, errFlaky
	}
	return s.ReprocessStore.RecordDays(ctx, tenant, from, to)
}

// TestAJobThatCannotGoOnKeepsNoOtherWaiting has the oldest job meet an error
// that lasts, until somebody cancels it.
func TestAJobThatCannotGoOnKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	b := newAgain(t)
	b.storeAll(normalized(t, rawLogs(rand.New(rand.NewPCG(12, 1)))), b.rules)
	jobs := clickhouse.NewReprocessJobs(b.db)
	stuck := schemas.Reprocess{
		ID: "stuck", Tenant: "globex", From: time.Unix(0, 0), To: moment, State: schemas.ReprocessPending,
		CreatedAt: moment.Add(-time.Hour), UpdatedAt: moment,
	}
	if err := jobs.AddReprocess(t.Context(), stuck); err != nil {
		t.Fatal(err)
	}
	b.ask("job", false)
	cannotRead := func(c *processor.ReprocessorConfig) { c.Store = unreadable{c.Store, "globex"} }
	if job := b.reprocess("job", allFailures{}, "", 0, cannotRead); job.State != schemas.ReprocessDone {
		t.Errorf("job %+v, want it done", job)
	}
	if job, err := jobs.Reprocess(t.Context(), "stuck"); job.Over() || err != nil {
		t.Errorf("job %+v, %v, want it to be tried again", job, err)
	}
	if err := jobs.CancelReprocess(t.Context(), "stuck"); err != nil {
		t.Fatal(err)
	}
	if job := b.reprocess("stuck", allFailures{}, "", 0, cannotRead); job.State != schemas.ReprocessCanceled {
		t.Errorf("job %+v, want it canceled", job)
	}
}

// TestACanceledJobLeavesNothingBegun cancels a job of which a chunk is half
// written: that is done first, and nothing behind it.
func TestACanceledJobLeavesNothingBegun(t *testing.T) {
	t.Parallel()
	b, _, changed, _ := wronged(t, 13)
	b.ask("job", false)
	b.reprocess("job", b.rules, "records_replaced", 2)
	if err := clickhouse.NewReprocessJobs(b.db).CancelReprocess(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	job := b.reprocess("job", b.rules, "", 0)
	if job.State != schemas.ReprocessCanceled || job.Changed == 0 || job.Changed >= uint64(changed) || job.Position == nil || *job.Position != *job.Begun {
		t.Errorf("job %+v, want it canceled behind what was begun", job)
	}
	b.judge()
	b.sameAsEvents()
}

// TestAChunkIsWrittenInItsOrder looks at the store behind each step of the first
// chunk. Behind the matches of each it has them merged and everything judged
// anew: what was found of the old ones stands until the events follow.
func TestAChunkIsWrittenInItsOrder(t *testing.T) {
	t.Parallel()
	const seed = 11
	right := normalized(t, rawLogs(rand.New(rand.NewPCG(seed, 1))))
	b := newAgain(t)
	wrong, _, _ := distort(rand.New(rand.NewPCG(seed, 2)), slices.Clone(right))
	for i := range right {
		if right[i].ClientID == "works" { // its failures will be selected by one selector more
			wrong[i] = right[i]
		}
	}
	b.storeAll(wrong, b.rules)
	b.judge()
	conn := b.conn()
	written := func(from string) bool {
		t.Helper()
		var n uint64
		if err := conn.QueryRow(t.Context(), "SELECT count() FROM "+from).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
	steps := func() string {
		t.Helper()
		const again = "bitAnd(ver, 4095) > 0"
		done := []string{}
		for _, step := range []struct{ name, from string }{
			{"begun", "reprocess_jobs FINAL WHERE begun != ''"},
			{"matches", "matches WHERE " + again},
			{"events", "events WHERE deleted = 0 AND " + again},
			{"marks", "events WHERE deleted = 1 AND " + again},
			{"touches", "touches WHERE flush NOT IN (SELECT flush FROM touches_done)"},
			{"position", "reprocess_jobs FINAL WHERE position != ''"},
		} {
			if written(step.from) {
				done = append(done, step.name)
			}
		}
		return strings.Join(done, " ")
	}
	var got []string
	var found []schemas.Finding
	open := func() []schemas.Finding {
		t.Helper()
		var matches []schemas.Match
		for i := range right {
			matches = b.rules.Match(matches, &right[i])
		}
		b.flush++
		touches := schemas.Touches(fmt.Sprintf("01900000-0000-7000-8000-%012x", b.flush), matches)
		if err := b.writer.InsertTouches(t.Context(), touches); err != nil {
			t.Fatal(err)
		}
		b.judge()
		return slices.DeleteFunc(b.findings("acme"), func(f schemas.Finding) bool { return f.State != schemas.StateOpen })
	}
	first, most := true, 0
	look := func(c *processor.ReprocessorConfig) {
		c.ChunkRows = 4000
		c.At = func(point string) {
			if point == "running_saved" {
				return
			}
			if first {
				got = append(got, steps())
			}
			switch point {
			case "begun":
				found = open()
				most = max(most, len(found))
			case "matches_replaced":
				b.exec("OPTIMIZE TABLE matches FINAL")
				if diff := cmp.Diff(found, open(), sameView); diff != "" {
					t.Errorf("found before the matches were replaced, and after (-before +after):\n%s", diff)
				}
			case "position_saved":
				first = false
			}
		}
	}
	b.askSince("job", false, moment.Add(-12*time.Hour)) // a day whose chunk has all of it
	b.reprocess("job", rulesAndAllFailures{b.rules}, "", 0, look)
	want := []string{
		"begun", "begun matches", "begun matches events", "begun matches events marks", "begun matches events marks touches",
		"begun matches events marks touches position",
	}
	if diff := cmp.Diff(want, got); diff != "" || most == 0 {
		t.Errorf("%d findings at most; steps (-want +got):\n%s", most, diff)
	}
}

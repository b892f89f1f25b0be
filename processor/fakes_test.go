package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// journal is the order in which things happened.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) write(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) count(prefix string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

// fakeQueue is a work queue in memory. A message is in it until it is acked.
type fakeQueue struct {
	journal *journal
	pending int // the most messages out at a time; 0 is any number

	mu      sync.Mutex
	waiting []*fakeMessage
	out     int
	fetches int
	came    chan struct{}
}

func newFakeQueue(j *journal) *fakeQueue {
	return &fakeQueue{journal: j, came: make(chan struct{}, 1)}
}

func (q *fakeQueue) put(messages ...*fakeMessage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, messages...)
	select {
	case q.came <- struct{}{}:
	default:
	}
}

func (q *fakeQueue) Fetch(ctx context.Context, maxMessages, maxBytes int, wait time.Duration) ([]schemas.Message, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for first := true; ; first = false {
		if messages := q.take(maxMessages, maxBytes, first); len(messages) > 0 {
			return messages, nil
		}
		select {
		case <-q.came:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (q *fakeQueue) take(maxMessages, maxBytes int, first bool) (messages []schemas.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if first {
		q.fetches++
	}
	for len(q.waiting) > 0 && len(messages) < maxMessages && maxBytes > 0 && (q.pending == 0 || q.out < q.pending) {
		m := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.out++
		m.attempt++
		maxBytes -= len(m.data)
		messages = append(messages, m)
	}
	return messages
}

func (q *fakeQueue) state() (waiting, out, fetches int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting), q.out, q.fetches
}

type fakeMessage struct {
	queue   *fakeQueue
	name    string
	data    []byte
	replay  string
	attempt uint64 // guarded by queue.mu

	mu       sync.Mutex
	progress []time.Time
	acked    bool
}

func (m *fakeMessage) Data() []byte        { return m.data }
func (m *fakeMessage) Replay() string      { return m.replay }
func (m *fakeMessage) Traceparent() string { return "" }
func (m *fakeMessage) Attempt() uint64     { return m.deliveries() }

func (m *fakeMessage) deliveries() uint64 {
	m.queue.mu.Lock()
	defer m.queue.mu.Unlock()
	return m.attempt
}

func (m *fakeMessage) Ack(context.Context) error {
	m.mu.Lock()
	m.acked = true
	m.mu.Unlock()
	m.queue.mu.Lock()
	m.queue.out--
	m.queue.mu.Unlock()
	m.queue.put() // wakes a fetch that waits for room
	m.queue.journal.write("ack %s", m.name)
	return nil
}

func (m *fakeMessage) Nak(time.Duration) error {
	m.queue.journal.write("nak %s", m.name)
	m.comeAgain()
	return nil
}

// comeAgain is what the broker does after a nak or a crash.
func (m *fakeMessage) comeAgain() {
	m.queue.mu.Lock()
	m.queue.out--
	m.queue.mu.Unlock()
	m.queue.put(m)
}

func (m *fakeMessage) InProgress() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.acked {
		return errors.New("in progress after the ack")
	}
	m.progress = append(m.progress, time.Now())
	return nil
}

func (m *fakeMessage) reports() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.progress)
}

// fakeStore keeps rows by their key, as the store does. refuse and away, where
// set, decide what becomes of an insert.
type fakeStore struct {
	journal *journal
	refuse  func(rows any) bool
	away    func(ctx context.Context, table string) error

	mu      sync.Mutex
	events  map[string]schemas.Event
	stored  map[string]int // how often
	matches []schemas.Match
	touches []schemas.Touch
}

func newFakeStore(j *journal) *fakeStore {
	return &fakeStore{journal: j, events: map[string]schemas.Event{}, stored: map[string]int{}}
}

func (s *fakeStore) admit(ctx context.Context, table string, rows any, n int) error {
	s.journal.write("%s %d", table, n)
	if s.away != nil {
		if err := s.away(ctx, table); err != nil {
			return err
		}
	}
	if s.refuse != nil && s.refuse(rows) {
		return fmt.Errorf("insert %d %s: %w: a value is out of range", n, table, schemas.ErrRefused)
	}
	return nil
}

func (s *fakeStore) InsertEvents(ctx context.Context, events []schemas.Event) error {
	if err := s.admit(ctx, "events", events, len(events)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		s.stored[e.LogID]++
		if old, ok := s.events[e.LogID]; !ok || e.Ver > old.Ver {
			s.events[e.LogID] = e
		}
	}
	return nil
}

func (s *fakeStore) InsertMatches(ctx context.Context, matches []schemas.Match) error {
	if err := s.admit(ctx, "matches", matches, len(matches)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.matches = append(s.matches, matches...)
	return nil
}

func (s *fakeStore) InsertTouches(ctx context.Context, touches []schemas.Touch) error {
	if err := s.admit(ctx, "touches", touches, len(touches)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touches = append(s.touches, touches...)
	return nil
}

func (s *fakeStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.events)
}

type fakeDead struct {
	journal *journal
	away    func() error

	mu   sync.Mutex
	dead []schemas.Dead
}

func (d *fakeDead) PublishDead(_ context.Context, dead schemas.Dead) error {
	d.journal.write("dead %s", dead.Reason)
	if d.away != nil {
		if err := d.away(); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = append(d.dead, dead)
	return nil
}

func (d *fakeDead) all() []schemas.Dead {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.dead)
}

// typeMatcher selects every event of a type.
type typeMatcher string

func (m typeMatcher) Match(dst []schemas.Match, e *schemas.Event) []schemas.Match {
	if e.Type != string(m) {
		return dst
	}
	return append(dst, schemas.Match{
		Selector: "sel-" + e.Type, Tenant: e.Tenant, Key: e.ClientID, Time: e.Time, LogID: e.LogID,
		Value: e.Network, ClientID: e.ClientID, Ver: e.Ver, Source: e.Source,
	})
}

// rig is a processor between fakes.
type rig struct {
	journal *journal
	queue   *fakeQueue
	store   *fakeStore
	dead    *fakeDead
	cfg     Config
	cancel  context.CancelFunc
	done    chan error
	proc    *Processor
}

func newRig() *rig {
	r := &rig{journal: &journal{}}
	r.queue, r.store, r.dead = newFakeQueue(r.journal), newFakeStore(r.journal), &fakeDead{journal: r.journal}
	r.cfg = Config{Source: r.queue, Store: r.store, Dead: r.dead, Matcher: typeMatcher("feccft")}
	return r
}

// run starts the processor; wait ends it.
func (r *rig) run(t *testing.T) {
	t.Helper()
	p, err := New(r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.proc, r.cancel, r.done = p, cancel, make(chan error, 1)
	go func() { r.done <- p.Run(ctx) }()
}

func (r *rig) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("Run: %v, want nil", err)
	}
}

// put queues a message of n token failures at, numbered from first.
func (r *rig) put(first, n int, at time.Time) *fakeMessage {
	var raws []string
	for i := range n {
		raws = append(raws, failure(first+i, at))
	}
	return r.putRaw(at, raws...)
}

func (r *rig) putRaw(at time.Time, raws ...string) *fakeMessage {
	group := schemas.AppendGroupHeader(nil, "acme", schemas.SourceStream, at)
	for _, raw := range raws {
		group = schemas.AppendGroupLog(group, []byte(raw), false)
	}
	m := &fakeMessage{queue: r.queue, name: fmt.Sprintf("m%d", len(raws)), data: group}
	r.queue.put(m)
	return m
}

func logIDOf(n int) string { return fmt.Sprintf("900%053d", n) }

func failure(n int, at time.Time) string {
	return fmt.Sprintf(`{"log_id":%q,"data":{"type":"feccft","client_id":"c%d","ip":"203.0.113.7","date":%q}}`,
		logIDOf(n), n%3, at.UTC().Format("2006-01-02T15:04:05.000Z"))
}

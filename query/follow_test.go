package query_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// liveAPI serves an API over a real store, as a process does, until stop is
// called.
func liveAPI(t *testing.T, change ...func(*query.API)) (db *clickhouse.DB, url string, stop func() error) {
	t.Helper()
	db = clickhousetest.New(t)
	e := httpserver.New(httpserver.Config{Name: "api"})
	a := query.New(query.Config{Store: clickhouse.NewReader(db), Poll: 5 * time.Millisecond})
	for _, f := range change {
		f(a)
	}
	a.Register(e)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- httpserver.Serve(ctx, e, ln, httpserver.Limits{Shutdown: time.Minute}) }()
	stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { stop() })
	return db, "http://" + ln.Addr().String(), stop
}

// sse is a stream of events that is being read.
type sse struct {
	t      *testing.T
	lines  *bufio.Reader
	lastID string
}

func follow(t *testing.T, url, path, lastID string) *sse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || ct != "text/event-stream" {
		t.Fatalf("status %d, %s", resp.StatusCode, ct)
	}
	return &sse{t: t, lines: bufio.NewReader(resp.Body)}
}

// next is the log_id of the next event, "" at the end.
func (s *sse) next() string {
	s.t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return ""
		}
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			s.lastID = strings.TrimSpace(id)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			return decode[schemas.EventView](s.t, data).LogID
		}
	}
}

func (s *sse) want(ids ...string) {
	s.t.Helper()
	var got []string
	for range ids {
		got = append(got, s.next())
	}
	if diff := cmp.Diff(ids, got); diff != "" {
		s.t.Fatalf("(-want +got):\n%s", diff)
	}
}

// stored makes an event of an age and stores it.
func stored(t *testing.T, db *clickhouse.DB, id string, age time.Duration, change func(*schemas.Event)) {
	t.Helper()
	e := event()
	e.LogID, e.Time, e.UserAgent, e.Raw = id, time.Now().Add(-age).Truncate(time.Millisecond).UTC(), "agent", []byte("{}")
	e.Ver = 1
	if change != nil {
		change(&e)
	}
	if err := clickhouse.NewWriter(db).InsertEvents(t.Context(), []schemas.Event{e}); err != nil {
		t.Fatal(err)
	}
}

func TestStreamSendsWhatIsStoredOnce(t *testing.T) {
	db, url, _ := liveAPI(t)
	stored(t, db, "before", 0, nil)
	all := follow(t, url, "/v1/events/stream?tenant=acme", "")
	some := follow(t, url, "/v1/events/stream?client_id=a*,b&outcome=success", "")
	at := time.Now().Add(-time.Hour).Truncate(time.Millisecond).UTC()
	first := func(e *schemas.Event) { e.Time = at }
	stored(t, db, "first", 0, first)
	all.want("first")
	stored(t, db, "first", 0, first) // again
	stored(t, db, "late", 300*24*time.Hour, nil)
	stored(t, db, "first", 0, func(e *schemas.Event) { e.Time, e.Ver = at, 2 }) // a copy that wins
	stored(t, db, "other", 0, func(e *schemas.Event) { e.Tenant = "beta" })
	stored(t, db, "a", 0, func(e *schemas.Event) { e.ClientID, e.Outcome = "abc", schemas.OutcomeSuccess })
	all.want("late", "a")
	some.want("a")
	// What was looked at and did not fit may fit once a better copy is there.
	stored(t, db, "turned", 0, func(e *schemas.Event) { e.ClientID, e.Time = "b", at })
	all.want("turned")
	stored(t, db, "turned", 0, func(e *schemas.Event) { e.ClientID, e.Time, e.Ver, e.Outcome = "b", at, 2, schemas.OutcomeSuccess })
	some.want("turned")
}

func TestStreamGoesOnWhereItWas(t *testing.T) {
	db, url, _ := liveAPI(t)
	s := follow(t, url, "/v1/events/stream", "")
	stored(t, db, "1", 0, nil)
	s.want("1")
	stored(t, db, "2", 0, nil)
	again := follow(t, url, "/v1/events/stream", s.lastID)
	again.want("1", "2") // the last two minutes come again
	if since := follow(t, url, "/v1/events/stream?since=1h", ""); since.next() != "1" {
		t.Error("a stream since an hour ago does not begin with what was stored then")
	}
	for path, detail := range map[string]string{"since=2d": "a day ago at most", "since=soon": "since: want a time", "type=a,,b": "type: a value is empty"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/events/stream?"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a := do(t, req); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, detail) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// id is the next id that comes by itself.
func (s *sse) id() string {
	s.t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			s.t.Fatal(err)
		}
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			return strings.TrimSpace(id)
		}
	}
}

func TestStreamGoesOnThoughNothingCameYet(t *testing.T) {
	db, url, _ := liveAPI(t)
	mark := follow(t, url, "/v1/events/stream?type=feccft", "").id()
	stored(t, db, "between", 0, nil)
	follow(t, url, "/v1/events/stream?type=feccft", mark).want("between")
	if again := follow(t, url, "/v1/events/stream?type=feccft", mark).id(); again < mark { // of one length
		t.Errorf("a stream from %s on begins at %s: with each break it would go further back", mark, again)
	}
	old := strconv.FormatInt(time.Now().AddDate(0, 0, -9).UnixMilli(), 10)
	follow(t, url, "/v1/events/stream?type=feccft", old).want("between")
}

func TestStreamLeavesOutWhatWasStoredBefore(t *testing.T) {
	db, url, _ := liveAPI(t)
	at := time.Now().Add(-time.Hour).Truncate(time.Millisecond).UTC()
	stored(t, db, "old", 0, func(e *schemas.Event) { e.Time, e.Ver = at, 2 })
	s := follow(t, url, "/v1/events/stream", "")
	s.id()
	stored(t, db, "old", 0, func(e *schemas.Event) { e.Time, e.Ver = at, 1 }) // a copy that loses
	stored(t, db, "new", 0, nil)
	s.want("new")
}

func TestStreamSendsManyAtOnce(t *testing.T) {
	db, url, _ := liveAPI(t)
	const n = 4500 // more than are fetched together
	s := follow(t, url, "/v1/events/stream", "")
	s.id()
	if err := clickhouse.NewWriter(db).InsertEvents(t.Context(), manyAtOnce(n)); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for range n {
		seen[s.next()]++
	}
	if len(seen) != n {
		t.Errorf("%d of %d came, others twice", len(seen), n)
	}
}

// manyAtOnce makes n events.
func manyAtOnce(n int) []schemas.Event {
	many := make([]schemas.Event, n)
	for i := range many {
		many[i] = event()
		many[i].LogID, many[i].Time, many[i].Raw, many[i].Ver = strconv.Itoa(i), time.Now().Truncate(time.Millisecond).UTC(), []byte("{}"), 1
	}
	return many
}

// A stream cannot know more logs again than it may hold, and ends before it sends
// one twice, however often they are stored; the next one goes on.
func TestStreamEndsBeforeItSendsALogTwice(t *testing.T) {
	const most, n = 700, 3000
	db, url, _ := liveAPI(t, func(a *query.API) { a.SetMaxSent(most) })
	many := manyAtOnce(n)
	writer := clickhouse.NewWriter(db)
	store := func() {
		t.Helper()
		if err := writer.InsertEvents(t.Context(), many); err != nil {
			t.Fatal(err)
		}
	}
	store()
	// They were stored over half an hour: 200 in two minutes.
	clickhousetest.Exec(t, db, "ALTER TABLE events UPDATE stored_at = now64(3) - toIntervalMillisecond(600 * toUInt32(log_id)) WHERE 1 SETTINGS mutations_sync = 2")
	came, path, lastID := map[string]bool{}, "/v1/events/stream?since=1h", ""
	for streams := 1; len(came) < n; streams++ {
		if streams > 10 {
			t.Fatalf("%d of %d came in 10 streams", len(came), n)
		}
		s, sent := follow(t, url, path, lastID), map[string]bool{}
		for id := s.next(); id != ""; id = s.next() {
			if sent[id] {
				t.Fatalf("%s came twice, after %d", id, len(sent))
			}
			sent[id], came[id] = true, true
			if len(came) == n {
				break
			}
		}
		if len(sent) > most || len(came) < n && len(sent) < most {
			t.Errorf("stream %d sent %d logs, want %d", streams, len(sent), most)
		}
		path, lastID = "/v1/events/stream", s.lastID
	}
	// Those that are stored again are known as long as the stream lasts.
	s := follow(t, url, "/v1/events/stream", "")
	s.id()
	for i := range many {
		many[i].LogID = "new-" + many[i].LogID
	}
	store()
	store()
	sent := map[string]bool{}
	for id := s.next(); id != ""; id = s.next() {
		if sent[id] {
			t.Fatalf("%s came twice, after %d", id, len(sent))
		}
		sent[id] = true
	}
	if len(sent) != most {
		t.Errorf("%d came, want %d and the end", len(sent), most)
	}
}

func TestStreamsEndWhenTheServerStops(t *testing.T) {
	_, url, stop := liveAPI(t)
	s := follow(t, url, "/v1/events/stream", "")
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := s.next(); got != "" {
		t.Errorf("got %q behind the end", got)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	_, url, _ := liveAPI(t)
	for range 16 {
		follow(t, url, "/v1/events/stream", "")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/events/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	a := do(t, req)
	if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "too_many_streams") || err != nil || seconds < 1 {
		t.Errorf("the 17th: %d %s", a.status, a.body)
	}
}

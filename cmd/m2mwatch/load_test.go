package main

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	// fastRecount makes an instance recount an hour a second after its last touch.
	fastRecount = "M2MWATCH_PACE=quiet=1s,look=500ms"
	// noRecount makes it leave all hours dirty for as long as a test takes.
	noRecount = "M2MWATCH_PACE=quiet=1h"
)

// load sends batches of records from several senders, as Auth0 does: a batch
// that was not answered 2xx is sent again, to whatever instance is there, and
// now and then one that was. What it has sent is the oracle of what is stored.
type load struct {
	mu      sync.Mutex // guards all below
	next    int
	sent    map[string]bool                   // log_ids of every batch begun
	counts  map[time.Time]map[countedCell]int // of the records of each hour
	dead    int                               // logs among them that the processor cannot read, each another
	acked   [][]byte
	unacked [][]byte
	answers map[int]int // by status

	sending chan struct{} // taken by whoever wants to know when a batch goes out
}

// countedCell is what the records of an hour are counted by.
type countedCell struct{ Type, ClientID string }

const (
	loadBatch = 40
	// loadHours is over how many hours the records lie, a midnight among them.
	loadHours = 6
	loadPause = 100 * time.Millisecond // of a sender between two batches
)

func newLoad() *load {
	return &load{sent: map[string]bool{}, counts: map[time.Time]map[countedCell]int{}, answers: map[int]int{}, sending: make(chan struct{})}
}

func (l *load) batch() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	records := make([]string, loadBatch)
	for k := range records {
		cell := countedCell{[]string{"seccft", "seccft", "feccft", "sapi"}[l.next%4], fmt.Sprint("client-", l.next%11)}
		at := epoch.Add(12*time.Hour + time.Duration(l.next*7919%(loadHours*3600))*time.Second)
		id, raw := record(l.next, at, cell.Type, cell.ClientID, "203.0.113")
		l.next++
		l.sent[id] = true
		hour := at.Truncate(time.Hour)
		if l.counts[hour] == nil {
			l.counts[hour] = map[countedCell]int{}
		}
		l.counts[hour][cell]++
		records[k] = raw
	}
	l.dead++
	return lines(append(records, fmt.Sprintf(`{"data":{"type":"seccft","n":%d}}`, l.dead))...) // no log_id
}

// run sends from four senders until stop is closed or the instance is gone.
func (l *load) run(i *instance, stop <-chan struct{}) {
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for n := 0; ; n++ {
				if !l.send(i, l.batch()) {
					return
				}
				if n%8 == 7 && !l.send(i, l.earlier()) {
					return
				}
				select {
				case <-stop:
					return
				case <-i.exited:
					return
				case <-time.After(loadPause):
				}
			}
		})
	}
	senders.Wait()
}

// send tries until the batch is acknowledged, or keeps it for later.
func (l *load) send(i *instance, body []byte) bool {
	for {
		select {
		case l.sending <- struct{}{}:
		default:
		}
		status, accepted, _ := i.post(body)
		if l.answered(status, accepted, body) {
			return true
		}
		select {
		case <-i.exited:
			l.mu.Lock()
			l.unacked = append(l.unacked, body)
			l.mu.Unlock()
			return false
		case <-time.After(loadPause):
		}
	}
}

// answered notes an answer and reports whether it acknowledges the batch.
func (l *load) answered(status, accepted int, body []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[status]++
	if status != http.StatusOK || accepted != loadBatch+1 {
		return false
	}
	l.acked = append(l.acked, body)
	return true
}

// refused is how many batches were answered 503.
func (l *load) refused() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[http.StatusServiceUnavailable]
}

// acknowledged is how many batches were.
func (l *load) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// earlier is a batch that was acknowledged before, not always the same.
func (l *load) earlier() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked[l.next*7919%len(l.acked)]
}

// finish sends what was never acknowledged, and once more what was last.
func (l *load) finish(i *instance) {
	last := l.acked[max(0, len(l.acked)-20):]
	for _, body := range append(l.unacked, last...) {
		l.send(i, body)
	}
	l.unacked = nil
}

// starter starts an instance on the data of those before it, at this pace.
type starter func(pace string) *instance

// underLoad breaks something again and again while logs come in, each time when
// more has been taken in and stored than before, and compares in the end.
func (l *load) underLoad(start starter, times int, breakOnce func(*instance)) {
	i := start(fastRecount)
	i.tb.Helper()
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { l.run(i, stop) })
	for range times {
		i.awaitProgress(l)
		breakOnce(i)
	}
	i.awaitProgress(l)
	close(stop)
	running.Wait()
	i.interrupt()
	l.check(start)
}

// awaitProgress waits until more is acknowledged and stored than now.
func (i *instance) awaitProgress(l *load) {
	i.tb.Helper()
	rows, acked := i.storedRows(), l.acknowledged()
	i.eventually("more rows stored", func() error {
		if now, more := i.storedRows(), l.acknowledged(); now <= rows || more < acked+10 {
			return fmt.Errorf("%d rows, %d before; %d batches acknowledged, %d before", now, rows, more, acked)
		}
		return nil
	})
}

// check sends what is left to send, waits until all is stored, and compares it
// with what was sent: each record listed once, each that cannot be read in DEAD
// once, and the counts of each hour, first while hours are dirty, since nothing
// recounts what was sent last, and then when none is.
func (l *load) check(start starter) {
	i := start(noRecount)
	i.tb.Helper()
	l.finish(i)
	i.settle()
	i.checkOnce(l.sent)
	l.checkDead(i)
	if dirty := l.checkCounts(i); dirty == 0 {
		i.tb.Error("no hour is dirty at the first look")
	}
	i.interrupt()

	i = start(fastRecount)
	i.awaitClean()
	if dirty := l.checkCounts(i); dirty != 0 {
		i.tb.Errorf("%d hours are dirty at the second look", dirty)
	}
	i.interrupt()
}

// awaitClean waits until every hour is recounted.
func (i *instance) awaitClean() {
	i.tb.Helper()
	i.eventually("no dirty hour", func() error {
		page, err := i.stats("")
		if err == nil && page.DirtyHours > 0 {
			return fmt.Errorf("%d dirty hours", page.DirtyHours)
		}
		return err
	})
}

// checkCounts compares the counts of each hour and of all together, and tells
// how many hours were dirty then.
func (l *load) checkCounts(i *instance) (dirty int) {
	i.tb.Helper()
	all := map[countedCell]int{}
	for hour, want := range l.counts {
		for cell, n := range want {
			all[cell] += n
		}
		l.checkCountsOf(i, url.Values{"from": {hour.Format(time.RFC3339)}, "to": {hour.Add(time.Hour).Format(time.RFC3339)}}.Encode(), want)
	}
	return l.checkCountsOf(i, "", all)
}

func (l *load) checkCountsOf(i *instance, period string, want map[countedCell]int) (dirty int) {
	i.tb.Helper()
	page, err := i.stats(period)
	if err != nil {
		i.tb.Fatal(err)
	}
	got := map[countedCell]int{}
	for _, row := range page.Rows {
		got[countedCell{row.Type, row.ClientID}] += row.Count
	}
	if diff := cmp.Diff(want, got); diff != "" {
		i.tb.Errorf("counts of %q, %d hours dirty (-sent +counted):\n%s", period, page.DirtyHours, diff)
	}
	return page.DirtyHours
}

// statsPage is an answer of /v1/stats by type and client.
type statsPage struct {
	Rows []struct {
		Type     string
		ClientID string `json:"client_id"`
		Count    int
	}
	DirtyHours int `json:"dirty_hours"`
}

func (i *instance) stats(period string) (page statsPage, err error) {
	err = i.get("/v1/stats?tenant=acme&by=type,client_id&limit=10000&"+period, &page)
	return page, err
}

// checkDead fails unless each log that cannot be read lies in DEAD once.
func (l *load) checkDead(i *instance) {
	i.tb.Helper()
	var status struct{ Dead int }
	i.mustGet("/v1/status", &status)
	if status.Dead != l.dead {
		i.tb.Errorf("%d logs in DEAD, want %d", status.Dead, l.dead)
	}
}

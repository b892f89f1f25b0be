package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// load sends batches of records from several senders, as Auth0 does: a batch
// that was not answered 2xx is sent again, to whatever instance is there.
type load struct {
	mu      sync.Mutex // guards all below
	next    int
	sent    map[string]bool // log_ids of every batch begun
	dead    int             // logs among them that the processor cannot read, each another
	acked   int
	unacked [][]byte
}

const loadBatch = 40

func (l *load) batch() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	records := make([]string, loadBatch)
	for k := range records {
		kind := []string{"seccft", "seccft", "feccft", "sapi"}[l.next%4]
		id, raw := record(l.next, epoch.Add(time.Duration(l.next)*time.Second), kind, fmt.Sprint("client-", l.next%11), "203.0.113")
		l.next++
		l.sent[id] = true
		records[k] = raw
	}
	l.dead++
	return lines(append(records, fmt.Sprintf(`{"data":{"type":"seccft","n":%d}}`, l.dead))...) // no log_id
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

// run sends from four senders until stop is closed or the instance is gone.
func (l *load) run(i *instance, stop <-chan struct{}) {
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for {
				body := l.batch()
				if !l.send(i, body) {
					return
				}
				select {
				case <-stop:
					return
				case <-i.exited:
					return
				default:
				}
			}
		})
	}
	senders.Wait()
}

// send tries until the batch is acknowledged, or keeps it for later.
func (l *load) send(i *instance, body []byte) bool {
	for {
		status, accepted, _ := i.post(body)
		if status == http.StatusOK && accepted == loadBatch+1 {
			l.mu.Lock()
			l.acked++
			l.mu.Unlock()
			return true
		}
		select {
		case <-i.exited:
			l.mu.Lock()
			l.unacked = append(l.unacked, body)
			l.mu.Unlock()
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// finish sends what was never acknowledged.
func (l *load) finish(i *instance) {
	for _, body := range l.unacked {
		l.send(i, body)
	}
	l.unacked = nil
}

func newLoad() *load { return &load{sent: map[string]bool{}} }

// TestKillAtNamedPointsLosesNothing ends the process with SIGKILL at each line
// that separates two durable steps, under load, and compares what is stored
// with what was sent. The oracle is the senders' own record.
func TestKillAtNamedPointsLosesNothing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	l := newLoad()
	for _, point := range []string{
		"ingest.before_publish:20", "ingest.published:20", "ingest.before_answer:20",
		"processor.events_inserted:2", "processor.matches_inserted:2", "processor.touches_inserted:2", "processor.acked:2",
		"correlator.touches_marked:2",
	} {
		i := startUp(t, data, "M2MWATCH_KILL_AT="+point)
		give := time.AfterFunc(2*time.Minute, i.kill) // a point that is never reached
		l.run(i, nil)
		if !give.Stop() {
			t.Fatalf("%s was not reached in two minutes\n%s", point, i.log())
		}
		if status, ok := i.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("%s: the process ended otherwise: %v\n%s", point, i.exitErr, i.log())
		}
	}
	if l.acked == 0 || len(l.unacked) == 0 {
		t.Fatalf("%d batches acknowledged, %d not: the kills hit nothing", l.acked, len(l.unacked))
	}
	i := startUp(t, data)
	l.finish(i)
	i.settle()
	i.checkOnce(l.sent)
	l.checkDead(i)
	i.interrupt()
}

// TestKillEngineUnderLoadLosesNothing kills the ClickHouse child several times
// while logs come in.
func TestKillEngineUnderLoadLosesNothing(t *testing.T) {
	i := startUp(t, filepath.Join(t.TempDir(), "data"))
	l := newLoad()
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { l.run(i, stop) })
	for range 3 {
		before := i.storedRows()
		i.eventually("more rows stored", func() error {
			if now := i.storedRows(); now <= before {
				return fmt.Errorf("%d rows, %d before", now, before)
			}
			return nil
		})
		child := i.engineChild()
		if child == 0 { // which would be this very process group
			t.Fatal("no engine child")
		}
		if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		i.eventually("another engine", func() error {
			if next := i.engineChild(); next == 0 || next == child {
				return fmt.Errorf("child %d", next)
			}
			return i.get("/v1/status", &struct{}{})
		})
	}
	close(stop)
	running.Wait()
	i.settle()
	i.checkOnce(l.sent)
	l.checkDead(i)
	i.interrupt()
}

// TestKillLeavesNoChild ends the process with SIGKILL and waits for its engine
// to go by itself.
func TestKillLeavesNoChild(t *testing.T) {
	i := startUp(t, filepath.Join(t.TempDir(), "data"))
	child := i.engineChild()
	if child == 0 {
		t.Fatal("no engine child")
	}
	i.kill()
	deadline := time.After(30 * time.Second)
	for syscall.Kill(child, 0) == nil && !zombie(child) {
		select {
		case <-deadline:
			t.Fatalf("engine %d lives on", child)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// zombie reports whether a process has ended and nobody has asked for its exit
// code yet, as happens where no init process reaps orphans.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(b), ") Z ")
}

// storedRows is how many event rows the store has; 0 while it cannot answer.
func (i *instance) storedRows() int {
	var status struct{ Events int }
	if i.get("/v1/status", &status) != nil {
		return 0
	}
	return status.Events
}

// engineChild is the process id of the ClickHouse child, 0 while there is none.
func (i *instance) engineChild() int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", i.cmd.Process.Pid))
	for _, path := range tasks {
		b, _ := os.ReadFile(path)
		for pid := range strings.FieldsSeq(string(b)) {
			cmdline, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			if n, err := strconv.Atoi(pid); err == nil && strings.Contains(string(cmdline), "__clickhouse-engine") {
				return n
			}
		}
	}
	return 0
}

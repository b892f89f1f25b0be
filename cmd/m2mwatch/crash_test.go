package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestKillAtNamedPointsLosesNothing ends the process with SIGKILL at each line
// that separates two durable steps, under load, and compares what is stored
// with what was sent. The oracle is the senders' own record.
func TestKillAtNamedPointsLosesNothing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	l := newLoad()
	for _, point := range []string{
		"ingest.before_publish:20", "ingest.published:20", "ingest.before_answer:20",
		"processor.events_inserted:2", "processor.matches_inserted:2", "processor.touches_inserted:2", "processor.acked:2",
		"correlator.touches_marked:1",
	} {
		i := startUp(t, data, fastRecount, "M2MWATCH_KILL_AT="+point)
		give := time.AfterFunc(patience, i.kill) // a point that is never reached
		enough := make(chan struct{})
		if strings.HasPrefix(point, "correlator.") { // what is touched is marked when all rules have judged it
			time.AfterFunc(10*time.Second, func() { close(enough) })
		}
		l.run(i, enough)
		<-i.exited
		if !give.Stop() {
			t.Fatalf("%s was not reached\n%s", point, i.log())
		}
		if status, ok := i.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("%s: the process ended otherwise: %v\n%s", point, i.exitErr, i.log())
		}
	}
	if len(l.acked) == 0 || len(l.unacked) == 0 {
		t.Fatalf("%d batches acknowledged, %d not: the kills hit nothing", len(l.acked), len(l.unacked))
	}
	l.check(func(pace string) *instance { return startUp(t, data, pace) })
}

// kills is how often the tests below kill what they kill.
var kills = flag.Int("kills", 3, "how often each test of kills under load kills")

// TestKillProcessUnderLoadLosesNothing kills the whole process, wherever it is,
// in one life after another. What was not answered is sent again to the next
// one, and some of what was.
func TestKillProcessUnderLoadLosesNothing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	l := newLoad()
	interrupted := 0
	for n := range *kills {
		i := startUp(t, data, fastRecount)
		l.finish(i)
		var running sync.WaitGroup
		running.Go(func() { l.run(i, nil) })
		i.awaitProgress(l)
		for range 1 + 3*n {
			<-l.sending // and while it is on its way
		}
		i.kill()
		running.Wait()
		interrupted += len(l.unacked)
	}
	if interrupted == 0 {
		t.Fatal("every batch was acknowledged: the kills hit nothing")
	}
	l.check(func(pace string) *instance { return startUp(t, data, pace) })
}

// TestKillEngineUnderLoadLosesNothing kills the ClickHouse child.
func TestKillEngineUnderLoadLosesNothing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	start := func(pace string) *instance { return startUp(t, data, pace) }
	newLoad().underLoad(start, *kills, func(i *instance) {
		child := i.killEngine()
		i.eventually("another engine", func() error {
			if next := i.engineChild(); next == 0 || next == child {
				return fmt.Errorf("child %d", next)
			}
			return i.get("/v1/status", &struct{}{})
		})
	})
}

// TestStoppedEngineLosesNothing stops the ClickHouse child without ending it, for
// longer than anybody waits for it. What it is given up for it may still do when
// it goes on, beside what is then sent again.
func TestStoppedEngineLosesNothing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	start := func(pace string) *instance { return startUp(t, data, pace+",answer=2s") }
	l := newLoad()
	l.underLoad(start, *kills, func(i *instance) {
		// It is said once, when the store goes away: a machine under load may have it
		// away already.
		i.eventually("a store that is there", func() error {
			if i.storeIsAway() {
				return errors.New("the store is away")
			}
			return nil
		})
		acked, child := l.acknowledged(), i.engineChild()
		i.signal(child, syscall.SIGSTOP)
		i.eventually("an answer that is waited for no more", func() error {
			if !i.storeIsAway() {
				return errors.New("the store is not away")
			}
			return nil
		})
		i.eventually("logs that are taken in all the same", func() error {
			if now := l.acknowledged(); now < acked+20 {
				return fmt.Errorf("%d batches acknowledged, %d before", now, acked)
			}
			return nil
		})
		i.signal(child, syscall.SIGCONT)
	})
}

// storeIsAway reports what the processor said of the store last.
func (i *instance) storeIsAway() bool {
	log := i.log()
	return strings.LastIndex(log, "the store is away") > strings.LastIndex(log, "the store is back")
}

// signal sends a signal to a process, which must not be 0: that would be this
// very process group.
func (i *instance) signal(pid int, s syscall.Signal) {
	i.tb.Helper()
	if pid <= 0 {
		i.tb.Fatal("no process to send a signal to")
	}
	if err := syscall.Kill(pid, s); err != nil {
		i.tb.Fatal(err)
	}
}

// TestKillBrokerUnderLoadLosesNothing kills a NATS server outside the process.
func TestKillBrokerUnderLoadLosesNothing(t *testing.T) {
	broker := startBroker(t)
	data := filepath.Join(t.TempDir(), "data")
	start := func(pace string) *instance {
		return startUp(t, data, pace+",lease=2s,ack=2s", "NATS_URL="+broker.url())
	}
	newLoad().underLoad(start, *kills, func(*instance) {
		broker.kill()
		broker.start()
	})
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
	deadline := time.After(patience)
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

// killEngine kills the engine child, which may be dead and not started again
// yet, and returns its id.
func (i *instance) killEngine() (child int) {
	i.tb.Helper()
	i.eventually("an engine child", func() error {
		if child = i.engineChild(); child == 0 { // to kill that would be to kill this very process group
			return errors.New("none")
		}
		return nil
	})
	if err := syscall.Kill(child, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		i.tb.Fatal(err)
	}
	return child
}

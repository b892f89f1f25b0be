package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// BenchmarkWholeWay sends the simulated tenant's history through the webhook
// in batches of 100, from four senders, and waits until everything is stored
// and judged. It prints events a second to the last answer and to the last
// row, and the resident memory of both processes.
func BenchmarkWholeWay(b *testing.B) {
	const events, batch = 100_000, 100
	i := startUp(b, filepath.Join(b.TempDir(), "data"))
	sim := auth0sim.New(auth0sim.Config{Seed: 1})
	to := time.Now().UTC().Truncate(time.Hour)
	for b.Loop() {
		bodies := make(chan []byte, 64)
		begun := time.Now()
		var senders sync.WaitGroup
		for range 4 {
			senders.Go(func() {
				for body := range bodies {
					if status, accepted, _ := i.post(body); status != http.StatusOK || accepted != batch {
						b.Errorf("got %d, accepted %d", status, accepted)
					}
				}
			})
		}
		var body []byte
		n := 0
		for raw := range sim.History(to.Add(-30*24*time.Hour), to, events) {
			body = append(append(body, raw...), '\n')
			if n++; n%batch == 0 {
				bodies <- body
				body = make([]byte, 0, len(body)*2)
			}
		}
		close(bodies)
		senders.Wait()
		answered := time.Since(begun)
		i.settle()
		stored := time.Since(begun)
		b.ReportMetric(events/answered.Seconds(), "answered/s")
		b.ReportMetric(events/stored.Seconds(), "stored/s")
		b.ReportMetric(resident(i.cmd.Process.Pid), "MiB-m2mwatch")
		b.ReportMetric(resident(i.engineChild()), "MiB-clickhouse")
	}
	i.interrupt()
}

// resident is a process's resident memory, in MiB.
func resident(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kib float64
	_, _ = fmt.Sscan(rest, &kib)
	return kib / 1024
}

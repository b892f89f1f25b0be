package bench

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// memoryWatch looks at the resident memory of processes, all together, until it
// is stopped.
type memoryWatch struct {
	pids func() []int
	done chan struct{}
	peak chan uint64
}

func watchMemory(pids func() []int) *memoryWatch {
	w := &memoryWatch{pids, make(chan struct{}), make(chan uint64)}
	go w.run()
	return w
}

func (w *memoryWatch) run() {
	var peak uint64
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var now uint64
		for _, pid := range w.pids() {
			now += resident(pid)
		}
		peak = max(peak, now)
		select {
		case <-tick.C:
		case <-w.done:
			w.peak <- peak
			return
		}
	}
}

// stop returns the highest that was seen, in bytes.
func (w *memoryWatch) stop() uint64 {
	close(w.done)
	return <-w.peak
}

// resident is a process's resident memory in bytes, 0 where it cannot be read.
func resident(pid int) uint64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kib uint64
	_, _ = fmt.Sscan(rest, &kib)
	return kib << 10
}

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

// looks at memory are many, those at which processes there are few: an engine has hundreds
// of threads, each of which tells its children. Twenty times a second that was a third of
// a core, a fifth of the machine that is measured.
const (
	looks       = 50 * time.Millisecond
	looksAtPids = 100 // looks
)

func (w *memoryWatch) run() {
	var peak uint64
	var pids []int
	tick := time.NewTicker(looks)
	defer tick.Stop()
	for i := 0; ; i++ {
		if i%looksAtPids == 0 {
			pids = w.pids()
		}
		var now uint64
		for _, pid := range pids {
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

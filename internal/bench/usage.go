package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what a process took for events.
type usage struct {
	cpu      time.Duration
	events   int
	resident uint64 // bytes
}

func (u usage) String() string {
	return fmt.Sprintf("%.1f CPU s per million events, %s resident", u.cpu.Seconds()*1e6/float64(max(u.events, 1)), mib(u.resident))
}

// clockTick is the unit of times in /proc/PID/stat, 1/100 s on every Linux that
// Go runs on.
const clockTick = 10 * time.Millisecond

// cpuTime is the time that processes have run, in user and kernel mode.
func cpuTime(pids []int) time.Duration {
	var sum time.Duration
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ") // its name may have spaces
		fields := strings.Fields(rest)
		for _, field := range []int{11, 12} { // utime, stime
			if len(fields) > field {
				ticks, _ := strconv.ParseInt(fields[field], 10, 64)
				sum += time.Duration(ticks) * clockTick
			}
		}
	}
	return sum
}

// nameOf tells the embedded engine from the program itself.
func nameOf(pid int) string {
	args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if strings.Contains(string(args), "engine") {
		return "the engine"
	}
	return "m2mwatch"
}

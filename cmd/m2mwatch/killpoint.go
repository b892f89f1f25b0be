package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// killPoints are the lines that separate two durable steps.
var killPoints = []string{
	"ingest.before_publish", "ingest.published", "ingest.before_answer",
	"ingest.pull_begun", "ingest.pull_published", "ingest.pull_noted",
	"processor.events_inserted", "processor.matches_inserted", "processor.touches_inserted", "processor.acked",
	"correlator.alert_published", "correlator.history_written", "correlator.findings_written", "correlator.touches_marked",
	"reprocessor.running_saved", "reprocessor.begun", "reprocessor.matches_replaced", "reprocessor.records_replaced", "reprocessor.marks_inserted", "reprocessor.touches_inserted", "reprocessor.position_saved",
	"dead.replay_published", "dead.replay_removed",
	"notify.alert_queued", "notify.alert_routed", "notify.alert_sent", "notify.delivery_recorded", "notify.alert_acked",
}

// killPoint makes the hook that crash tests use: M2MWATCH_KILL_AT=point:n ends
// the process with SIGKILL when it reaches the named point for the nth time.
// Without it the hook is nil and the points cost nothing.
func killPoint(environ []string) (func(point string), error) {
	value := lookup(environ, "M2MWATCH_KILL_AT")
	if value == "" {
		return nil, nil
	}
	name, count, _ := strings.Cut(value, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if !slices.Contains(killPoints, name) || err != nil || n < 1 {
		return nil, fmt.Errorf("%w: M2MWATCH_KILL_AT: want point:n, a point being one of %s", errUsage, strings.Join(killPoints, ", "))
	}
	var left atomic.Int64
	left.Store(n)
	return func(point string) {
		if point == name && left.Add(-1) == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing runs past the point
		}
	}, nil
}

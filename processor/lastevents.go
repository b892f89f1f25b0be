package processor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// lastEvents is when the last event of each tenant was. What comes in is of now, so that
// it is only looked among all events when a tick looks back as far, or something older was
// touched: that reads a month, and all alerts wait for it. Old events that no rule selects
// touch nothing, and are found within an hour.
type lastEvents struct {
	of    map[string]schemas.CorrelationRow // by tenant
	older bool                              // of what lies before tickReach something was touched
}

// touched notes touches.
func (l *lastEvents) touched(touches []schemas.Touch, now time.Time) {
	back := now.Add(time.Hour - tickReach)
	l.older = l.older || slices.ContainsFunc(touches, func(t schemas.Touch) bool { return t.Bucket.Before(back) })
}

// read returns them, a row for each tenant in the order of their names. all has it look
// among all events.
func (l *lastEvents) read(ctx context.Context, store FindingStore, now time.Time, all bool) ([]schemas.CorrelationRow, error) {
	since := now.Add(-tickReach)
	if all = all || l.older || l.of == nil; all {
		since = time.Time{}
	}
	rows, err := store.Correlate(ctx, detect.LastEventsQuery(since))
	if err != nil {
		return nil, fmt.Errorf("read the tenants' last events: %w", err)
	}
	if all {
		l.of, l.older = map[string]schemas.CorrelationRow{}, false
	}
	for _, r := range rows {
		l.of[r.Key] = r
	}
	rows = rows[:0]
	for _, r := range l.of {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b schemas.CorrelationRow) int { return strings.Compare(a.Key, b.Key) })
	return rows, nil
}

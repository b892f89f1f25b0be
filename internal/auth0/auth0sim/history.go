package auth0sim

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"time"
)

// History yields exactly events log records in webhook envelope form, in the
// order of their dates, spread over [from, to) as the population lives. The
// same seed and arguments give the same bytes. A yielded slice is the
// receiver's to keep; it must not be changed.
//
// Machines ask for tokens at their own cadence where events allows it, which
// over 30 days is about 185,000 to 235,000 events; for other sizes the cadence
// is stretched, except that of the story's client. No date lies outside the
// range; log ids are up to 13 s later, as Auth0 takes records in later.
func (t *Tenant) History(from, to time.Time, events int) iter.Seq[[]byte] {
	return t.history(newRand(t.cfg.Seed, sequenceHistory), from, to, events)
}

// HistoryPart is History for one stretch of a history that is too long to be
// laid out at once. Parts of different numbers, from 0 to 999,999, share the
// population and no random choice: token and trace ids differ.
func (t *Tenant) HistoryPart(part int, from, to time.Time, events int) iter.Seq[[]byte] {
	return t.history(newRand(t.cfg.Seed, sequenceParts+uint64(part)), from, to, events)
}

func (t *Tenant) history(r *rand.Rand, from, to time.Time, events int) iter.Seq[[]byte] {
	const (
		arena   = 1 << 20
		largest = 4 << 10
	)
	return func(yield func([]byte) bool) {
		var free []byte
		for i, a := range t.plan(r, from, to, events) {
			at := a.time()
			s := stamp{at: at, id: newLogID(at.Add(between(r, 200*time.Millisecond, 13*time.Second)), uint64(i))}
			if cap(free) < largest {
				free = make([]byte, 0, arena)
			}
			raw := t.render(free[:0], r, &s, &a)
			free = raw[len(raw):]
			if !yield(slices.Clip(raw)) {
				return
			}
		}
	}
}

// WriteHistory writes a history as JSON lines, as `import` reads them.
func (t *Tenant) WriteHistory(w io.Writer, from, to time.Time, events int) error {
	out := bufio.NewWriterSize(w, 256<<10)
	for raw := range t.History(from, to, events) {
		if _, err := out.Write(raw); err != nil {
			return fmt.Errorf("write history: %w", err)
		}
		if err := out.WriteByte('\n'); err != nil {
			return fmt.Errorf("write history: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

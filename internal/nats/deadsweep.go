package nats

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	// sweepers is how many groups are replayed, or discarded, at a time.
	sweepers = 4
	// maxReplayBytes of one group, so that the memory of a replay is bounded
	// where messages may be large.
	maxReplayBytes = 1 << 20
	// discardGroup logs are discarded one after the other.
	discardGroup = 64
)

// ReplayDead publishes logs of DEAD to LOGS once more, with the source and the
// time of arrival that they had, and takes them out of DEAD:
//
//  1. publish: acked, so on disk. A crash before it changes nothing.
//  2. remove. A crash before it leaves the log in both: replayed again it is
//     stored over itself.
//
// What cannot be read this time either goes to DEAD again as a new log, with an
// id above Through, so that a sweep that is repeated with the Through of the
// first and from Next on ends.
//
// After an error some of the logs may have been replayed: it tells how many. It
// takes half of the time that ctx has, and some more for what it has begun.
func (s *DeadStore) ReplayDead(ctx context.Context, sweep schemas.DeadSweep) (schemas.DeadSwept, error) {
	swept, err := s.sweep(ctx, sweep, s.replayGroups, s.replayGroup)
	if err != nil {
		return swept, fmt.Errorf("replay dead logs: %w", err)
	}
	return swept, nil
}

// DiscardDead takes logs out of DEAD for good. In all else it is ReplayDead.
func (s *DeadStore) DiscardDead(ctx context.Context, sweep schemas.DeadSweep) (schemas.DeadSwept, error) {
	swept, err := s.sweep(ctx, sweep, discardGroups, s.discardGroup)
	if err != nil {
		return swept, fmt.Errorf("discard dead logs: %w", err)
	}
	return swept, nil
}

// sweepResult is what became of a group.
type sweepResult struct {
	done, kept uint64
	reason     string // why the first is kept
	err        error
}

type (
	grouping   func(logs []schemas.Dead) [][]schemas.Dead
	groupSweep func(ctx context.Context, group []schemas.Dead, dryRun bool) sweepResult
)

// sweep finds what fits, without the bytes, and then does a few groups at a
// time, so that it can say from where to go on.
func (s *DeadStore) sweep(ctx context.Context, sweep schemas.DeadSweep, split grouping, do groupSweep) (schemas.DeadSwept, error) {
	end := halfTime(ctx)
	swept := schemas.DeadSwept{Through: sweep.Through}
	logs, err := s.selectDead(ctx, &sweep, &swept)
	if err != nil {
		return swept, err
	}
	groups := split(logs)
	for len(groups) > 0 {
		wave := groups[:min(sweepers, len(groups))]
		groups = groups[len(wave):]
		if err := sweepWave(ctx, wave, sweep.DryRun, do, &swept); err != nil {
			return swept, err
		}
		if time.Now().After(end) && len(groups) > 0 {
			last := wave[len(wave)-1]
			swept.Next = last[len(last)-1].ID
			for _, g := range groups {
				swept.Left += uint64(len(g))
			}
			break
		}
	}
	return swept, nil
}

// halfTime is when half of the time is over that ctx has.
func halfTime(ctx context.Context) time.Time {
	now := time.Now()
	deadline, ok := ctx.Deadline()
	if !ok {
		return now.Add(time.Hour)
	}
	return now.Add(deadline.Sub(now) / 2)
}

// selectDead finds the next logs of a sweep, and how far it is with them.
func (s *DeadStore) selectDead(ctx context.Context, sweep *schemas.DeadSweep, swept *schemas.DeadSwept) ([]schemas.Dead, error) {
	state, err := s.conn.streamState(ctx, schemas.StreamDead)
	if err != nil {
		return nil, err
	}
	if swept.Through == 0 {
		swept.Through = state.LastSeq
	}
	var logs []schemas.Dead
	looked := 0
	if sweep.After >= swept.Through {
		return nil, nil
	}
	err = s.scan(ctx, sweep.After+1, func(d schemas.Dead, behind uint64) bool {
		if d.ID > swept.Through {
			return false
		}
		if sweep.Fits(&d) {
			logs = append(logs, d)
		}
		looked++
		if (len(logs) < max(sweep.Limit, 1) && looked < s.look) || behind == 0 || d.ID == swept.Through {
			return true
		}
		swept.Next, swept.Left = d.ID, behind
		return false
	})
	return logs, err
}

// sweepWave does groups side by side.
func sweepWave(ctx context.Context, wave [][]schemas.Dead, dryRun bool, do groupSweep, swept *schemas.DeadSwept) error {
	results := make([]sweepResult, len(wave))
	var wg sync.WaitGroup
	for i, group := range wave {
		wg.Go(func() { results[i] = do(ctx, group, dryRun) })
	}
	wg.Wait()
	var errs []error
	for _, r := range results {
		swept.Done, swept.Kept = swept.Done+r.done, swept.Kept+r.kept
		if swept.Reason == "" {
			swept.Reason = r.reason
		}
		errs = append(errs, r.err)
	}
	return errors.Join(errs...)
}

// discardGroups cuts logs into groups that are worth a goroutine.
func discardGroups(logs []schemas.Dead) [][]schemas.Dead {
	return slices.Collect(slices.Chunk(logs, discardGroup))
}

func (s *DeadStore) discardGroup(ctx context.Context, group []schemas.Dead, dryRun bool) (r sweepResult) {
	for i := range group {
		if !dryRun {
			if r.err = s.remove(ctx, &group[i]); r.err != nil {
				return r
			}
		}
		r.done++
	}
	return r
}

// replayGroups joins logs that came with one request, as they travelled the
// first time: a sync each would take long. What cannot be joined is alone.
func (s *DeadStore) replayGroups(logs []schemas.Dead) [][]schemas.Dead {
	limit := min(s.publisher.MaxGroup(), maxReplayBytes)
	var groups [][]schemas.Dead
	size := 0
	for i := range logs {
		d := &logs[i]
		n := schemas.GroupLogSize(int(d.Size))
		if last := len(groups) - 1; last >= 0 && size+n <= limit && joins(&groups[last][0], d) {
			groups[last] = logs[i-len(groups[last]) : i+1]
			size += n
			continue
		}
		groups = append(groups, logs[i:i+1])
		size = schemas.GroupHeaderSize(d.Tenant) + n
	}
	return groups
}

// joins reports whether b may travel in a group that a began.
func joins(a, b *schemas.Dead) bool {
	alone := func(d *schemas.Dead) bool {
		return d.Tenant == "" || d.Size == 0 || d.Object != "" || d.Pieces > 0 || !d.Source.Valid()
	}
	return !alone(a) && !alone(b) && a.Tenant == b.Tenant && a.Source == b.Source &&
		a.IngestedAt.UnixMicro() == b.IngestedAt.UnixMicro()
}

// replayGroup replays logs that travel as one message.
func (s *DeadStore) replayGroup(ctx context.Context, group []schemas.Dead, dryRun bool) sweepResult {
	first := &group[0] // alone, where it is one of those that may not be replayed
	if why := s.mustStay(first); why != "" {
		return sweepResult{kept: 1, reason: why}
	}
	if dryRun && first.Tenant != "" {
		return sweepResult{done: uint64(len(group))}
	}
	message, group, why, err := s.frame(ctx, group)
	switch {
	case err != nil:
		return sweepResult{err: err}
	case why != "":
		return sweepResult{kept: 1, reason: why}
	case len(group) == 0 || dryRun: // somebody else was faster
		return sweepResult{done: uint64(len(group))}
	}
	replay := rand.Text()
	if err := s.publisher.publishGroup(ctx, message.tenant, replay, replay, message.data); err != nil {
		return sweepResult{err: err}
	}
	s.at("replay_published")
	var r sweepResult
	for i := range group {
		if r.err = s.remove(ctx, &group[i]); r.err != nil {
			return r
		}
		r.done++
	}
	s.at("replay_removed")
	return r
}

// mustStay says why a log cannot be replayed, as far as its headers tell.
func (s *DeadStore) mustStay(d *schemas.Dead) string {
	limit := int64(s.publisher.MaxGroup())
	if d.Tenant != "" {
		limit -= int64(schemas.GroupHeaderSize(d.Tenant) + schemas.GroupLogSize(0))
	}
	switch {
	case d.Size == 0:
		return "it is empty: there is nothing to replay, discard it"
	case d.Size > limit:
		return tooLarge(d.Size, limit)
	case d.Tenant != "" && !d.Source.Valid():
		return "nothing says which way it came: send it again by way of import"
	}
	return ""
}

func tooLarge(size, limit int64) string {
	return fmt.Sprintf("it has %d bytes and a message at most %d: raise max_payload of the NATS server and replay it then", size, limit)
}

// framed is a group as it is published.
type framed struct {
	tenant string
	data   []byte
}

// frame reads the bytes of a group's logs. It returns those that are still
// there, or why the only one must stay.
func (s *DeadStore) frame(ctx context.Context, group []schemas.Dead) (message framed, there []schemas.Dead, why string, err error) {
	message = framed{
		tenant: group[0].Tenant,
		data:   schemas.AppendGroupHeader(nil, group[0].Tenant, group[0].Source, group[0].IngestedAt),
	}
	for i := range group {
		whole, err := s.whole(ctx, group[i])
		switch {
		case errors.Is(err, schemas.ErrNotFound) && group[i].Object != "":
			return message, nil, "its bytes are gone: a replay or a discard of it was interrupted; discard it", nil
		case errors.Is(err, schemas.ErrNotFound):
			continue
		case err != nil:
			return message, nil, "", err
		}
		there = append(there, group[i])
		if message.tenant != "" {
			for raw := range whole.Logs() {
				message.data = schemas.AppendGroupLog(message.data, raw, whole.Masked)
			}
			continue
		}
		// A whole message that was no group to the build that met it.
		logs, err := schemas.DecodeGroup(nil, whole.Raw)
		if err != nil || len(logs) == 0 {
			return message, nil, "nothing says whose it is, and it is no group of logs that this build can read", nil
		}
		message = framed{tenant: logs[0].Tenant, data: whole.Raw}
	}
	if size, limit := len(message.data), s.publisher.MaxGroup(); size > limit && len(there) == 1 {
		return message, nil, tooLarge(int64(size), int64(limit)), nil
	}
	return message, there, "", nil
}

// whole is a log with its bytes.
func (s *DeadStore) whole(ctx context.Context, d schemas.Dead) (schemas.Dead, error) {
	if d.Object == "" {
		return s.DeadLog(ctx, d.ID)
	}
	var err error
	d.Raw, err = s.conn.DeadObject(ctx, d.Object, d.Size)
	return d, err
}

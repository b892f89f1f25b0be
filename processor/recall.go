package processor

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// memory is what the holder of the lease remembers of what keys have done, so
// that rules about what is new need not read months of every key each second.
//
// It holds witnesses: the time of an event, of those that survived when it was
// read, with which a key did something. A key whose every deed has one, before
// all its events that are looked at and not too long, does nothing new. So a
// witness rules a key out for as long as its event survives, and whatever takes
// that away leaves a touch of the event's hour, which is read before anything is
// asked: touched forgets the witnesses of that hour. What was stored behind the read of
// the touches leaves one for the next step, which computes the key anew. Whoever
// held the lease in between has read touches that are not seen here, and those of
// selectors that no rule compares are not looked at, so that nothing is remembered
// over a change of the epoch, nor of what is compared.
//
// A key that was asked about and has no witness did nothing before that: it is one that
// began lately, and nothing of it is new until it is warm.
//
// It knows the latest detect.MaxDeeds deeds of a key, and begins anew at maxRemembered
// keys, which may be names that somebody makes up.
//
// Two looks may use it at once.
type memory struct {
	mu       sync.Mutex // guards all
	epoch    uint64
	compared map[string]time.Duration // the longest look-back of those that compare, by selector
	keys     map[memoryKey]*remembered
	askings  uint64          // how often ask was called
	unended  map[uint64]bool // askings of which the answers are not all learned
	ends     *sync.Cond      // one of them does, or something is learned
}

func newMemory() *memory {
	m := &memory{unended: map[uint64]bool{}}
	m.ends = sync.NewCond(&m.mu)
	return m
}

type memoryKey struct{ tenant, selector, key string }

type remembered struct {
	asked uint64            // Unix milliseconds: the witnesses from before it were read
	by    uint64            // the asking of which the answer counts
	knows bool              // that answer is learned
	began bool              // there are none from before it: it did nothing then
	last  uint64            // the latest witness
	at    map[string]uint64 // by deed, the witness
}

const maxRemembered = 200_000

// knownFor is how long what is known of a key is worth more than what it takes to ask for
// the days that others do not lack: two days, in milliseconds.
const knownFor = 2 * 24 * 60 * 60 * 1000

// begin forgets all where another epoch begins, or other things are compared.
func (m *memory) begin(epoch uint64, rules []detect.Correlation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	compared := map[string]time.Duration{}
	for i := range rules {
		r, ok := rules[i].Recall()
		if !ok {
			r, ok = rules[i].Familiar()
		}
		if ok {
			compared[r.Selector] = max(compared[r.Selector], r.Lookback)
		}
	}
	if m.keys == nil || m.epoch != epoch || len(m.keys) > maxRemembered || !maps.Equal(m.compared, compared) {
		m.epoch, m.keys = epoch, map[memoryKey]*remembered{}
	}
	m.compared = compared
}

// touched forgets what the events of touched hours witness.
func (m *memory) touched(touches []schemas.Touch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range touches {
		t := &touches[i]
		if known := m.keys[memoryKey{t.Tenant, t.Selector, t.Key}]; known != nil {
			known.forget(uint64(t.Bucket.UnixMilli()))
		}
	}
}

// forget drops the witnesses of the hour that begins at hour.
func (r *remembered) forget(hour uint64) {
	const length = uint64(time.Hour / time.Millisecond)
	if hour < r.asked {
		r.asked, r.knows = 0, false // there may be other witnesses
	}
	if hour > r.last {
		return
	}
	for deed, t := range r.at {
		if t >= hour && t < hour+length {
			delete(r.at, deed)
		}
	}
}

// learn adds what was answered to an asking, rows of detect.Recall.Query, but of keys that
// were touched or asked again since.
func (m *memory) learn(k memoryKey, keys []string, rows []schemas.CorrelationRow, asking uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, row := range rows {
		k.key = row.Key
		known := m.keys[k]
		if known == nil || !known.awaits(asking) || len(row.Values) != 1 {
			continue
		}
		known.at[row.Values[0]] = max(known.at[row.Values[0]], row.Last)
		known.last = max(known.last, row.Last)
	}
	for _, k.key = range keys {
		if known := m.keys[k]; known != nil && known.awaits(asking) {
			known.knows, known.began = true, len(known.at) == 0
		}
	}
	m.ends.Broadcast()
}

// awaits reports whether the answer to an asking counts.
func (r *remembered) awaits(asking uint64) bool { return r.asked > 0 && r.by == asking }

// forgetAll drops what was taken for read and is not.
func (m *memory) forgetAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys = nil
}

// open are the rows of candidates of a rule, in a range from the given time, that no
// witnesses rule out, nor that they began lately.
func (m *memory) open(k memoryKey, rows []schemas.CorrelationRow, from uint64, recall *detect.Recall) []schemas.CorrelationRow {
	m.mu.Lock()
	defer m.mu.Unlock()
	lookback, warm, least := uint64(recall.Lookback.Milliseconds()), uint64(recall.Warm.Milliseconds()), recall.Least()
	return slices.DeleteFunc(rows, func(r schemas.CorrelationRow) bool {
		k.key = r.Key
		known := m.keys[k]
		if least > 1 && len(r.Values) < least {
			return true
		}
		if known == nil {
			return false
		}
		if known.began && known.asked == from && r.Last < r.First+warm {
			return true
		}
		if len(r.Values) > detect.MaxDeeds {
			return false
		}
		unknown := 0
		for _, deed := range r.Values {
			if t, ok := known.at[deed]; !ok || t >= r.First || t+lookback < r.Last {
				unknown++
			}
		}
		return unknown < least
	})
}

// ask returns the keys of rows whose witnesses from before the given time were not read,
// by the time from which they are to be, and takes them for read from now on. What is
// answered is learned by the number of the asking. With each day all keys are asked about
// anew: what is known of them reaches to the day before.
func (m *memory) ask(k memoryKey, rows []schemas.CorrelationRow, from uint64) (unread map[uint64][]string, asking uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	lookback, compared := m.compared[k.selector]
	if !compared {
		return nil, 0
	}
	m.askings++
	unread = map[uint64][]string{}
	first := from - min(from, uint64(lookback.Milliseconds()))
	for _, r := range rows {
		k.key = r.Key
		known := m.keys[k]
		if known == nil && m.keys == nil {
			return nil, 0
		}
		if known == nil {
			known = &remembered{}
			m.keys[k] = known
		}
		if known.asked == from || len(r.Values) > detect.MaxDeeds {
			continue
		}
		since := known.asked
		if !known.knows || since > from || since+knownFor < from {
			since, known.last, known.at = first, 0, map[string]uint64{}
		}
		maps.DeleteFunc(known.at, func(_ string, t uint64) bool { return t < first })
		known.asked, known.by, known.knows, known.began = from, m.askings, false, false
		unread[since] = append(unread[since], r.Key)
	}
	m.unended[m.askings] = true
	return unread, m.askings
}

// end says that nothing more is learned of an asking.
func (m *memory) end(asking uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.unended, asking)
	m.ends.Broadcast()
}

// await waits until what others have asked of the keys of rows is answered: to ask for
// months twice takes longer.
func (m *memory) await(k memoryKey, rows []schemas.CorrelationRow, from uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for slices.ContainsFunc(rows, func(r schemas.CorrelationRow) bool {
		k.key = r.Key
		known := m.keys[k]
		return known != nil && known.asked == from && !known.knows && m.unended[known.by]
	}) {
		m.ends.Wait()
	}
}

// candidates are the keys of a job that the rule can find something of: most are
// out after this small look.
func (c *Correlator) candidates(ctx context.Context, j *job, from, to time.Time) ([]string, error) {
	asked := c.lastMatches.having(j.rule, j.tenant, j.keys, from)
	if len(asked) == 0 {
		return nil, nil
	}
	if recall, ok := j.rule.Recall(); ok && c.memory != nil {
		rows, err := c.deedsOf(ctx, j, &recall, asked, from, to)
		if err != nil {
			return nil, err
		}
		rows, err = c.recalled(ctx, j, &recall, rows, from)
		return keysOf(rows), err
	}
	today := from.UTC().Truncate(24 * time.Hour) // as most rules that remember ask
	if recall, ok := j.rule.Familiar(); ok && c.memory != nil && recall.Shared() && !c.cfg.Now().After(to) && !from.Add(-recall.Before).Before(today) {
		return c.unfamiliar(ctx, j, &recall, asked, today, from, to)
	}
	return c.candidatesOf(ctx, j, asked, from, to)
}

// candidatesOf are those that the store tells among keys.
func (c *Correlator) candidatesOf(ctx context.Context, j *job, keys []string, from, to time.Time) ([]string, error) {
	rows, err := c.cfg.Store.Correlate(ctx, j.rule.CandidatesQuery(j.tenant, keys, from, to))
	return keysOf(rows), err
}

// unfamiliar are the candidates among keys that did something since a time that they had
// not done before it. What is remembered costs nothing to ask, so that it is read only of
// those that are candidates.
func (c *Correlator) unfamiliar(ctx context.Context, j *job, recall *detect.Recall, keys []string, since, from, to time.Time) ([]string, error) {
	rows, err := c.deedsSince(ctx, j, recall, keys, since)
	if err != nil {
		return nil, err
	}
	k := memoryKey{tenant: j.tenant, selector: recall.Selector}
	rows = c.memory.open(k, rows, uint64(since.UnixMilli()), recall)
	if len(rows) == 0 {
		return nil, nil
	}
	if keys, err = c.candidatesOf(ctx, j, keysOf(rows), from, to); err != nil {
		return nil, err
	}
	candidate := make(map[string]bool, len(keys))
	for _, key := range keys {
		candidate[key] = true
	}
	rows = slices.DeleteFunc(rows, func(r schemas.CorrelationRow) bool { return !candidate[r.Key] })
	rows, err = c.recalled(ctx, j, recall, rows, since)
	return keysOf(rows), err
}

// recalled are the rows that no witnesses rule out, once those from before the given time
// are read.
func (c *Correlator) recalled(ctx context.Context, j *job, recall *detect.Recall, rows []schemas.CorrelationRow, from time.Time) ([]schemas.CorrelationRow, error) {
	k, before := memoryKey{tenant: j.tenant, selector: recall.Selector}, uint64(from.UnixMilli())
	rows = c.memory.open(k, rows, before, recall)
	if err := c.remember(ctx, j, recall, k, rows, from); err != nil {
		return nil, err
	}
	c.memory.await(k, rows, before)
	return c.memory.open(k, rows, before, recall), nil
}

// remember reads the witnesses from before a time of the keys of rows whose were not read.
func (c *Correlator) remember(ctx context.Context, j *job, recall *detect.Recall, k memoryKey, rows []schemas.CorrelationRow, from time.Time) error {
	unread, asking := c.memory.ask(k, rows, uint64(from.UnixMilli()))
	defer c.memory.end(asking)
	for since, keys := range unread {
		for some := range slices.Chunk(keys, maxKeysOfHours) {
			answer, err := c.cfg.Store.Correlate(ctx, recall.Query(j.rule, j.tenant, some, time.UnixMilli(int64(since)), from))
			if err != nil {
				c.memory.forgetAll()
				return err
			}
			c.memory.learn(k, some, answer, asking)
		}
	}
	return nil
}

func keysOf(rows []schemas.CorrelationRow) []string {
	keys := make([]string, len(rows))
	for i, r := range rows {
		keys[i] = r.Key
	}
	return keys
}

package processor

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// deeds are what keys did lately, by selector: most rules about what is new compare
// values of the same selector, and what one of them has read the others need not.
//
// What was read of a key holds until the key is touched: whatever is stored or taken away
// since leaves a touch, which is read before the key is judged for its sake. Whoever held
// the lease in between has read touches that are not seen here, so that nothing is kept
// over a change of the epoch.
//
// Two looks may use it at once.
type deeds struct {
	mu      sync.Mutex // guards all
	epoch   uint64
	keys    map[deedsKey]*deedsOf
	froms   []int64 // that keys have
	kept    int     // rows and values, those that are forgotten too
	askings uint64  // how often ask was called
}

type deedsKey struct {
	tenant, selector, key string
	from                  int64 // Unix milliseconds
}

type deedsOf struct {
	by       uint64 // the asking of which the answer counts
	answered bool
	row      schemas.CorrelationRow // of detect.Recall.DeedsQuery; without a key where there is none
}

const (
	// maxDeeds bounds how many rows and values are kept, some hundred bytes each. They
	// may be what somebody makes up.
	maxDeeds = 500_000
	// maxFroms bounds how many ranges are told apart: today's, yesterday's of what
	// comes late, and few others.
	maxFroms = 8
)

// begin forgets all where another epoch begins, or there is too much.
func (d *deeds) begin(epoch uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keys == nil || d.epoch != epoch || d.kept > maxDeeds || len(d.froms) > maxFroms {
		d.epoch, d.keys, d.froms, d.kept = epoch, map[deedsKey]*deedsOf{}, nil, 0
	}
}

// touched forgets what was read of touched keys.
func (d *deeds) touched(touches []schemas.Touch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range touches {
		for _, from := range d.froms {
			delete(d.keys, deedsKey{touches[i].Tenant, touches[i].Selector, touches[i].Key, from})
		}
	}
}

// ask returns the rows that are known, and the keys of which it is not, which are taken
// for asked: what is answered is learned by the number of the asking. A key's tenant,
// selector and range are those of k.
func (d *deeds) ask(k deedsKey, keys []string) (rows []schemas.CorrelationRow, unread []string, asking uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.askings++
	if !slices.Contains(d.froms, k.from) {
		d.froms = append(d.froms, k.from)
	}
	for _, k.key = range keys {
		of := d.keys[k]
		switch {
		case of == nil || !of.answered:
			d.keys[k] = &deedsOf{by: d.askings}
			unread = append(unread, k.key)
		case of.row.Key != "":
			rows = append(rows, of.row)
		}
	}
	return rows, unread, d.askings
}

// learn adds what was answered to an asking, but of keys that were touched or asked
// about again since.
func (d *deeds) learn(k deedsKey, asked []string, rows []schemas.CorrelationRow, asking uint64) {
	byKey := make(map[string]schemas.CorrelationRow, len(rows))
	for _, r := range rows {
		byKey[r.Key] = r
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k.key = range asked {
		if of := d.keys[k]; of != nil && of.by == asking {
			of.row, of.answered = byKey[k.key], true
			d.kept += 1 + len(of.row.Values)
		}
	}
}

// deedsOf are those of keys of a job, in rows that may be changed. Of a range that ends in
// the past, and of what others do not compare, each rule asks for what it wants: without
// an end all would be read that came since.
func (c *Correlator) deedsOf(ctx context.Context, j *job, recall *detect.Recall, keys []string, from, to time.Time) ([]schemas.CorrelationRow, error) {
	if c.cfg.Now().After(to) || !recall.Shared() {
		return c.cfg.Store.Correlate(ctx, j.rule.CandidatesQuery(j.tenant, keys, from, to))
	}
	return c.deedsSince(ctx, j, recall, keys, from)
}

// deedsSince are those of keys of a job from a time on, in rows that may be changed.
func (c *Correlator) deedsSince(ctx context.Context, j *job, recall *detect.Recall, keys []string, from time.Time) ([]schemas.CorrelationRow, error) {
	k := deedsKey{tenant: j.tenant, selector: recall.Selector, from: from.UnixMilli()}
	rows, unread, asking := c.deeds.ask(k, keys)
	for some := range slices.Chunk(unread, maxKeys) {
		answer, err := c.cfg.Store.Correlate(ctx, recall.DeedsQuery(j.tenant, some, from))
		if err != nil {
			return nil, err
		}
		c.deeds.learn(k, some, answer, asking)
		rows = append(rows, answer...)
	}
	for i := range rows {
		rows[i].Values = recall.Own(rows[i].Values)
	}
	return rows, nil
}

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
	askings uint64 // how often ask was called
}

type deedsKey struct{ tenant, selector, key string }

type deedsOf struct {
	from     time.Time
	by       uint64 // the asking of which the answer counts
	answered bool
	row      schemas.CorrelationRow // of detect.Recall.DeedsQuery; without a key where there is none
}

// maxDeedsOf bounds of how many keys it is kept, a kilobyte each or so. They may be names
// that somebody makes up.
const maxDeedsOf = 50_000

func (d *deeds) begin(epoch uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.keys == nil || d.epoch != epoch || len(d.keys) > maxDeedsOf {
		d.epoch, d.keys = epoch, map[deedsKey]*deedsOf{}
	}
}

// touched forgets what was read of touched keys.
func (d *deeds) touched(touches []schemas.Touch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range touches {
		delete(d.keys, deedsKey{touches[i].Tenant, touches[i].Selector, touches[i].Key})
	}
}

// ask returns the rows that are known, and the keys of which it is not, which are taken
// for asked: what is answered is learned by the number of the asking.
func (d *deeds) ask(tenant, selector string, keys []string, from time.Time) (rows []schemas.CorrelationRow, unread []string, asking uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.askings++
	for _, key := range keys {
		k := deedsKey{tenant, selector, key}
		of := d.keys[k]
		switch {
		case of == nil || !of.answered || !of.from.Equal(from):
			d.keys[k] = &deedsOf{from: from, by: d.askings}
			unread = append(unread, key)
		case of.row.Key != "":
			rows = append(rows, of.row)
		}
	}
	return rows, unread, d.askings
}

// learn adds what was answered to an asking, but of keys that were touched or asked
// about again since.
func (d *deeds) learn(tenant, selector string, asked []string, rows []schemas.CorrelationRow, asking uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	byKey := make(map[string]schemas.CorrelationRow, len(rows))
	for _, r := range rows {
		byKey[r.Key] = r
	}
	for _, key := range asked {
		if of := d.keys[deedsKey{tenant, selector, key}]; of != nil && of.by == asking {
			of.row, of.answered = byKey[key], true
		}
	}
}

// deedsOf are those of keys of a job, in rows that may be changed.
func (c *Correlator) deedsOf(ctx context.Context, j *job, recall *detect.Recall, keys []string, from, to time.Time) ([]schemas.CorrelationRow, error) {
	if c.cfg.Now().After(to) { // of the past each rule asks for what it wants
		return c.cfg.Store.Correlate(ctx, j.rule.CandidatesQuery(j.tenant, keys, from, to))
	}
	rows, unread, asking := c.deeds.ask(j.tenant, recall.Selector, keys, from)
	for some := range slices.Chunk(unread, maxKeys) {
		answer, err := c.cfg.Store.Correlate(ctx, recall.DeedsQuery(j.tenant, some, from))
		if err != nil {
			return nil, err
		}
		c.deeds.learn(j.tenant, recall.Selector, some, answer, asking)
		rows = append(rows, answer...)
	}
	for i := range rows {
		rows[i].Values = recall.Own(rows[i].Values)
	}
	return rows, nil
}

package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// search is how a tick finds the keys of a tenant that may have a trigger which nothing
// has touched, from some time before its last event up to that. What is too much for one
// query is asked for in shares, one in each look, so that what else is patient has its
// turn in between.
type search struct {
	from, to time.Time
	goesOn   bool // leaves nothing out before from
	over     bool
	keys     []string
	left     bool // something was left out

	shares []detect.Share
	asked  int // of these

	tooMany bool     // rest, or it takes too much to ask when they are due
	begun   bool     // it is known which rest
	unread  []string // of which it is not known when they are due
	asking  uint64   // of rests
}

// until is behind what is looked at.
func (s *search) until() time.Time { return s.to.Add(time.Millisecond) }

// maxShares is into how many shares the keys of a tenant are cut.
const maxShares = 256

// sharesOf is what is asked for in the same shares as the last time: what is too much of
// sixty days need not be of a minute.
type sharesOf struct {
	duty
	sweeps bool
}

// goOnSearching asks for a part of what a search is for.
func (c *Correlator) goOnSearching(ctx context.Context, rule *detect.Correlation, tenant string, s *search) error {
	of := duty{classTick, rule.Code, tenant}
	if s.tooMany || !rule.Remembers(s.from, s.until()) {
		return c.searchShare(ctx, rule, of, s)
	}
	err := c.searchResting(ctx, rule, of, s)
	if tooMuch(err) {
		s.tooMany = true
		return nil
	}
	return err
}

// searchShare asks for the next share, or cuts the keys into more where that is too much.
func (c *Correlator) searchShare(ctx context.Context, rule *detect.Correlation, tick duty, s *search) error {
	of, tenant := sharesOf{tick, s.to.Sub(s.from) > tickReach}, tick.tenant
	if s.shares == nil {
		s.shares = detect.Shares(nil)
		if known, ok := c.shares.Load(of); ok {
			s.shares = known.([]detect.Share)
		}
	}
	some, err := c.keysOf(ctx, rule.OverdueQuery(tenant, s.from, s.until(), s.shares[s.asked]))
	if err == nil {
		s.keys = append(s.keys, some...)
		s.asked++
		s.over = s.asked == len(s.shares)
		return nil
	}
	if !tooMuch(err) {
		return err
	}
	more, cutErr := c.cutShares(ctx, rule, tenant, s)
	if cutErr != nil && !tooMuch(cutErr) {
		return cutErr
	}
	if len(more) <= len(s.shares) { // what is touched must not wait for it
		c.metrics.leftOut.Inc()
		c.cfg.Logger.Error("a tenant has more matches than one query may read, and what time changes is left out: give the store more memory (clickhouse.memory)",
			"rule_id", rule.Code, "tenant", tenant, "error", err)
		s.keys, s.over, s.left = nil, true, true
		return nil
	}
	s.keys, s.asked, s.shares = nil, 0, more
	c.shares.Store(of, more)
	return nil
}

// cutShares cuts the keys of a tenant into more shares than a search has, if there are:
// a key that has the matches of several is in one.
func (c *Correlator) cutShares(ctx context.Context, rule *detect.Correlation, tenant string, s *search) (shares []detect.Share, err error) {
	for of := len(s.shares); of < maxShares && len(shares) <= len(s.shares); {
		of = min(4*of, maxShares)
		between, err := c.keysOf(ctx, rule.SharesQuery(tenant, s.from, s.to, of))
		if err != nil {
			return nil, fmt.Errorf("cut its keys into shares: %w", err)
		}
		shares = detect.Shares(between)
	}
	return shares, nil
}

func tooMuch(err error) bool {
	return errors.Is(err, schemas.ErrQueryTooLarge) || errors.Is(err, schemas.ErrMemoryShort)
}

func (c *Correlator) keysOf(ctx context.Context, q schemas.Query) ([]string, error) {
	rows, err := c.cfg.Store.Correlate(ctx, q)
	keys := make([]string, len(rows))
	for i, r := range rows {
		keys[i] = r.Key
	}
	return keys, err
}

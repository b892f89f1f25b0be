package processor

import (
	"context"
	"slices"
	"sync"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// rests remembers when keys that rest have been silent for too long. That follows from
// weeks of what each of them did, and stays what it is until the key is touched: in the
// night a tick of each minute would read the weeks of most machines of a tenant. Looks and
// whoever reads touches may use it at once.
type rests struct {
	readers map[string][]string // codes of rules that tick, by selector; does not change

	mu      sync.Mutex
	of      map[duty]map[string]*rest // guarded by mu, as are the rests
	askings uint64                    // guarded by mu
}

type rest struct {
	since    uint64 // the last match before it, in Unix milliseconds
	by       uint64 // the asking that is to answer, or has
	answered bool
	due      uint64 // Unix milliseconds; 0 is never
}

func newRests(rules []detect.Correlation) *rests {
	r := &rests{readers: map[string][]string{}, of: map[duty]map[string]*rest{}}
	for i := range rules {
		if rules[i].Ticks() && rules[i].Main != nil {
			r.readers[rules[i].Main.Selector] = append(r.readers[rules[i].Main.Selector], rules[i].Code)
		}
	}
	return r
}

// touched forgets what was read of touched keys. What rests for the search that is under
// way is due for it, whenever that is: the hours that are judged for a touch may begin
// behind the trigger.
func (r *rests) touched(touches []schemas.Touch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range touches {
		for _, rule := range r.readers[touches[i].Selector] {
			if of := r.of[duty{classTick, rule, touches[i].Tenant}]; of[touches[i].Key] != nil {
				of[touches[i].Key] = &rest{}
			}
		}
	}
}

// ask notes which keys rest, and forgets all others of the duty. It returns those of which
// it is not known when they are due: what is answered is learned by the number of the
// asking.
func (r *rests) ask(of duty, resting []schemas.CorrelationRow) (unread []string, asking uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.askings++
	before, now := r.of[of], make(map[string]*rest, len(resting))
	for _, row := range resting {
		if known := before[row.Key]; known != nil && known.answered && known.since == row.Last {
			now[row.Key] = known
			continue
		}
		now[row.Key] = &rest{since: row.Last, by: r.askings}
		unread = append(unread, row.Key)
	}
	r.of[of] = now
	return unread, r.askings
}

// learn adds what was answered to an asking, but of keys that were touched since.
func (r *rests) learn(of duty, asked []string, due []schemas.CorrelationRow, asking uint64) {
	at := make(map[string]uint64, len(due))
	for _, row := range due {
		at[row.Key] = row.Last
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range asked {
		if rest := r.of[of][key]; rest != nil && rest.by == asking {
			rest.due, rest.answered = at[key], true
		}
	}
}

// due are the keys that are due in a time, in Unix milliseconds, its end among it, and those
// of which it is not known.
func (r *rests) due(of duty, from, to uint64) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []string
	for key, rest := range r.of[of] {
		if !rest.answered || rest.due >= from && rest.due <= to {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// restingAtOnce is of how many keys it is asked at once when they are due.
const restingAtOnce = 256

// searchResting asks which keys rest, or when the next of them are due.
func (c *Correlator) searchResting(ctx context.Context, rule *detect.Correlation, of duty, s *search) error {
	if !s.begun {
		rows, err := c.cfg.Store.Correlate(ctx, rule.RestingQuery(of.tenant, s.from, s.until()))
		if err != nil {
			return err
		}
		s.unread, s.asking = c.rests.ask(of, rows)
		s.begun = true
	} else {
		some := s.unread[:min(len(s.unread), restingAtOnce)]
		rows, err := c.cfg.Store.Correlate(ctx, rule.DueQuery(of.tenant, some, s.from))
		if err != nil {
			return err
		}
		c.rests.learn(of, some, rows, s.asking)
		s.unread = s.unread[len(some):]
	}
	if len(s.unread) == 0 {
		s.keys, s.over = c.rests.due(of, uint64(s.from.UnixMilli()), uint64(s.to.UnixMilli())), true
	}
	return nil
}

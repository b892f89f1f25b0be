package processor

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// addAffected adds the keys whose matches are judged by others, which flushes have
// touched: a success of a client may make it known, late, from where somebody tries
// its id.
func (c *Correlator) addAffected(ctx context.Context, touches []schemas.Touch, flushes []string) error {
	var all []affected
	done := map[string]bool{}
	for i := range c.rules {
		rule := &c.rules[i]
		looked := rule.LookedUp()
		if looked == nil {
			continue
		}
		if done[rule.LooksUp()] {
			continue
		}
		done[rule.LooksUp()] = true
		byTenant := map[string]map[string]*touchedKey{}
		for j := range touches {
			if t := &touches[j]; t.Selector == looked.Selector {
				if byTenant[t.Tenant] == nil {
					byTenant[t.Tenant] = map[string]*touchedKey{}
				}
				addTouch(byTenant[t.Tenant], t)
			}
		}
		for tenant, keys := range byTenant {
			for some := range chunks(sortedKeys(keys)) {
				all = append(all, affected{job: newJob(rule, tenant, some)})
			}
		}
	}
	asking, ctx := errgroup.WithContext(ctx)
	asking.SetLimit(maxAffectedAtOnce)
	for i := range all {
		asking.Go(func() (err error) {
			a := &all[i]
			if a.touches, err = c.affectedOf(ctx, a.job); err != nil {
				return fmt.Errorf("read what rule %s looks up, tenant %s: %w", a.job.rule.Code, a.job.tenant, err)
			}
			return nil
		})
	}
	if err := asking.Wait(); err != nil {
		return err
	}
	for i := range all {
		c.noteTouched(all[i].touches)
		c.addTouches(all[i].touches, flushes)
	}
	return nil
}

// maxAffectedAtOnce is how many of these statements run beside each other: of few keys
// they take little but the time to plan them, for which no touch is to wait.
const maxAffectedAtOnce = 4

// affected is what some touched keys, of a rule that is looked up, decide about.
type affected struct {
	job     job
	touches []schemas.Touch
}

func (c *Correlator) affectedOf(ctx context.Context, j job) ([]schemas.Touch, error) {
	rows, err := c.cfg.Store.Correlate(ctx, j.rule.AffectedQuery(j.tenant, j.keys, j.first, j.last.Add(time.Hour)))
	if err != nil {
		return nil, err
	}
	touches := make([]schemas.Touch, len(rows))
	for i, r := range rows {
		touches[i] = schemas.Touch{Selector: j.rule.Main.Selector, Tenant: j.tenant, Key: r.Key, Bucket: milli(r.Period)}
	}
	return touches, nil
}

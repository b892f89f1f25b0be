package processor

import (
	"context"
	"fmt"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// addAffected adds the keys whose matches are judged by others, which flushes have
// touched: a success of a client may make it known, late, from where somebody tries
// its id.
func (c *Correlator) addAffected(ctx context.Context, touches []schemas.Touch, flushes []string) error {
	type lookUp struct {
		main, looked string
		reach        time.Duration
	}
	done := map[lookUp]bool{}
	for i := range c.rules {
		rule := &c.rules[i]
		looked := rule.LookedUp()
		if looked == nil {
			continue
		}
		same := lookUp{rule.Main.Selector, looked.Selector, rule.Reach()}
		if done[same] {
			continue
		}
		done[same] = true
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
				of, err := c.affectedOf(ctx, rule, newJob(rule, tenant, some))
				if err != nil {
					return fmt.Errorf("read what rule %s looks up, tenant %s: %w", rule.Code, tenant, err)
				}
				c.noteTouched(of)
				c.addTouches(of, flushes)
			}
		}
	}
	return nil
}

func (c *Correlator) affectedOf(ctx context.Context, rule *detect.Correlation, j job) ([]schemas.Touch, error) {
	rows, err := c.cfg.Store.Correlate(ctx, rule.AffectedQuery(j.tenant, j.keys, j.first, j.last.Add(time.Hour)))
	if err != nil {
		return nil, err
	}
	touches := make([]schemas.Touch, len(rows))
	for i, r := range rows {
		touches[i] = schemas.Touch{Selector: rule.Main.Selector, Tenant: j.tenant, Key: r.Key, Bucket: milli(r.Period)}
	}
	return touches, nil
}

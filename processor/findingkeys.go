package processor

import (
	"context"
	"fmt"
	"sync"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// findingKeys are the keys that have a finding, in whatever state, so that of the
// others, which are nearly all, nobody reads findings with each of their events.
//
// Whoever holds the lease alone writes findings: what an earlier holder wrote is read
// when its epoch begins, from when on the store takes nothing of it. Two looks may use
// it at once.
type findingKeys struct {
	mu    sync.Mutex // guards all
	epoch uint64
	keys  map[schemas.FindingKey]bool // nil is more than are remembered: any may have one
}

// maxFindingKeys bounds how many are remembered, some hundred bytes each.
const maxFindingKeys = 500_000

// begin reads them where another epoch begins.
func (k *findingKeys) begin(ctx context.Context, store FindingStore, epoch uint64) error {
	if k.epoch == epoch {
		return nil
	}
	keys, err := store.FindingKeys(ctx, maxFindingKeys+1)
	if err != nil {
		return fmt.Errorf("read which keys have findings: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.epoch, k.keys = epoch, make(map[schemas.FindingKey]bool, len(keys))
	for _, key := range keys {
		k.keys[key] = true
	}
	k.bound()
	return nil
}

// add notes what is about to be written.
func (k *findingKeys) add(findings []schemas.Finding) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		return
	}
	for i := range findings {
		k.keys[findings[i].KeyOfRule()] = true
	}
	k.bound()
}

func (k *findingKeys) bound() {
	if len(k.keys) > maxFindingKeys {
		k.keys = nil
	}
}

// has reports whether a key may have a finding of a rule.
func (k *findingKeys) has(tenant, ruleID, key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys == nil || k.keys[schemas.FindingKey{Tenant: tenant, RuleID: ruleID, Key: key}]
}

// of are those of keys that may have a finding of a rule.
func (k *findingKeys) of(tenant, ruleID string, keys []string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		return keys
	}
	var have []string
	for _, key := range keys {
		if k.keys[schemas.FindingKey{Tenant: tenant, RuleID: ruleID, Key: key}] {
			have = append(have, key)
		}
	}
	return have
}

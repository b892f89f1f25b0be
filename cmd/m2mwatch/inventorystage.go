package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/inventory"
	"github.com/m2mwatch/m2mwatch/processor"
)

// startInventory reads the inventories of the tenants that can be asked. It runs
// where there are none, too: a reload may add one, and who asks for a sync is told.
func (s *server) startInventory() error {
	i, err := processor.NewInventory(processor.InventoryConfig{
		Store: clickhouse.NewInventoryStore(s.writeDB), Lease: s.lease("inventory"), Tenants: s.inventoryTenants,
		Interval: s.pace["look"], Logger: s.log, Registerer: s.registry, At: s.at("inventory."),
	})
	if err != nil {
		return err
	}
	s.life.run("inventory", i.Run)
	return nil
}

// inventoryTenants are those that can be asked, as they are configured now.
func (s *server) inventoryTenants() []processor.InventoryTenant {
	var tenants []processor.InventoryTenant
	for _, t := range *s.configured.Load() {
		if t.Managed() {
			tenants = append(tenants, processor.InventoryTenant{Name: t.Name, API: inventoryAPI{s.watchers, t}, Every: t.InventoryEvery()})
		}
	}
	return tenants
}

// inventoryAPI is a tenant's Management API as inventory.API asks for it. An error
// of its settings is that of each call.
type inventoryAPI struct {
	watchers *watchers
	tenant   config.Tenant
}

// Get implements inventory.API.
func (a inventoryAPI) Get(ctx context.Context, path []string, query url.Values) (json.RawMessage, error) {
	client, err := a.watchers.client(a.tenant)
	if err != nil {
		return nil, err
	}
	raw, err := client.Get(ctx, path, query)
	if auth0.NotFound(err) {
		err = fmt.Errorf("%w: %w", inventory.ErrNotFound, err)
	}
	return raw, err
}

// List implements inventory.API.
func (a inventoryAPI) List(ctx context.Context, path []string, key string, query url.Values) iter.Seq2[json.RawMessage, error] {
	client, err := a.watchers.client(a.tenant)
	if err != nil {
		return failing(err)
	}
	return client.List(ctx, path, key, query)
}

// ListFrom implements inventory.API.
func (a inventoryAPI) ListFrom(ctx context.Context, path []string, key string, query url.Values) iter.Seq2[json.RawMessage, error] {
	client, err := a.watchers.client(a.tenant)
	if err != nil {
		return failing(err)
	}
	return client.ListFrom(ctx, path, key, query)
}

func failing(err error) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) { yield(nil, err) }
}

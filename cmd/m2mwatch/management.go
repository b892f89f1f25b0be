package main

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// managementAPI is an auth0.Client as provision.API asks for it.
type managementAPI struct{ client *auth0.Client }

// Get implements provision.API.
func (m managementAPI) Get(ctx context.Context, path []string, query url.Values) (json.RawMessage, error) {
	raw, err := m.client.Get(ctx, path, query)
	return raw, meaning(err)
}

// Post implements provision.API.
func (m managementAPI) Post(ctx context.Context, path []string, body any) (json.RawMessage, error) {
	raw, err := m.client.Post(ctx, path, body)
	return raw, meaning(err)
}

// Patch implements provision.API.
func (m managementAPI) Patch(ctx context.Context, path []string, body any) (json.RawMessage, error) {
	raw, err := m.client.Patch(ctx, path, body)
	return raw, meaning(err)
}

// Delete implements provision.API.
func (m managementAPI) Delete(ctx context.Context, path []string, body any) error {
	return meaning(m.client.Delete(ctx, path, body))
}

// List implements provision.API, by checkpoints where the collection has them:
// pages miss what moves while others are made or deleted, and of the users of a role
// they end at 1,000.
func (m managementAPI) List(ctx context.Context, path []string, key string, query url.Values) iter.Seq2[json.RawMessage, error] {
	list := m.client.List
	if hasCheckpoints(path) {
		list = m.client.ListFrom
	}
	return func(yield func(json.RawMessage, error) bool) {
		for raw, err := range list(ctx, path, key, query) {
			if !yield(raw, meaning(err)) {
				return
			}
		}
	}
}

// hasCheckpoints knows the collections that can be read so. Source: the parameters
// from and take in the Management API's OpenAPI document.
func hasCheckpoints(path []string) bool {
	switch strings.Join(path, "/") {
	case "clients", "client-grants":
		return true
	}
	return len(path) == 3 && (path[0] == "roles" && path[2] == "users" || path[0] == "client-grants" && path[2] == "organizations")
}

// meant is an error with what it means to provision. Its text stays.
type meant struct {
	error
	means error
}

// Unwrap has errors.Is find both.
func (m *meant) Unwrap() []error { return []error{m.error, m.means} }

// meaning adds to an error of the adapter what it means to provision. A conflict
// of the tenant's custom domains is none of what was to be made.
func meaning(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, auth0.ErrMaybeDone):
		return &meant{err, provision.ErrMaybeDone}
	case auth0.NotFound(err):
		return &meant{err, provision.ErrNotFound}
	case errors.Is(err, &auth0.APIError{Status: http.StatusConflict}) && !errors.Is(err, &auth0.APIError{Code: "custom_domain_conflict"}):
		return &meant{err, provision.ErrConflict}
	}
	return err
}

package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// API is what a snapshot needs of a tenant's Management API. A path is made of
// unescaped segments. An error wraps ErrNotFound where what is named is not
// there. It waits where there are too many requests.
type API interface {
	Get(ctx context.Context, path []string, query url.Values) (json.RawMessage, error)
	// List goes through all pages, ListFrom by checkpoint; key is the member that
	// holds the elements.
	List(ctx context.Context, path []string, key string, query url.Values) iter.Seq2[json.RawMessage, error]
	ListFrom(ctx context.Context, path []string, key string, query url.Values) iter.Seq2[json.RawMessage, error]
}

// ErrNotFound is wrapped where what is named is not there.
var ErrNotFound = errors.New("it is not there")

// Reader makes one snapshot of a tenant. Kinds are read in the order of
// schemas.InventoryKinds; it must not be used concurrently.
type Reader struct {
	API    API
	Tenant string
	// Known are the tenant's items of all kinds as they were. One that a list
	// lacks is asked for by its id: pages shift while a list is read, and searches
	// lag, so that only a 404 says that something is gone.
	Known []schemas.InventoryItem
	// Users are the ids of users who were seen to act as machines.
	Users []string

	clients map[string]client // by id; nil where they could not be read
}

// Read reads one kind to its end. With an error the kind is not known.
func (r *Reader) Read(ctx context.Context, kind schemas.InventoryKind) ([]schemas.InventoryItem, error) {
	f := &found{reader: r, kind: kind, ids: map[string]bool{}}
	lists := map[schemas.InventoryKind]func(context.Context, *found) error{
		schemas.InventoryClients: r.readClients, schemas.InventoryGrants: r.readGrants, schemas.InventoryAPIs: r.readAPIs, schemas.InventoryRoles: r.readRoles,
		schemas.InventoryUsers: r.readUsers, schemas.InventoryCredentials: r.readCredentials, schemas.InventoryStreams: r.readStreams,
	}
	list, ok := lists[kind]
	if !ok {
		return nil, fmt.Errorf("read %s: no such kind", kind)
	}
	if err := list(ctx, f); err != nil {
		return nil, fmt.Errorf("read %s: %w", kind, err)
	}
	if err := f.lookForMissing(ctx); err != nil {
		return nil, fmt.Errorf("read %s: %w", kind, err)
	}
	return f.items, nil
}

// found is what is read of one kind.
type found struct {
	reader *Reader
	kind   schemas.InventoryKind
	items  []schemas.InventoryItem
	ids    map[string]bool
}

// add takes an item, once.
func (f *found) add(item schemas.InventoryItem) error {
	if item.ID == "" {
		return errors.New("one has no id")
	}
	if !f.ids[item.ID] {
		f.ids[item.ID] = true
		item.Tenant, item.Kind = f.reader.Tenant, f.kind
		f.items = append(f.items, item)
	}
	return nil
}

// all takes every element of a list.
func (f *found) all(list iter.Seq2[json.RawMessage, error], read func(json.RawMessage) (schemas.InventoryItem, error)) error {
	for raw, err := range list {
		if err != nil {
			return err
		}
		item, err := read(raw)
		if err != nil {
			return err
		}
		if err := f.add(item); err != nil {
			return err
		}
	}
	return nil
}

// lookForMissing asks by their ids for those that were known and not listed.
func (f *found) lookForMissing(ctx context.Context) error {
	for i := range f.reader.Known {
		known := &f.reader.Known[i]
		if known.Kind != f.kind || known.Gone() || f.ids[known.ID] {
			continue
		}
		item, err := f.reader.one(ctx, known)
		switch {
		case errors.Is(err, ErrNotFound):
			continue
		case err != nil:
			return fmt.Errorf("look whether %s is gone: %w", known.ID, err)
		}
		if err := f.add(item); err != nil {
			return err
		}
	}
	return nil
}

// one reads a known item by its id.
func (r *Reader) one(ctx context.Context, known *schemas.InventoryItem) (schemas.InventoryItem, error) {
	switch known.Kind {
	case schemas.InventoryClients:
		return r.get(ctx, []string{"clients", known.ID}, clientQuery(), r.takeClient)
	case schemas.InventoryGrants:
		return r.get(ctx, []string{"client-grants", known.ID}, nil, readGrant)
	case schemas.InventoryAPIs:
		return r.get(ctx, []string{"resource-servers", known.ID}, nil, readAPI)
	case schemas.InventoryRoles:
		return r.get(ctx, []string{"roles", known.ID}, nil, func(raw json.RawMessage) (schemas.InventoryItem, error) { return r.readRole(ctx, raw) })
	case schemas.InventoryUsers:
		return r.get(ctx, []string{"users", known.ID}, nil, readUser)
	case schemas.InventoryCredentials:
		clientID := known.Members.ClientID
		return r.get(ctx, []string{"clients", clientID, "credentials", known.ID}, nil,
			func(raw json.RawMessage) (schemas.InventoryItem, error) { return readCredential(clientID, raw) })
	case schemas.InventoryStreams:
		return r.get(ctx, []string{"log-streams", known.ID}, nil, readStream)
	}
	return schemas.InventoryItem{}, fmt.Errorf("%s: no such kind", known.Kind)
}

func (r *Reader) get(ctx context.Context, path []string, query url.Values, read func(json.RawMessage) (schemas.InventoryItem, error)) (schemas.InventoryItem, error) {
	raw, err := r.API.Get(ctx, path, query)
	if err != nil {
		return schemas.InventoryItem{}, err
	}
	return read(raw)
}

func (r *Reader) readClients(ctx context.Context, f *found) error {
	r.clients = map[string]client{}
	query := clientQuery()
	query.Set("is_global", "false") // the tenant's own, which nobody is
	err := f.all(r.API.ListFrom(ctx, []string{"clients"}, "clients", query), r.takeClient)
	if err != nil {
		r.clients = nil
	}
	return err
}

// takeClient reads a client, and keeps whether it has credentials.
func (r *Reader) takeClient(raw json.RawMessage) (schemas.InventoryItem, error) {
	c, err := readDocument[client](raw)
	if err != nil {
		return schemas.InventoryItem{}, err
	}
	if r.clients != nil {
		r.clients[c.ID] = c
	}
	return c.item(), nil
}

func (r *Reader) readGrants(ctx context.Context, f *found) error {
	return f.all(r.API.ListFrom(ctx, []string{"client-grants"}, "client_grants", nil), readGrant)
}

func (r *Reader) readAPIs(ctx context.Context, f *found) error {
	return f.all(r.API.List(ctx, []string{"resource-servers"}, "resource_servers", nil), readAPI)
}

func (r *Reader) readRoles(ctx context.Context, f *found) error {
	return f.all(r.API.List(ctx, []string{"roles"}, "roles", nil), func(raw json.RawMessage) (schemas.InventoryItem, error) { return r.readRole(ctx, raw) })
}

// readRole reads what a role permits, too.
func (r *Reader) readRole(ctx context.Context, raw json.RawMessage) (schemas.InventoryItem, error) {
	role, err := readDocument[role](raw)
	if err != nil {
		return schemas.InventoryItem{}, err
	}
	item := role.item()
	for raw, err := range r.API.List(ctx, []string{"roles", role.ID, "permissions"}, "permissions", nil) {
		if err != nil {
			return item, fmt.Errorf("permissions of %s: %w", role.ID, err)
		}
		p, err := readDocument[permission](raw)
		if err != nil {
			return item, err
		}
		item.Members.Permissions = append(item.Members.Permissions, p.API+" "+p.Name)
	}
	item.Members.Permissions = sorted(item.Members.Permissions)
	return item, nil
}

// searchMost is how many users a search pages through: past that the API refuses.
const searchMost = 1000

// readUsers searches for those that are marked, and asks for those that were seen
// to act as machines. A search lags and may miss some, of which those that are
// known are asked for by lookForMissing.
func (r *Reader) readUsers(ctx context.Context, f *found) error {
	since := ""
	for {
		last, n, err := r.searchUsers(ctx, f, since)
		switch {
		case err != nil:
			return err
		case n < searchMost:
			return r.lookForUsers(ctx, f)
		case last == since:
			return fmt.Errorf("more than %d users were created at %s: a search cannot tell them all", searchMost, last)
		}
		since = last
	}
}

// searchUsers reads the first searchMost of those created since a time, by that
// time, and returns the last one's.
func (r *Reader) searchUsers(ctx context.Context, f *found, since string) (last string, n int, err error) {
	q := "app_metadata.programmatic:true"
	if since != "" {
		q += " AND created_at:[" + since + " TO *]"
	}
	query := url.Values{"q": {q}, "search_engine": {"v3"}, "sort": {"created_at:1"}}
	for raw, err := range r.API.List(ctx, []string{"users"}, "users", query) {
		if err != nil {
			return "", n, err
		}
		u, err := readDocument[user](raw)
		if err != nil {
			return "", n, err
		}
		if err := f.add(u.item()); err != nil {
			return "", n, err
		}
		last = u.CreatedAt
		if n++; n == searchMost {
			break
		}
	}
	return last, n, nil
}

func (r *Reader) lookForUsers(ctx context.Context, f *found) error {
	for _, id := range r.Users {
		if f.ids[id] {
			continue
		}
		item, err := r.get(ctx, []string{"users", id}, nil, readUser)
		if errors.Is(err, ErrNotFound) {
			continue // it was deleted, or never was
		}
		if err == nil {
			err = f.add(item)
		}
		if err != nil {
			return fmt.Errorf("user %s: %w", id, err)
		}
	}
	return nil
}

// readCredentials asks the clients that have some: one request each.
func (r *Reader) readCredentials(ctx context.Context, f *found) error {
	if r.clients == nil {
		return errors.New("the clients are not known")
	}
	for id, c := range r.clients {
		if !c.hasCredentials() {
			continue
		}
		raw, err := r.API.Get(ctx, []string{"clients", id, "credentials"}, nil)
		if errors.Is(err, ErrNotFound) {
			continue // the client was deleted meanwhile
		}
		if err != nil {
			return err
		}
		if err := f.array(raw, func(raw json.RawMessage) (schemas.InventoryItem, error) { return readCredential(id, raw) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) readStreams(ctx context.Context, f *found) error {
	raw, err := r.API.Get(ctx, []string{"log-streams"}, nil)
	if err != nil {
		return err
	}
	return f.array(raw, readStream)
}

// array takes the elements of a plain array, which comes without pages.
func (f *found) array(raw json.RawMessage, read func(json.RawMessage) (schemas.InventoryItem, error)) error {
	elements, err := readDocument[[]json.RawMessage](raw)
	if err != nil {
		return err
	}
	return f.all(func(yield func(json.RawMessage, error) bool) {
		for _, element := range elements {
			if !yield(element, nil) {
				return
			}
		}
	}, read)
}

// clientQuery asks for no more of clients than is read of them.
func clientQuery() url.Values {
	return url.Values{"include_fields": {"true"}, "fields": {strings.Join([]string{
		"client_id", "name", "description", "app_type", "grant_types", "token_endpoint_auth_method", "client_authentication_methods", "client_metadata",
		"is_first_party", "organization_usage", "global",
	}, ",")}}
}

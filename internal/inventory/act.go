package inventory

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Acts are what a tenant's own logs tell of its items.
type Acts map[thing]times

type thing struct {
	kind schemas.InventoryKind
	id   string
}

// times are when the last of each happened to an item; zero where nothing tells.
type times struct{ created, changed, deleted, rotated time.Time }

// ReadActs reads calls of the Management API that were logged (sapi): those that
// have written something of the inventory. Events have their raw logs.
func ReadActs(events []schemas.Event) Acts {
	acts := Acts{}
	for i := range events {
		acts.add(&events[i])
	}
	return acts
}

// add reads the path, as in target of package processor: /api/v2/clients/{id}… or
// /v2/clients/{id}….
func (a Acts) add(e *schemas.Event) {
	path, _, _ := strings.Cut(e.Call.Path, "?")
	rest, ok := strings.CutPrefix(strings.TrimPrefix(path, "/api"), "/v2/")
	if !ok || e.Call.Status < 200 || e.Call.Status > 299 {
		return
	}
	parts := strings.Split(rest, "/")
	for i := range parts {
		if decoded, err := url.PathUnescape(parts[i]); err == nil {
			parts[i] = decoded
		}
	}
	kind := map[string]schemas.InventoryKind{
		"clients": schemas.InventoryClients, "client-grants": schemas.InventoryGrants, "resource-servers": schemas.InventoryAPIs,
		"roles": schemas.InventoryRoles, "users": schemas.InventoryUsers, "log-streams": schemas.InventoryStreams,
	}[parts[0]]
	if kind == "" {
		return
	}
	if len(parts) >= 3 && kind == schemas.InventoryClients && parts[2] == "credentials" {
		kind, parts = schemas.InventoryCredentials, parts[2:]
	}
	a.act(kind, strings.ToLower(e.Call.Method), parts[1:], e)
}

// act notes what a method did to an id, or beneath it.
func (a Acts) act(kind schemas.InventoryKind, method string, path []string, e *schemas.Event) {
	switch {
	case len(path) == 0 && method == "post":
		if id := createdID(e.Raw); id != "" {
			a.note(kind, id, func(t *times) *time.Time { return &t.created }, e.Time)
		}
	case len(path) == 1 && method == "delete":
		a.note(kind, path[0], func(t *times) *time.Time { return &t.deleted }, e.Time)
	case len(path) >= 1:
		a.note(kind, path[0], func(t *times) *time.Time { return &t.changed }, e.Time)
		if kind == schemas.InventoryClients && (len(path) == 2 && path[1] == "rotate-secret" || len(path) == 1 && setsSecret(e.Raw)) {
			a.note(kind, path[0], func(t *times) *time.Time { return &t.rotated }, e.Time)
		}
	}
}

func (a Acts) note(kind schemas.InventoryKind, id string, which func(*times) *time.Time, at time.Time) {
	t := a[thing{kind, id}]
	if has := which(&t); at.After(*has) {
		*has = at
	}
	a[thing{kind, id}] = t
}

// call is what is read of a logged call's details.
type call struct {
	Data struct {
		Details details `json:"details"`
	} `json:"data"`
	Details details `json:"details"` // of a log that is not wrapped
}

type details struct {
	Request struct {
		Body json.RawMessage `json:"body"`
	} `json:"request"`
	Response struct {
		Body json.RawMessage `json:"body"`
	} `json:"response"`
}

func readCall(raw []byte) details {
	var c call
	if json.Unmarshal(raw, &c) != nil {
		return details{}
	}
	if c.Data.Details.Response.Body != nil || c.Data.Details.Request.Body != nil {
		return c.Data.Details
	}
	return c.Details
}

// createdID is the id in the answer of a POST.
func createdID(raw []byte) string {
	var body struct {
		ID       string `json:"id"`
		ClientID string `json:"client_id"`
		UserID   string `json:"user_id"`
	}
	if json.Unmarshal(readCall(raw).Response.Body, &body) != nil {
		return ""
	}
	for _, id := range []string{body.ID, body.UserID, body.ClientID} { // a grant has a client_id, too
		if id != "" {
			return id
		}
	}
	return ""
}

// setsSecret reports whether a PATCH of a client gave it another secret, whose
// value is masked.
func setsSecret(raw []byte) bool {
	var body struct {
		Secret json.RawMessage `json:"client_secret"`
	}
	return json.Unmarshal(readCall(raw).Request.Body, &body) == nil && body.Secret != nil
}

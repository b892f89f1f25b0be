package inventory

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// The documents below have the members that are kept, as the Management API names
// them, and no others.
// Source: Management API, the answers of each GET in its OpenAPI document.

func readDocument[T any](raw json.RawMessage) (T, error) {
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, fmt.Errorf("read the answer: %w", err)
	}
	return v, nil
}

// sorted makes a list the same in whatever order Auth0 tells it.
func sorted(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

// readTime is zero where there is none.
func readTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

// marks are what an operator says of a machine, in its metadata.
type marks map[string]any

func (m marks) text(name string) string {
	text, _ := m[name].(string)
	return text
}

func (m marks) mark(item *schemas.InventoryItem) {
	item.Owner, item.Purpose, item.Expires = m.text("owner"), m.text("purpose"), m.text("expires")
}

type client struct {
	ID            string         `json:"client_id"`
	Name          string         `json:"name"`
	Description   string         `json:"description"`
	Type          string         `json:"app_type"`
	GrantTypes    []string       `json:"grant_types"`
	AuthMethod    string         `json:"token_endpoint_auth_method"`
	Methods       map[string]any `json:"client_authentication_methods"` // only the names
	Metadata      marks          `json:"client_metadata"`
	FirstParty    *bool          `json:"is_first_party"`
	Organizations string         `json:"organization_usage"`
}

// hasCredentials reports whether keys or certificates prove who the client is.
func (c *client) hasCredentials() bool { return len(c.Methods) > 0 }

func (c *client) item() schemas.InventoryItem {
	method := c.AuthMethod
	for _, name := range slices.Sorted(maps.Keys(c.Methods)) {
		method = name
	}
	item := schemas.InventoryItem{
		ID: c.ID, Identity: schemas.AppID(c.ID), Name: c.Name, Type: c.Type,
		Members: schemas.InventoryMembers{
			Description: c.Description, GrantTypes: sorted(c.GrantTypes), AuthMethod: method, Organizations: c.Organizations,
			ThirdParty: c.FirstParty != nil && !*c.FirstParty,
		},
	}
	c.Metadata.mark(&item)
	return item
}

func readGrant(raw json.RawMessage) (schemas.InventoryItem, error) {
	g, err := readDocument[struct {
		ID              string   `json:"id"`
		ClientID        string   `json:"client_id"`
		Audience        string   `json:"audience"`
		Scopes          []string `json:"scope"`
		AllScopes       bool     `json:"allow_all_scopes"`
		Subject         string   `json:"subject_type"`
		Organizations   string   `json:"organization_usage"`
		AnyOrganization bool     `json:"allow_any_organization"`
		System          bool     `json:"is_system"`
	}](raw)
	return schemas.InventoryItem{
		ID: g.ID, Identity: identityOf(g.ClientID), Name: g.Audience,
		Members: schemas.InventoryMembers{
			ClientID: g.ClientID, Audience: g.Audience, Scopes: sorted(g.Scopes), AllScopes: g.AllScopes, Subject: cmp.Or(g.Subject, "client"),
			Organizations: g.Organizations, AnyOrganization: g.AnyOrganization, System: g.System,
		},
	}, err
}

// identityOf is that of a client; grants of all third-party clients have none.
func identityOf(clientID string) string {
	if clientID == "" {
		return ""
	}
	return schemas.AppID(clientID)
}

func readAPI(raw json.RawMessage) (schemas.InventoryItem, error) {
	a, err := readDocument[struct {
		ID               string `json:"id"`
		Name             string `json:"name"`
		Identifier       string `json:"identifier"`
		TokenLifetime    int64  `json:"token_lifetime"`
		WebTokenLifetime int64  `json:"token_lifetime_for_web"`
		Dialect          string `json:"token_dialect"`
		Algorithm        string `json:"signing_alg"`
		Offline          bool   `json:"allow_offline_access"`
		Policies         bool   `json:"enforce_policies"`
		System           bool   `json:"is_system"`
		Scopes           []struct {
			Value string `json:"value"`
		} `json:"scopes"`
	}](raw)
	scopes := make([]string, len(a.Scopes))
	for i := range a.Scopes {
		scopes[i] = a.Scopes[i].Value
	}
	return schemas.InventoryItem{
		ID: a.ID, Name: a.Name,
		Members: schemas.InventoryMembers{
			Audience: a.Identifier, Scopes: sorted(scopes), TokenLifetime: a.TokenLifetime, WebTokenLifetime: a.WebTokenLifetime, TokenDialect: a.Dialect,
			Algorithm: a.Algorithm, OfflineAccess: a.Offline, Policies: a.Policies, System: a.System,
		},
	}, err
}

type role struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

func (r *role) item() schemas.InventoryItem {
	return schemas.InventoryItem{ID: r.ID, Name: r.Name, Members: schemas.InventoryMembers{Description: r.Description}}
}

type permission struct {
	API  string `json:"resource_server_identifier"`
	Name string `json:"permission_name"`
}

type user struct {
	ID          string `json:"user_id"`
	Email       string `json:"email"`
	Username    string `json:"username"`
	Name        string `json:"name"`
	Blocked     bool   `json:"blocked"`
	CreatedAt   string `json:"created_at"`
	AppMetadata marks  `json:"app_metadata"`
	Identities  []struct {
		Connection string `json:"connection"`
	} `json:"identities"`
}

func (u *user) item() schemas.InventoryItem {
	item := schemas.InventoryItem{
		ID: u.ID, Identity: schemas.UserID(u.ID), Name: cmp.Or(u.Username, u.Email, u.Name), Created: readTime(u.CreatedAt),
		Members: schemas.InventoryMembers{Blocked: u.Blocked},
	}
	item.Members.Programmatic, _ = u.AppMetadata["programmatic"].(bool)
	if len(u.Identities) > 0 {
		item.Members.Connection = u.Identities[0].Connection
	}
	u.AppMetadata.mark(&item)
	return item
}

func readUser(raw json.RawMessage) (schemas.InventoryItem, error) {
	u, err := readDocument[user](raw)
	return u.item(), err
}

func readCredential(clientID string, raw json.RawMessage) (schemas.InventoryItem, error) {
	c, err := readDocument[struct {
		ID        string `json:"id"`
		Name      string `json:"name"`
		KeyID     string `json:"kid"`
		Algorithm string `json:"alg"`
		Type      string `json:"credential_type"`
		Created   string `json:"created_at"`
		Expires   string `json:"expires_at"`
	}](raw)
	return schemas.InventoryItem{
		ID: c.ID, Identity: schemas.AppID(clientID), Name: c.Name, Type: c.Type, Expires: c.Expires, Created: readTime(c.Created),
		Members: schemas.InventoryMembers{ClientID: clientID, KeyID: c.KeyID, Algorithm: c.Algorithm},
	}, err
}

func readStream(raw json.RawMessage) (schemas.InventoryItem, error) {
	s, err := readDocument[struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Type     string `json:"type"`
		Status   string `json:"status"`
		Priority bool   `json:"isPriority"`
		Filters  []struct {
			Name string `json:"name"`
		} `json:"filters"`
		Sink struct {
			Endpoint string `json:"httpEndpoint"`
		} `json:"sink"`
	}](raw)
	var filters []string
	for _, f := range s.Filters {
		filters = append(filters, f.Name)
	}
	return schemas.InventoryItem{
		ID: s.ID, Name: s.Name, Type: s.Type,
		Members: schemas.InventoryMembers{Status: s.Status, Priority: s.Priority, Filters: sorted(filters), Endpoint: hostOf(s.Sink.Endpoint)},
	}, err
}

// hostOf is the host of an address, without what else may be secret in it.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

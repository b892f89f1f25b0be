package provision

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

func readGrant(raw json.RawMessage) (Grant, error) {
	g := Grant{Raw: raw}
	if err := json.Unmarshal(raw, &g); err != nil {
		return g, fmt.Errorf("read the grant: %w", err)
	}
	g.Subject = cmp.Or(g.Subject, subjectClient)
	return g, nil
}

// Grants makes, changes and takes away client grants: what scopes of an API an
// application gets. There is one of an application, an API and a subject at most.
type Grants struct{ API API }

// GrantQuery says which grants to list; what is empty does not narrow.
type GrantQuery struct{ ClientID, Audience, Subject string }

// List reads those that fit, however many.
func (g *Grants) List(ctx context.Context, q GrantQuery) ([]Grant, error) {
	query := url.Values{}
	for name, value := range map[string]string{"client_id": q.ClientID, "audience": q.Audience, "subject_type": q.Subject} {
		if value != "" {
			query.Set(name, value)
		}
	}
	grants := []Grant{}
	for raw, err := range g.API.List(ctx, []string{"client-grants"}, "client_grants", query) {
		if err != nil {
			return nil, err
		}
		grant, err := readGrant(raw)
		if err != nil {
			return nil, err
		}
		grants = append(grants, grant)
	}
	return grants, nil
}

// Get reads one.
func (g *Grants) Get(ctx context.Context, id string) (Grant, error) {
	raw, err := g.API.Get(ctx, []string{"client-grants", id}, nil)
	if err != nil {
		return Grant{}, fmt.Errorf("grant %s: %w", id, err)
	}
	return readGrant(raw)
}

// NewGrant says what grant to make.
type NewGrant struct {
	ClientID, Audience string
	Scopes             []string
	AllScopes          bool   // of the API, those that it will have, too
	Subject            string // client, or user: of tokens on behalf of users
	Organizations      string // deny, allow, require; "" for what Auth0 takes
	AnyOrganization    bool
}

func (n *NewGrant) body() map[string]any {
	body := map[string]any{"client_id": n.ClientID, "audience": n.Audience}
	if n.AllScopes {
		body["allow_all_scopes"] = true
	} else {
		body["scope"] = list(n.Scopes)
	}
	if n.Subject != "" {
		body["subject_type"] = n.Subject
	}
	if n.Organizations != "" {
		body["organization_usage"] = n.Organizations
	}
	if n.AnyOrganization {
		body["allow_any_organization"] = true
	}
	return body
}

// list is the set of texts, which is never null in JSON.
func list(texts []string) []any {
	set := []any{}
	for _, text := range texts {
		if !slices.Contains(set, any(text)) {
			set = append(set, text)
		}
	}
	return set
}

// Create makes a grant and looks whether it is as it should be. A scope that the
// API does not have is an error, and so is a grant that is there: nothing is made
// then. Where the error comes after that, the grant is returned beside it.
func (g *Grants) Create(ctx context.Context, n NewGrant) (Grant, error) {
	if err := checkScopes(ctx, g.API, n.Audience, n.Scopes); err != nil {
		return Grant{}, err
	}
	find := func() (json.RawMessage, error) {
		all, err := g.List(ctx, GrantQuery{n.ClientID, n.Audience, cmp.Or(n.Subject, subjectClient)})
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("grant of %s to %s: %w", n.Audience, n.ClientID, ErrNotFound)
		}
		return all[0].Raw, nil
	}
	switch raw, err := find(); {
	case err == nil:
		is, err := readGrant(raw)
		return Grant{}, errors.Join(err, fmt.Errorf("grant %s of %s to %s: %w; grants update changes it", is.ID, n.Audience, n.ClientID, ErrConflict))
	case !errors.Is(err, ErrNotFound):
		return Grant{}, err
	}
	body := n.body()
	raw, err := create(ctx, g.API, []string{"client-grants"}, body, find)
	if err != nil {
		return Grant{}, err
	}
	made, err := readGrant(raw)
	if err != nil {
		return made, err
	}
	is, err := g.Get(ctx, made.ID)
	if err != nil {
		return made, fmt.Errorf("grant %s is made, and cannot be looked at: %w", made.ID, err)
	}
	different, err := grantDifferences(is, body)
	if err == nil && len(different) > 0 {
		err = fmt.Errorf("grant %s is made, and not as it was asked for: %s", is.ID, strings.Join(different, ", "))
	}
	return is, err
}

// checkScopes tells of each that the API lacks, with those that it has: Auth0 takes
// any.
func checkScopes(ctx context.Context, api API, audience string, scopes []string) error {
	has, err := scopesOfAPI(ctx, api, audience)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("API %s: %w (m2mwatch apis list)", audience, ErrNotFound)
	}
	if err != nil {
		return err
	}
	var unknown []string
	for _, scope := range scopes {
		if !slices.Contains(has, scope) {
			unknown = append(unknown, scope)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("the API %s does not have %s; it has %s", audience, strings.Join(unknown, ", "), cmp.Or(strings.Join(has, ", "), "no scopes"))
	}
	return nil
}

// grantDifferences names what of a grant is not as body has it. Scopes have no
// order, and a grant of all is none of those that body has.
func grantDifferences(is Grant, body map[string]any) ([]string, error) {
	rest := maps.Clone(body)
	delete(rest, "scope")
	delete(rest, "allow_all_scopes")
	different, err := differences(is.Raw, rest)
	scopes, listed := body["scope"].([]any)
	all, said := body["allow_all_scopes"].(bool)
	switch {
	case (said || listed) && all != is.AllScopes: // which Auth0 need not say where it is not so
		different = append(different, "allow_all_scopes")
	case listed && !sameScopes(scopes, is.Scopes):
		different = append(different, "scope")
	}
	return different, err
}

// sameScopes compares a list of a body with that of a grant, in any order.
func sameScopes(body []any, is []string) bool {
	want := make([]string, 0, len(body))
	for _, scope := range body {
		want = append(want, scope.(string))
	}
	slices.Sort(want)
	return slices.Equal(want, slices.Sorted(slices.Values(is)))
}

// GrantChange says what of a grant to change; what is nil stays.
type GrantChange struct {
	Scopes                     *[]string // all that it is to have: it is of all no more
	Add, Remove                []string  // of those that it has; a grant of all has no list
	AllScopes, AnyOrganization *bool
	Organizations              string // "" stays
}

// Scopes are those that a grant has after the change.
func (c *GrantChange) apply(is Grant) []string {
	scopes := is.Scopes
	if c.Scopes != nil {
		scopes = *c.Scopes
	}
	scopes = append(slices.Clone(scopes), c.Add...)
	return slices.DeleteFunc(scopes, func(scope string) bool { return slices.Contains(c.Remove, scope) })
}

// allScopes is what the change says of it: a list of scopes says that it is not of
// all.
func (c *GrantChange) allScopes() *bool {
	if c.AllScopes == nil && c.Scopes != nil {
		return new(bool)
	}
	return c.AllScopes
}

// Takes reports whether a grant has scopes that it would not have after the change.
// A grant of all that becomes one of a list is taken those that the API will have,
// whatever the list is.
func (c *GrantChange) Takes(is Grant) bool {
	all := c.allScopes()
	if is.AllScopes || deref(all) {
		return is.AllScopes && all != nil && !*all
	}
	return len(without(is.Scopes, c.apply(is))) > 0
}

// check refuses a change whose words contradict each other, or the grant.
func (c *GrantChange) check(is Grant) error {
	listed := c.Scopes != nil || len(c.Add)+len(c.Remove) > 0
	if listed && deref(c.AllScopes) {
		return errors.New("want some scopes or all, not both")
	}
	if is.AllScopes && c.allScopes() == nil && listed {
		return fmt.Errorf("grant %s is of all scopes of its API: nothing is added to those or removed; say which it is to have in their place", is.ID)
	}
	if absent := without(c.Remove, is.Scopes); len(absent) > 0 {
		return fmt.Errorf("grant %s does not have %s; it has %s", is.ID, strings.Join(absent, ", "), strings.Join(is.Scopes, ", "))
	}
	return nil
}

// Update changes a grant, and looks whether it is so. A scope to be added that the
// API does not have is an error, and so is one to be removed that the grant does not
// have: it may be a slip. So is a scope beside all of them. Nothing is changed then.
func (g *Grants) Update(ctx context.Context, id string, c GrantChange) (Grant, error) {
	is, err := g.Get(ctx, id)
	if err != nil {
		return is, err
	}
	if err := c.check(is); err != nil {
		return is, err
	}
	changes := map[string]any{}
	if c.Scopes != nil || len(c.Add)+len(c.Remove) > 0 {
		asked := slices.Clone(c.Add)
		if c.Scopes != nil {
			asked = append(asked, *c.Scopes...)
		}
		if err := checkScopes(ctx, g.API, is.Audience, asked); err != nil {
			return is, err
		}
		changes["scope"] = list(c.apply(is))
	}
	for name, value := range map[string]*bool{"allow_all_scopes": c.allScopes(), "allow_any_organization": c.AnyOrganization} {
		if value != nil {
			changes[name] = *value
		}
	}
	if c.Organizations != "" {
		changes["organization_usage"] = c.Organizations
	}
	err = settle(func() error {
		_, err := g.API.Patch(ctx, []string{"client-grants", id}, changes)
		return err
	}, func() (left []string, err error) {
		if is, err = g.Get(ctx, id); err != nil {
			return nil, err
		}
		return grantDifferences(is, changes)
	})
	if err != nil {
		return is, fmt.Errorf("update grant %s: %w", id, err)
	}
	return is, nil
}

const grantBackupFormat = "m2mwatch grant backup 1"

// GrantBackup is what a grant was.
type GrantBackup struct {
	Format string          `json:"format"`
	Tenant string          `json:"tenant"`
	At     time.Time       `json:"at"`
	Grant  json.RawMessage `json:"client_grant"`
}

// Backup is what a grant is now. Tenant and At are the caller's.
func (g *Grant) Backup() GrantBackup { return GrantBackup{Format: grantBackupFormat, Grant: g.Raw} }

// Lifetime is how long tokens stay good, at the longest, that an application has
// by a grant: Auth0 cannot take them back.
func (g *Grants) Lifetime(ctx context.Context, audience string) (time.Duration, error) {
	raw, err := g.API.Get(ctx, []string{"resource-servers", audience}, nil)
	if err != nil {
		return 0, fmt.Errorf("API %s: %w", audience, err)
	}
	var server struct {
		Lifetime int64 `json:"token_lifetime"`
	}
	if err := json.Unmarshal(raw, &server); err != nil {
		return 0, fmt.Errorf("read API %s: %w", audience, err)
	}
	return time.Duration(server.Lifetime) * time.Second, nil
}

// Delete takes a grant away, and looks whether it is gone: the application gets no
// more tokens of that API.
func (g *Grants) Delete(ctx context.Context, id string) error {
	return remove(ctx, g.API, "grant "+id, []string{"client-grants", id})
}

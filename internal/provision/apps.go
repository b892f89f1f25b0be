package provision

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// App is what is read of an application; Raw is all of it, as it was answered,
// without its secret.
type App struct {
	Raw json.RawMessage `json:"-"`

	ID         string         `json:"client_id"`
	Name       string         `json:"name"`
	Type       string         `json:"app_type"`
	GrantTypes []string       `json:"grant_types"`
	Metadata   map[string]any `json:"client_metadata"`
	Secret     string         `json:"client_secret"`
	Methods    *struct {
		PrivateKeyJWT *struct {
			Credentials []struct{ ID string } `json:"credentials"`
		} `json:"private_key_jwt"`
	} `json:"client_authentication_methods"`
}

// Machine reports whether an application is a machine's and nothing else's: nobody
// signs in through it.
func (a *App) Machine() bool {
	return a.Type == appTypeMachine && !slices.ContainsFunc(a.GrantTypes, func(grant string) bool { return grant != grantCredentials })
}

const (
	appTypeMachine   = "non_interactive"
	grantCredentials = "client_credentials"
)

// Mark is a member of client_metadata, or "".
func (a *App) Mark(name string) string {
	text, _ := a.Metadata[name].(string)
	return text
}

// readApp reads an application, and takes the secret out of what is printed.
func readApp(raw json.RawMessage) (App, error) {
	var (
		a       App
		members map[string]any
	)
	if err := errors.Join(json.Unmarshal(raw, &a), readExactly(raw, &members)); err != nil {
		return App{}, fmt.Errorf("read the application: %w", err)
	}
	delete(members, "client_secret")
	var err error
	a.Raw, err = json.Marshal(members)
	return a, err
}

// String keeps the secret out of every text.
func (a App) String() string { return "application " + a.ID }

// GoString keeps it out of %#v.
func (a App) GoString() string { return a.String() }

// Grant lets an application get tokens of an API.
type Grant struct {
	Raw json.RawMessage `json:"-"`

	ID       string   `json:"id"`
	ClientID string   `json:"client_id"`
	Audience string   `json:"audience"`
	Scopes   []string `json:"scope"`
	Subject  string   `json:"subject_type"` // client where there is none

	AllScopes       bool     `json:"allow_all_scopes"`       // those that the API will have, too
	Organizations   string   `json:"organization_usage"`     // deny where there is none, allow, require
	AnyOrganization bool     `json:"allow_any_organization"` // not those alone that it is given to
	DetailTypes     []string `json:"authorization_details_types"`
}

const (
	subjectClient = "client"
	usageDeny     = "deny"
)

// ToOrganizations reports whether a grant may be associated with organizations.
func (g *Grant) ToOrganizations() bool { return cmp.Or(g.Organizations, usageDeny) != usageDeny }

// Apps makes and changes M2M applications and their grants.
type Apps struct{ API API }

// NewApp says what application to make.
type NewApp struct {
	Name, Description string
	Metadata          map[string]string
	// Grants are the scopes that it gets, by API.
	Grants []Permission
	// Key is what it authenticates by instead of a secret, where there is one.
	Key *Key
}

// markRequest is the member of client_metadata by which an application is known
// whose making was not answered: names are not unique, and Auth0 chooses the id.
const markRequest = "m2mwatch_request"

// audiences are the APIs of the grants in their order, with the scopes of each.
func (n *NewApp) audiences() (order []string, scopes map[string][]string) {
	scopes = make(map[string][]string)
	for _, g := range n.Grants {
		if scopes[g.API] == nil {
			order = append(order, g.API)
		}
		if !slices.Contains(scopes[g.API], g.Name) {
			scopes[g.API] = append(scopes[g.API], g.Name)
		}
	}
	return order, scopes
}

// Create makes an application that can get tokens by client credentials and no
// other way, and its grants; their scopes are looked for before. After a lost
// answer it is looked for, and never made again: one that came late would be its
// twin. Its secret is lost with the answer, unless the token may read it. Where
// the error comes after that, the application is returned beside it.
func (a *Apps) Create(ctx context.Context, n NewApp) (App, error) {
	if err := checkPermissions(ctx, a.API, n.Grants); err != nil {
		return App{}, err
	}
	metadata := maps.Clone(n.Metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata[markRequest] = rand.Text()
	body := map[string]any{"name": n.Name, "app_type": appTypeMachine, "grant_types": []string{grantCredentials}, "client_metadata": metadata}
	if n.Description != "" {
		body["description"] = n.Description
	}
	if n.Key != nil {
		body["client_authentication_methods"] = map[string]any{"private_key_jwt": map[string]any{"credentials": []any{n.Key.request()}}}
		body["jwt_configuration"] = map[string]any{"alg": defaultAlg} // no other is taken with keys
	}
	raw, err := a.API.Post(ctx, []string{"clients"}, body)
	if errors.Is(err, ErrMaybeDone) {
		raw, err = a.requested(ctx, metadata[markRequest], err)
	}
	if err != nil {
		return App{}, err
	}
	app, err := readApp(raw)
	if err != nil {
		return app, err
	}
	order, scopes := n.audiences()
	for _, audience := range order {
		if _, err := a.grant(ctx, map[string]any{"client_id": app.ID, "audience": audience, "scope": scopes[audience]}); err != nil {
			return app, fmt.Errorf("application %s is made, but not all of its grants: %w", app.ID, err)
		}
	}
	return app, nil
}

// requested finds the application that was made by a request whose answer was
// lost.
func (a *Apps) requested(ctx context.Context, request string, lost error) (json.RawMessage, error) {
	raw, err := a.marked(ctx, request)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, fmt.Errorf("%w: it is not there now", lost)
	case err != nil:
		return nil, fmt.Errorf("%w; and it cannot be looked for: %w", lost, err)
	}
	return raw, nil
}

// grant makes a grant and looks whether it is as it should be. There is one of an
// application, an API and a subject at most.
func (a *Apps) grant(ctx context.Context, body map[string]any) (Grant, error) {
	want, err := grantOf(body)
	if err != nil {
		return want, err
	}
	find := func() (json.RawMessage, error) {
		grants, err := a.Grants(ctx, want.ClientID)
		if err != nil {
			return nil, err
		}
		for _, g := range grants {
			if g.Audience == want.Audience && cmp.Or(g.Subject, subjectClient) == cmp.Or(want.Subject, subjectClient) {
				return g.Raw, nil
			}
		}
		return nil, fmt.Errorf("grant of %s: %w", want.Audience, ErrNotFound)
	}
	if _, err := create(ctx, a.API, []string{"client-grants"}, body, find); err != nil && !errors.Is(err, ErrConflict) {
		return want, err
	}
	raw, err := find()
	if err != nil {
		return want, err
	}
	is, err := readGrant(raw)
	if err != nil {
		return is, err
	}
	if wrong := is.otherThan(&want); len(wrong) > 0 {
		return is, fmt.Errorf("the grant of %s is another than it should be: %s", want.Audience, strings.Join(wrong, ", "))
	}
	return is, nil
}

// grantOf reads the grant that a request asks for.
func grantOf(body map[string]any) (Grant, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return Grant{}, err
	}
	return readGrant(raw)
}

// otherThan names in which of what decides about tokens a grant is another. What
// a grant does not say has a meaning: no organizations, no scopes beyond its own.
func (g *Grant) otherThan(want *Grant) (wrong []string) {
	sorted := func(list []string) []string { return slices.Sorted(slices.Values(list)) }
	if !want.AllScopes && !slices.Equal(sorted(g.Scopes), sorted(want.Scopes)) {
		wrong = append(wrong, fmt.Sprintf("it has the scopes %q, not %q", g.Scopes, want.Scopes))
	}
	if g.AllScopes != want.AllScopes {
		wrong = append(wrong, fmt.Sprintf("allow_all_scopes is %t", g.AllScopes))
	}
	if is := cmp.Or(g.Organizations, usageDeny); is != cmp.Or(want.Organizations, usageDeny) {
		wrong = append(wrong, "organization_usage is "+is)
	}
	if g.AnyOrganization != want.AnyOrganization {
		wrong = append(wrong, fmt.Sprintf("allow_any_organization is %t", g.AnyOrganization))
	}
	if !slices.Equal(sorted(g.DetailTypes), sorted(want.DetailTypes)) {
		wrong = append(wrong, fmt.Sprintf("authorization_details_types are %q, not %q", g.DetailTypes, want.DetailTypes))
	}
	return wrong
}

// List reads the applications of machines: those that can get tokens by client
// credentials.
func (a *Apps) List(ctx context.Context) ([]App, error) {
	var apps []App
	for raw, err := range a.API.List(ctx, []string{"clients"}, "clients", url.Values{"is_global": {"false"}}) {
		if err != nil {
			return nil, err
		}
		app, err := readApp(raw)
		if err != nil {
			return nil, err
		}
		if slices.Contains(app.GrantTypes, grantCredentials) {
			apps = append(apps, app)
		}
	}
	return apps, nil
}

// Get reads one by its client id.
func (a *Apps) Get(ctx context.Context, id string) (App, error) {
	raw, err := a.API.Get(ctx, []string{"clients", id}, nil)
	if err != nil {
		return App{}, fmt.Errorf("application %s: %w", id, err)
	}
	return readApp(raw)
}

// Grants reads those of an application.
func (a *Apps) Grants(ctx context.Context, id string) ([]Grant, error) {
	grants := []Grant{}
	for raw, err := range a.API.List(ctx, []string{"client-grants"}, "client_grants", url.Values{"client_id": {id}}) {
		if err != nil {
			return nil, err
		}
		g := Grant{Raw: raw}
		if err := json.Unmarshal(raw, &g); err != nil {
			return nil, fmt.Errorf("read the grant: %w", err)
		}
		grants = append(grants, g)
	}
	return grants, nil
}

// Rotate gives an application another secret at once; the old one is refused from
// then on. A lost answer leaves it open which of them is good: rotate again.
func (a *Apps) Rotate(ctx context.Context, id string) (App, error) {
	raw, err := a.API.Post(ctx, []string{"clients", id, "rotate-secret"}, nil)
	if err != nil {
		return App{}, fmt.Errorf("application %s: %w", id, err)
	}
	return readApp(raw)
}

// grantMembers are those of a grant that can be given when it is made.
func grantMembers() []string {
	return []string{
		"client_id", "audience", "scope", "organization_usage", "allow_any_organization", "subject_type", "allow_all_scopes", "authorization_details_types",
	}
}

// giveBack makes a grant again for an application, raw as it was.
func (a *Apps) giveBack(ctx context.Context, raw json.RawMessage, clientID string) (Grant, error) {
	var body map[string]any
	if err := readExactly(raw, &body); err != nil {
		return Grant{}, err
	}
	for name, value := range body {
		if value == nil || !slices.Contains(grantMembers(), name) {
			delete(body, name)
		}
	}
	body["client_id"] = clientID
	return a.grant(ctx, body)
}

package provision

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// AppRestore says how an application comes back.
type AppRestore struct {
	// Keys are its public keys, in the order of the backup's credentials:
	// Auth0 gives none back.
	Keys []Key
	// Secret has an application that had keys authenticate by a secret.
	Secret bool
	// Without are members of client_metadata that are left out: an application can
	// have ten, and one is needed for the mark by which it is found again.
	Without []string
}

// RestoredApp is what came back of an application, and what did not.
type RestoredApp struct {
	App   App
	Was   string // the client id that it had
	Found bool   // another restore of this backup had made it
	Lost  []string
}

// metadataMax is how many members client_metadata can have. Source: POST /clients
// in the Management API's OpenAPI document.
const metadataMax = 10

// Restore makes an application again, with another client id and secret, its
// grants, their organizations, and the connections that it could use. It may be
// called again where it was cut short: what it made is found by a mark, and what
// is there is not made twice. Where the error comes after the application was
// made, it is in what is returned beside it.
func (a *Apps) Restore(ctx context.Context, b *AppBackup, how AppRestore) (RestoredApp, error) {
	was, err := b.Subject()
	if err != nil {
		return RestoredApp{}, err
	}
	r := RestoredApp{Was: was.ID}
	body, lost, err := b.newClient(&how)
	if err != nil {
		return r, err
	}
	switch _, err := a.API.Get(ctx, []string{"clients", was.ID}, nil); {
	case err == nil:
		return r, fmt.Errorf("application %s is still there: there is nothing to restore", was.ID)
	case !errors.Is(err, ErrNotFound):
		return r, err
	}
	raw, err := a.marked(ctx, b.mark())
	switch {
	case err == nil:
		r.Found = true
	case errors.Is(err, ErrNotFound):
		raw, err = a.API.Post(ctx, []string{"clients"}, body)
		if errors.Is(err, ErrMaybeDone) {
			raw, err = a.requested(ctx, b.mark(), err)
		}
		if err == nil {
			raw, r.Found, err = a.untwinned(ctx, raw, b.mark())
		}
	}
	if err != nil {
		return r, err
	}
	if r.App, err = readApp(raw); err != nil {
		return r, err
	}
	r.Lost = lost
	if err := a.restoreAccess(ctx, b, &r); err != nil {
		return r, fmt.Errorf("application %s is made, but not all of it is restored (restore again to go on): %w", r.App.ID, err)
	}
	return r, nil
}

// mark is the same for each restore of a backup.
func (b *AppBackup) mark() string {
	sum := sha256.Sum256(append(append([]byte(b.Tenant), b.At.UTC().Format(time.RFC3339Nano)...), b.Client...))
	return "restored-" + hex.EncodeToString(sum[:16])
}

// appMembers are those of an application that can be given when it is made.
// Source: CreateClientRequestContent in the Management API's OpenAPI document.
func appMembers() []string {
	return []string{
		"name", "description", "logo_uri", "callbacks", "oidc_logout", "oidc_backchannel_logout", "session_transfer", "allowed_origins", "web_origins",
		"client_aliases", "allowed_clients", "allowed_logout_urls", "grant_types", "token_endpoint_auth_method", "is_token_endpoint_ip_header_trusted",
		"app_type", "is_first_party", "oidc_conformant", "jwt_configuration", "encryption_key", "sso", "cross_origin_authentication", "cross_origin_loc",
		"sso_disabled", "custom_login_page_on", "custom_login_page", "custom_login_page_preview", "form_template", "addons", "client_metadata", "mobile",
		"initiate_login_uri", "native_social_login", "fedcm_login", "refresh_token", "default_organization", "organization_usage",
		"organization_require_behavior", "organization_discovery_methods", "require_pushed_authorization_requests", "require_proof_of_possession",
		"compliance_level", "skip_non_verifiable_callback_uri_confirmation_prompt", "token_exchange", "par_request_expiry", "token_quota",
		"resource_server_identifier", "third_party_security_mode", "redirection_policy", "express_configuration", "my_organization_configuration",
		"async_approval_notification_channels",
	}
}

// madeMembers are those that Auth0 makes, or that are restored apart.
func madeMembers() []string {
	return []string{"client_id", "client_secret", "tenant", "global", "signing_keys", "owners", "callback_url_template", "cross_origin_auth", "client_authentication_methods"}
}

// newClient is the request that makes the application again, and what of it
// cannot be given.
func (b *AppBackup) newClient(how *AppRestore) (body map[string]any, lost []string, err error) {
	var was map[string]any
	if err := readExactly(b.Client, &was); err != nil {
		return nil, nil, err
	}
	body = map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		switch value := was[name]; {
		case value == nil || slices.Contains(madeMembers(), name):
		case slices.Contains(appMembers(), name):
			body[name] = value
		default:
			lost = append(lost, "its "+name)
		}
	}
	metadata, _ := was["client_metadata"].(map[string]any)
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]any{}
	}
	for _, name := range how.Without {
		if _, has := metadata[name]; has {
			lost = append(lost, "client_metadata."+name)
			delete(metadata, name)
		}
	}
	metadata[markRequest] = b.mark()
	if len(metadata) > metadataMax {
		return nil, nil, fmt.Errorf("client_metadata has %d members with the mark by which the application is found again, and can have %d: leave one out (--without-metadata)", len(metadata), metadataMax)
	}
	body["client_metadata"] = metadata
	if !b.Whole() {
		lost = append(lost, "organizations of its grants and connections that it could use: the backup is of an earlier form, without them")
	}
	methods, _ := was["client_authentication_methods"].(map[string]any)
	credentials, err := b.authentication(methods, how)
	if err != nil {
		return nil, nil, err
	}
	if credentials != nil {
		delete(body, "token_endpoint_auth_method") // the two exclude each other
		body["client_authentication_methods"] = map[string]any{"private_key_jwt": map[string]any{"credentials": credentials}}
		body["jwt_configuration"] = withAlg(body["jwt_configuration"])
	} else if methods != nil {
		body["token_endpoint_auth_method"] = "client_secret_post"
		lost = append(lost, "its keys: it authenticates by a secret now")
	}
	return body, lost, nil
}

// authentication are the credentials that the application gets; nil for a secret.
func (b *AppBackup) authentication(methods map[string]any, how *AppRestore) ([]any, error) {
	if methods == nil && len(how.Keys) == 0 || how.Secret {
		return nil, nil
	}
	if _, has := methods["private_key_jwt"]; methods != nil && !has {
		return nil, errors.New("the application authenticated by a certificate, which is not restored: have it get a secret (--with-secret)")
	}
	if len(how.Keys) == 0 {
		return nil, errors.New("the application authenticated by keys, and Auth0 gives none back: name their public parts (--public-key-file), or have it get a secret (--with-secret)")
	}
	if len(how.Keys) > credentialsMax {
		return nil, fmt.Errorf("%d keys: an application can have %d", len(how.Keys), credentialsMax)
	}
	were, err := decode[struct{ Name, Alg string }](b.Credentials)
	if err != nil {
		return nil, err
	}
	var list []any
	for i, key := range how.Keys {
		credential := key.request()
		if i < len(were) {
			if were[i].Alg != "" {
				credential["alg"] = were[i].Alg
			}
			if were[i].Name != "" {
				credential["name"] = were[i].Name
			}
		}
		list = append(list, credential)
	}
	return list, nil
}

// restoreAccess gives the application what it could get at. What is gone itself is
// no error.
func (a *Apps) restoreAccess(ctx context.Context, b *AppBackup, r *RestoredApp) error {
	var failed []error // one is no reason to leave the others
	try := func(what string, err error) bool {
		switch {
		case errors.Is(err, ErrNotFound):
			r.Lost = append(r.Lost, what+": it is gone")
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", what, err))
		}
		return err == nil
	}
	for _, raw := range b.Grants {
		var was Grant
		if err := json.Unmarshal(raw, &was); err != nil {
			return fmt.Errorf("read the grant: %w", err)
		}
		grant, err := a.giveBack(ctx, raw, r.App.ID)
		if !try("grant of "+was.Audience, err) {
			continue
		}
		for _, o := range b.Organizations[was.ID] {
			try(fmt.Sprintf("organization %s (%s) of the grant of %s", o.Name, o.ID, was.Audience), a.associate(ctx, grant.ID, o.ID))
		}
	}
	for _, c := range b.Connections {
		try(fmt.Sprintf("connection %s (%s)", c.Name, c.ID), a.enable(ctx, r.App.ID, c.ID))
	}
	return errors.Join(failed...)
}

// associate lets a grant be used for an organization.
func (a *Apps) associate(ctx context.Context, grantID, organizationID string) error {
	find := func() (json.RawMessage, error) {
		list, err := a.organizations(ctx, grantID)
		if err != nil {
			return nil, err
		}
		for _, o := range list {
			if o.ID == organizationID {
				return json.Marshal(o)
			}
		}
		return nil, ErrNotFound
	}
	if _, err := find(); err == nil || !errors.Is(err, ErrNotFound) {
		return err
	}
	_, err := create(ctx, a.API, []string{"organizations", organizationID, "client-grants"}, map[string]any{"grant_id": grantID}, find)
	return err
}

// enable lets an application use a connection.
func (a *Apps) enable(ctx context.Context, id, connectionID string) error {
	return settle(func() error {
		_, err := a.API.Patch(ctx, []string{"connections", connectionID, "clients"}, []map[string]any{{"client_id": id, "status": true}})
		return err
	}, func() ([]string, error) {
		list, err := a.connections(ctx, id)
		if err != nil || slices.ContainsFunc(list, func(c Connection) bool { return c.ID == connectionID }) {
			return nil, err
		}
		return []string{"connection " + connectionID}, nil
	})
}

// untwinned looks whether another restore of the backup made one at the same time, and
// answers the one that stays; other tells that it is not ours. The smallest id stays.
// Who has the smallest waits for the others to go: one that has not, for its maker had
// looked before ours was there or is dead, has grants maybe, and ours has none. So ours
// goes away, and the other is gone on with.
func (a *Apps) untwinned(ctx context.Context, raw json.RawMessage, mark string) (stays json.RawMessage, other bool, err error) {
	ours, err := readApp(raw)
	if err != nil {
		return nil, false, err
	}
	for attempt := 1; ; attempt++ {
		list, err := a.allMarked(ctx, mark)
		if err != nil {
			return nil, false, fmt.Errorf("application %s is made, and it cannot be looked whether another restore made one, too (restore again to go on): %w", ours.ID, err)
		}
		list = slices.DeleteFunc(list, func(app App) bool { return app.ID == ours.ID })
		switch {
		case len(list) == 0:
			return raw, false, nil
		case list[0].ID > ours.ID && attempt < tries:
			if err := rest(ctx, pauseOfClaims); err != nil {
				return nil, false, err
			}
			continue
		}
		if err := remove(ctx, a.API, "application "+ours.ID, []string{"clients", ours.ID}); err != nil {
			return nil, false, fmt.Errorf("another restore of this backup has made %s: %s, which this one made, is its twin, has no grants and is to be deleted: %w", list[0].ID, ours.ID, err)
		}
		raw, err := a.API.Get(ctx, []string{"clients", list[0].ID}, nil)
		if err != nil {
			err = fmt.Errorf("another restore of this backup had made %s (restore again to go on): %w", list[0].ID, err)
		}
		return raw, true, err
	}
}

// allMarked are the applications that have a mark, in the order of their ids.
func (a *Apps) allMarked(ctx context.Context, mark string) (list []App, err error) {
	raws, err := collect(ctx, a.API, []string{"clients"}, "clients", url.Values{"is_global": {"false"}})
	if err != nil {
		return nil, err
	}
	for _, raw := range raws {
		app, err := readApp(raw)
		if err != nil {
			return nil, err
		}
		if app.Mark(markRequest) == mark {
			list = append(list, app)
		}
	}
	slices.SortFunc(list, func(a, b App) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// marked finds the application that has a mark, or says ErrNotFound.
func (a *Apps) marked(ctx context.Context, mark string) (json.RawMessage, error) {
	for raw, err := range a.API.List(ctx, []string{"clients"}, "clients", url.Values{"is_global": {"false"}}) {
		if err != nil {
			return nil, err
		}
		app, err := readApp(raw)
		if err != nil {
			return nil, err
		}
		if app.Mark(markRequest) == mark {
			return raw, nil
		}
	}
	return nil, ErrNotFound
}

// Parts are what of a backup needs more scopes to be restored.
func (b *AppBackup) Parts() (when []string) {
	if len(b.Grants) > 0 {
		when = append(when, WhenGrants)
	}
	for _, list := range b.Organizations {
		if len(list) > 0 {
			when = append(when, WhenOrganizations)
			break
		}
	}
	if len(b.Connections) > 0 {
		when = append(when, WhenConnections)
	}
	return when
}

// withAlg is a jwt_configuration with the algorithm that goes with keys.
func withAlg(configuration any) map[string]any {
	members, _ := configuration.(map[string]any)
	if members = maps.Clone(members); members == nil {
		members = map[string]any{}
	}
	members["alg"] = defaultAlg
	return members
}

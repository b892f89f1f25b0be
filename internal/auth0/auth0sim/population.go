package auth0sim

import (
	"slices"
	"strings"
	"time"
)

// databaseConnection is where the people of the population sign in.
const (
	databaseConnection   = "Username-Password-Authentication"
	databaseConnectionID = "con_4fQm0Yq7hZlC2aXe"
)

// api is the store, filled with the population when it is first asked for: most
// simulated tenants only make a history.
func (t *Tenant) api() *store { return t.populated() }

// populate makes the documents of what the population is.
func (t *Tenant) populate() *store {
	s := newStore(t.cfg.Seed, t.cfg.Now)
	s.lag, s.settings = t.cfg.SearchLag, t.newSettings()
	for _, a := range t.apis {
		s.addAPI(a)
	}
	s.addClient(t.cfg.Name, s.id("", 32), "All Applications", s.id("", 64), document{"global": true, "callbacks": []any{}})
	for i, m := range t.machines {
		s.addMachine(t.cfg.Name, m, t.secrets[i])
		if marks := m.marks(); marks != nil {
			s.clients.get(m.id)["client_metadata"] = marks
		}
	}
	for _, site := range t.websites {
		s.addClient(t.cfg.Name, site.id, site.name, s.id("", 64), document{
			"app_type": "regular_web", "grant_types": anyList([]string{"authorization_code", "implicit", "refresh_token"}),
			"callbacks": []any{"https://" + slug(site.name) + ".example.com/callback"},
		})
	}
	s.connections.put(databaseConnectionID, newDatabaseConnection())
	for i := range t.people {
		s.addPerson(&t.people[i])
	}
	return s
}

// marks are what the tenant's people wrote down of a machine: of one in nine
// nothing.
func (m *machine) marks() document {
	if m.index%9 == 8 {
		return nil
	}
	subject, role, ok := strings.Cut(m.name, "-")
	if !ok {
		role = "service"
	}
	team := []string{"platform", "billing", "data", "logistics", "support"}[int(subject[0])%5]
	return document{"owner": team + "-team", "purpose": strings.ReplaceAll(role, "-", " ") + " of " + subject}
}

// AddOperator makes an application with a grant of the Management API, of these
// scopes or of all, and returns it: what a test or the demo needs before
// anything can be provisioned. It leaves no log row.
func (t *Tenant) AddOperator(name string, scopes ...string) Client {
	s := t.api()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(scopes) == 0 {
		scopes = managementScopes()
	}
	c := Client{ID: s.id("", 32), Name: name, Secret: s.id("", 64), Audience: t.systemAudience(), Scopes: scopes}
	s.addMachine(t.cfg.Name, &machine{id: c.ID, name: name, api: t.apis[0], scopes: scopes}, c.Secret)
	return c
}

func (t *Tenant) newSettings() document {
	return document{
		"friendly_name": t.cfg.Name, "default_directory": databaseConnection, "default_audience": "", "idle_session_lifetime": 72, "session_lifetime": 168,
		"enabled_locales": []any{"en"}, "sandbox_version": "22", "sandbox_versions_available": []any{"22", "18"}, "support_email": "", "support_url": "",
		"picture_url": "", "flags": document{"disable_clickjack_protection_headers": false, "enable_sso": true, "no_disclose_enterprise_connections": false},
		"allow_organization_name_in_authentication_api": false,
	}
}

// addAPI adds a resource server; that of the Management API is Auth0's own.
func (s *store) addAPI(a *api) {
	d := resourceServerDefaults()
	name := a.audience[strings.LastIndex(a.audience, "/")+1:]
	scopes := a.scopes
	if a.management {
		name, scopes = "Auth0 Management API", managementScopes()
	}
	list := make([]any, 0, len(scopes))
	for _, scope := range scopes {
		list = append(list, document{"value": scope, "description": describeScope(scope)})
	}
	d.set(document{
		"id": hexString(s.rng, 24), "name": name, "identifier": a.audience, "is_system": a.management, "scopes": list,
		"enforce_policies": false, "token_dialect": "access_token",
	})
	s.servers.put(d.text("id"), d)
}

func describeScope(scope string) string {
	verb, noun, _ := strings.Cut(scope, ":")
	return strings.ToUpper(verb[:1]) + verb[1:] + " " + strings.ReplaceAll(noun, "_", " ")
}

func (s *store) addMachine(tenant string, m *machine, secret string) {
	s.addClient(tenant, m.id, m.name, secret, document{
		"app_type": "non_interactive", "grant_types": []any{grantCredentials}, "token_endpoint_auth_method": "client_secret_post",
	})
	id := s.id("cgr_", 16)
	s.grants.put(id, document{
		"id": id, "client_id": m.id, "audience": m.api.audience, "scope": anyList(m.scopes), "subject_type": "client",
	})
}

func (s *store) addClient(tenant, id, name, secret string, more document) {
	d := clientDefaults()
	d.set(more)
	d.set(document{"client_id": id, "name": name, "client_secret": secret, "tenant": tenant})
	d.setDefaults(document{"global": false})
	d.child("jwt_configuration").set(document{"alg": "RS256", "lifetime_in_seconds": 36000, "secret_encoded": false})
	d.child("refresh_token").setDefaults(refreshDefaults())
	d["signing_keys"] = []any{document{"cert": "-----BEGIN CERTIFICATE-----\n" + s.id("", 64) + "\n-----END CERTIFICATE-----\n"}}
	s.clients.put(id, d)
}

func newDatabaseConnection() document {
	return document{
		"id": databaseConnectionID, "name": databaseConnection, "strategy": "auth0", "is_domain_connection": false, "realms": []any{databaseConnection},
		"options": document{
			"mfa": document{"active": true, "return_enroll_settings": true}, "passwordPolicy": "good", "strategy_version": 2,
			"brute_force_protection": true, "requires_username": false, "validation": document{"username": document{"min": 1, "max": 15}},
		},
	}
}

// addPerson adds a user who came some time before now. Nobody knows a
// password of the population's.
func (s *store) addPerson(p *person) {
	came := s.now().UTC().Add(-between(s.rng, 24*time.Hour, 700*24*time.Hour)).Format(dateLayout)
	s.users.put(p.id, document{
		"user_id": p.id, "email": p.email, "email_verified": true, "name": p.name, "nickname": p.email[:strings.Index(p.email, "@")], "picture": pictureOf(p.email),
		"created_at": came, "updated_at": came, "identities": []any{identityOf(databaseConnection, p.id)},
	})
}

func identityOf(connection, userID string) document {
	provider, id, _ := strings.Cut(userID, "|")
	return document{"connection": connection, "provider": provider, "user_id": id, "isSocial": false}
}

// managementScopes are all that the Management API has of what is served.
func managementScopes() []string {
	scopes := make([]string, 0, 200)
	add := func(list ...string) {
		for _, scope := range list {
			if !slices.Contains(scopes, scope) {
				scopes = append(scopes, scope)
			}
		}
	}
	for _, o := range operations() {
		add(o.scopes...)
	}
	add(strings.Fields(`read:users_app_metadata update:users_app_metadata create:users_app_metadata delete:users_app_metadata read:user_idp_tokens
		read:stats read:tenant_settings update:tenant_settings delete:sessions read:sessions delete:refresh_tokens read:refresh_tokens read:attack_protection
		update:client_keys delete:client_keys create:client_keys read:custom_domains read:branding read:guardian_factors read:email_provider read:prompts
		read:entitlements read:insights read:triggers update:triggers read:rules read:hooks read:device_credentials read:logs_users`)...)
	slices.Sort(scopes)
	return scopes
}

package provision

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// appState is an M2M application as it is, with its grants.
type appState struct {
	App
	Description string
	AuthMethod  string // "" where Auth0 does not say
	Grants      []grantState
}

// key is what the tenant keeps of machines.yaml; "" where it is not of that file.
func (a *appState) key() string { return validKey(a.Mark(MarkKey)) }

// open reports that an apply has made it and was not through with it: see
// Applier.makeApps. Nobody has its secret then.
func (a *appState) open() bool { return a.Mark(markClaim) != "" }

// validKey takes no key that the file could not have.
func validKey(key string) string {
	if !keyForm.MatchString(key) {
		return ""
	}
	return key
}

// grantState is a grant for an application as itself.
type grantState struct {
	Grant
	AllScopes     bool
	OrgUsage      string // "" where Auth0 does not say: deny
	AnyOrg        bool
	Organizations []organization // nil where they were not asked for
}

// organization is what is read of one.
type organization struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// userState is a programmatic user as it is.
type userState struct {
	User
	Members     map[string]any // of its document, with exact numbers
	Roles       []string       // names, sorted; nil where they were not asked for
	Permissions []Permission   // its own; nil where they were not asked for
}

func (u *userState) key() string { return validKey(u.Mark(MarkKey)) }

// metadata is app_metadata or user_metadata.
func (u *userState) metadata(name string) map[string]any {
	members, _ := u.Members[name].(map[string]any)
	return members
}

// roleState is a role as it is.
type roleState struct {
	Role
	Permissions []Permission // nil where they were not asked for
}

// stateReader reads what a tenant has.
type stateReader struct {
	api      API
	parallel int // how many calls are made at once; default 4
	onRead   OnProgress
}

// OnProgress is told how far long work is. It may be nil, and is called from
// several goroutines, one at a time.
type OnProgress func(what string, done, total int)

const defaultParallel = 4

// readsAtOnce bounds the calls that are made at once; what paces them is the API.
func (r *stateReader) readsAtOnce() int { return cmp.Or(r.parallel, defaultParallel) }

// each reads something of each of n, some at once, and tells how far it is.
func (r *stateReader) each(ctx context.Context, what string, n int, do func(ctx context.Context, i int) error) error {
	var (
		mu   sync.Mutex // guards done
		done int
	)
	return inParallel(ctx, r.readsAtOnce(), n, func(ctx context.Context, i int) error {
		err := do(ctx, i)
		mu.Lock()
		defer mu.Unlock()
		if done++; r.onRead != nil {
			r.onRead(what, done, n)
		}
		return err
	})
}

// inParallel does something for each of n, some at once, until one fails.
func inParallel(ctx context.Context, atOnce, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var all sync.WaitGroup
	for range min(atOnce, n) {
		all.Go(func() {
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	all.Wait()
	return context.Cause(ctx)
}

// appFields are the members that are read of an application. The secret is not
// among them, whatever the token may read.
const appFields = "client_id,name,description,app_type,grant_types,client_metadata,token_endpoint_auth_method,client_authentication_methods"

// apps reads all M2M applications without their grants, in the order of their ids.
func (r *stateReader) apps(ctx context.Context) ([]*appState, error) {
	var apps []*appState
	query := url.Values{"is_global": {"false"}, "fields": {appFields}, "include_fields": {"true"}}
	for raw, err := range r.api.List(ctx, []string{"clients"}, "clients", query) {
		if err != nil {
			return nil, fmt.Errorf("read the applications: %w", err)
		}
		a, err := readAppState(raw)
		if err != nil {
			return nil, err
		}
		if slices.Contains(a.GrantTypes, "client_credentials") {
			apps = append(apps, a)
		}
	}
	slices.SortFunc(apps, func(a, b *appState) int { return strings.Compare(a.ID, b.ID) })
	return apps, nil
}

func readAppState(raw json.RawMessage) (*appState, error) {
	app, err := readApp(raw)
	if err != nil {
		return nil, err
	}
	var more struct {
		Description string                     `json:"description"`
		Method      string                     `json:"token_endpoint_auth_method"`
		Methods     map[string]json.RawMessage `json:"client_authentication_methods"`
	}
	if err := json.Unmarshal(raw, &more); err != nil {
		return nil, fmt.Errorf("read the application: %w", err)
	}
	a := &appState{App: app, Description: more.Description, AuthMethod: more.Method}
	for _, method := range sortedNames(more.Methods) {
		a.AuthMethod = method // private_key_jwt, tls_client_auth, …
	}
	return a, nil
}

// grants reads those of the applications, all of the tenant's in one list: one call
// for a hundred of them, instead of one for each application.
func (r *stateReader) grants(ctx context.Context, apps []*appState) error {
	byID := make(map[string]*appState, len(apps))
	for _, a := range apps {
		byID[a.ID] = a
	}
	for raw, err := range r.api.List(ctx, []string{"client-grants"}, "client_grants", nil) {
		if err != nil {
			return fmt.Errorf("read the client grants: %w", err)
		}
		g, err := readGrantState(raw)
		if err != nil {
			return err
		}
		if a := byID[g.ClientID]; a != nil && cmp.Or(g.Subject, subjectClient) == subjectClient {
			a.Grants = append(a.Grants, g)
		}
	}
	for _, a := range apps {
		slices.SortFunc(a.Grants, func(x, y grantState) int { return strings.Compare(x.Audience, y.Audience) })
	}
	return nil
}

func readGrantState(raw json.RawMessage) (grantState, error) {
	g := grantState{Grant: Grant{Raw: raw}}
	var more struct {
		AllScopes *bool   `json:"allow_all_scopes"`
		OrgUsage  *string `json:"organization_usage"`
		AnyOrg    *bool   `json:"allow_any_organization"`
	}
	if err := errors.Join(json.Unmarshal(raw, &g.Grant), json.Unmarshal(raw, &more)); err != nil {
		return g, fmt.Errorf("read the grant: %w", err)
	}
	g.AllScopes, g.AnyOrg = deref(more.AllScopes), deref(more.AnyOrg)
	g.OrgUsage = deref(more.OrgUsage)
	slices.Sort(g.Scopes)
	g.Scopes = slices.Compact(g.Scopes)
	return g, nil
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// organizations reads to which ones a grant is open.
func (r *stateReader) organizations(ctx context.Context, g *grantState) error {
	raws, err := collect(ctx, r.api, []string{"client-grants", g.ID, "organizations"}, "organizations", nil)
	if err != nil {
		return fmt.Errorf("read the organizations of grant %s: %w", g.ID, err)
	}
	g.Organizations, err = decode[organization](raws)
	slices.SortFunc(g.Organizations, func(a, b organization) int { return strings.Compare(a.Name, b.Name) })
	return err
}

// searchCap is how many users a search pages through.
const searchCap = 1000

// programmaticUsers searches the users that are marked. A search does not see the
// last seconds, so what is decided by it has to be looked at again. More than a
// search pages through come in pieces, one after the other by when they were made.
func (r *stateReader) programmaticUsers(ctx context.Context) ([]*userState, error) {
	var users []*userState
	seen := map[string]bool{}
	for since := ""; ; {
		last, n, fresh := since, 0, 0
		for n < searchCap {
			page, err := r.searchPage(ctx, since, n/userPage)
			if err != nil {
				return nil, fmt.Errorf("search the programmatic users: %w", err)
			}
			for _, u := range page {
				if n++; !seen[u.ID] {
					seen[u.ID] = true
					users, fresh = append(users, u), fresh+1
				}
				last, _ = u.Members["created_at"].(string)
			}
			if len(page) < userPage {
				slices.SortFunc(users, func(a, b *userState) int { return strings.Compare(a.ID, b.ID) })
				return users, nil
			}
		}
		if fresh == 0 || last == since {
			return nil, fmt.Errorf("search the programmatic users: more than %d were made at %s, and Auth0 shows no more of them", searchCap, since)
		}
		since = last
	}
}

const userPage = 100

// userFields are the members that are read of a user.
const userFields = "user_id,email,username,name,blocked,app_metadata,user_metadata,created_at,identities"

func (r *stateReader) searchPage(ctx context.Context, since string, page int) ([]*userState, error) {
	q := "app_metadata.programmatic:true"
	if since != "" {
		q += " AND created_at:[" + since + " TO *]"
	}
	raw, err := r.api.Get(ctx, []string{"users"}, url.Values{
		"q": {q}, "search_engine": {"v3"}, "sort": {"created_at:1"}, "page": {strconv.Itoa(page)}, "per_page": {strconv.Itoa(userPage)},
		"fields": {userFields}, "include_fields": {"true"},
	})
	if err != nil {
		return nil, err
	}
	raws, err := readArray(raw)
	if err != nil {
		return nil, err
	}
	users := make([]*userState, 0, len(raws))
	for _, raw := range raws {
		u, err := readUserState(raw)
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, nil
}

func readArray(raw json.RawMessage) (raws []json.RawMessage, err error) {
	if err := json.Unmarshal(raw, &raws); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return raws, nil
}

func readUserState(raw json.RawMessage) (*userState, error) {
	user, err := readUser(raw)
	if err != nil {
		return nil, err
	}
	u := &userState{User: user}
	return u, readExactly(raw, &u.Members)
}

// user reads one at once, whatever searches see; nil where there is none.
func (r *stateReader) user(ctx context.Context, id string) (*userState, error) {
	raw, err := r.api.Get(ctx, []string{"users", id}, nil)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("user %s: %w", id, err)
	}
	return readUserState(raw)
}

// roles reads all roles without their permissions, in the order of their names.
func (r *stateReader) roles(ctx context.Context) ([]*roleState, error) {
	list, err := (&Roles{r.api}).List(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("read the roles: %w", err)
	}
	roles := make([]*roleState, 0, len(list))
	for _, role := range list {
		roles = append(roles, &roleState{Role: role})
	}
	slices.SortFunc(roles, func(a, b *roleState) int { return strings.Compare(a.Name, b.Name) })
	return roles, nil
}

// rolePermissions reads what some roles permit.
func (r *stateReader) rolePermissions(ctx context.Context, roles []*roleState) error {
	return r.each(ctx, "permissions of roles", len(roles), func(ctx context.Context, i int) error {
		_, permissions, err := directPermissions(ctx, r.api, []string{"roles", roles[i].ID, "permissions"})
		if err != nil {
			return fmt.Errorf("read the permissions of role %s: %w", roles[i].Name, err)
		}
		roles[i].Permissions = sortPermissions(permissions)
		return nil
	})
}

// sortPermissions sorts, and makes none an empty list.
func sortPermissions(list []Permission) []Permission {
	if list == nil {
		list = []Permission{}
	}
	slices.SortFunc(list, func(a, b Permission) int {
		return cmp.Or(strings.Compare(a.API, b.API), strings.Compare(a.Name, b.Name))
	})
	return list
}

// userPermissions reads what some users may do by themselves: one call for each,
// since nothing lists them by API.
func (r *stateReader) userPermissions(ctx context.Context, users []*userState) error {
	return r.each(ctx, "permissions of users", len(users), func(ctx context.Context, i int) error {
		_, permissions, err := directPermissions(ctx, r.api, []string{"users", users[i].ID, "permissions"})
		if err != nil {
			return fmt.Errorf("read the permissions of user %s: %w", users[i].ID, err)
		}
		users[i].Permissions = sortPermissions(permissions)
		return nil
	})
}

// userRoles reads which of the tenant's roles some users have: by the roles, a
// hundred users a call, unless that takes more calls than to ask for each user. It
// takes twice as many as the cheaper way at most.
func (r *stateReader) userRoles(ctx context.Context, users []*userState, roles []*roleState) error {
	byRole, err := r.rolesByMembers(ctx, users, roles)
	if err != nil || byRole {
		return err
	}
	return r.each(ctx, "roles of users", len(users), func(ctx context.Context, i int) error {
		raws, err := collect(ctx, r.api, []string{"users", users[i].ID, "roles"}, "roles", nil)
		if err != nil {
			return fmt.Errorf("read the roles of user %s: %w", users[i].ID, err)
		}
		list, err := decode[Role](raws)
		users[i].Roles = []string{}
		for _, role := range list {
			users[i].Roles = append(users[i].Roles, role.Name)
		}
		slices.Sort(users[i].Roles)
		return err
	})
}

// rolesByMembers reads who has each role, and reports false when that takes more
// calls than there are users.
func (r *stateReader) rolesByMembers(ctx context.Context, users []*userState, roles []*roleState) (bool, error) {
	if len(roles) >= len(users) {
		return len(users) == 0, nil
	}
	names := make(map[string][]string, len(users))
	calls := 0
	for _, role := range roles {
		n := 0
		for raw, err := range r.api.List(ctx, []string{"roles", role.ID, "users"}, "users", nil) {
			if err != nil {
				return false, fmt.Errorf("read who has role %s: %w", role.Name, err)
			}
			var member struct {
				ID string `json:"user_id"`
			}
			if err := json.Unmarshal(raw, &member); err != nil {
				return false, fmt.Errorf("read who has role %s: %w", role.Name, err)
			}
			names[member.ID] = append(names[member.ID], role.Name)
			if n++; calls+n/userPage > len(users) {
				return false, nil
			}
		}
		calls += 1 + n/userPage
	}
	for _, u := range users {
		u.Roles = append([]string{}, names[u.ID]...) // roles are in the order of their names
	}
	return true, nil
}

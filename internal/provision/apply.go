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
	"sync"
	"time"
)

// Applier makes a tenant as a plan says.
//
// It may be cut short at any step, and begins again with a new plan: what it makes
// carries the key of the file from its first moment, so nothing is made twice.
//
//   - A user gets its id from its key, and a role has its name: a second POST of
//     either is refused by the tenant, whoever sends it.
//   - Nothing of an application is unique but what Auth0 chooses. See makeApps.
//   - A secret is on disk before the tenant knows it. See SecretsDir.
type Applier struct {
	API     API
	Secrets *SecretsDir // wanted where the plan makes applications or users
	// Delete has it delete what the plan proposes; KeepApp and KeepUser keep a backup
	// before, and are nil where there is to be none.
	Delete   bool
	KeepApp  func(*AppBackup) error
	KeepUser func(*UserBackup) error

	Parallel int // how many calls are made at once; default 4
	// Patience is how long an application that another apply has begun is left to
	// it, before it is taken for dead. Default 2 minutes.
	Patience time.Duration
	OnDo     OnProgress // of changes
	// OnMade is told of what was made, of OnDo's goroutines.
	OnMade func(kind, key, id string)

	plan  *Plan
	read  *stateReader
	mu    sync.Mutex        // guards what follows
	roles map[string]string // ids by name; read alone once the roles are made
	done  int
	errs  []error
}

const defaultPatience = 2 * time.Minute

// maxFailures is after how many it is not tried any further.
const maxFailures = 20

// Check tells what the plan needs and this Applier has not, before anything is
// done.
func (a *Applier) Check(p *Plan) error {
	var errs []error
	for _, c := range p.Changes {
		if c.Action != ActionCreate || c.Kind == KindRole {
			continue
		}
		if a.Secrets == nil {
			return fmt.Errorf("%s %s is to be made: where does its secret go?", c.Kind, c.Key)
		}
		errs = append(errs, a.Secrets.free(c.Kind, c.Key))
	}
	return errors.Join(errs...)
}

// Disarms reports whether the plan takes an application away, or grants of it, or
// what it may do at the Management API: what of itself m2mwatch could not undo.
func (p *Plan) Disarms(clientID string) bool {
	return slices.ContainsFunc(p.Changes, func(c *Change) bool {
		taken := c.Action == ActionDelete || c.app != nil && slices.ContainsFunc(c.app.grants, (*grantChange).disarms)
		return c.Kind == KindApplication && c.ID == clientID && taken
	})
}

// disarms reports whether a change takes a grant away, or scopes of the Management
// API. That is known by the end of its identifier: the tenant may be called by a name
// of its own.
func (c *grantChange) disarms() bool {
	return c.action == ActionDelete || c.takes && strings.HasSuffix(c.audience, "/api/v2/")
}

// Todo is how many changes of a plan it makes: without Delete, no deletions.
func (a *Applier) Todo(p *Plan) int {
	if a.Delete {
		return len(p.Changes)
	}
	return len(p.Changes) - p.Count(ActionDelete)
}

// Apply does what the plan says. What fails does not keep the rest from being done;
// the error has all of it.
func (a *Applier) Apply(ctx context.Context, p *Plan) error {
	if err := errors.Join(a.Recover(ctx, p), a.Check(p)); err != nil {
		return err
	}
	a.plan, a.read, a.roles, a.done, a.errs = p, &stateReader{a.API, a.Parallel, nil}, map[string]string{}, 0, nil
	for _, r := range p.roles {
		a.roles[r.Name] = r.ID
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.each(ctx, cancel, KindRole, a.role)
	a.makeApps(ctx, cancel)
	a.each(ctx, cancel, KindApplication, a.app)
	a.each(ctx, cancel, KindUser, a.user)
	if err := ctx.Err(); err != nil && len(a.errs) == 0 {
		return err
	}
	return errors.Join(a.errs...)
}

// Recover gives the secrets of an apply that was cut short their own names, where
// what they are of is there and was made with them; where it was made with others,
// they are of no use. Apply begins with it.
func (a *Applier) Recover(ctx context.Context, p *Plan) error {
	if a.Secrets == nil {
		return nil
	}
	var errs []error
	for _, s := range a.Secrets.all() {
		made, there := p.requests[s.kind+" "+s.key]
		if there && made != s.request && s.kind == KindUser { // a search may have told of another that is gone
			u, err := (&stateReader{a.API, 1, nil}).user(ctx, idOfKey(s.key))
			if err != nil {
				return err
			}
			if there = u != nil; there {
				made = u.Mark(markRequest)
			}
		}
		switch {
		case !there: // it will be made with it
		case made == s.request:
			errs = append(errs, a.Secrets.keep(s))
		default:
			errs = append(errs, a.Secrets.drop(s))
		}
	}
	return errors.Join(errs...)
}

// each does the changes of a kind, some at once.
func (a *Applier) each(ctx context.Context, cancel context.CancelFunc, kind string, do func(context.Context, *Change) error) {
	var list []*Change
	for _, c := range a.plan.Changes {
		if c.Kind == kind && (c.Action != ActionDelete || a.Delete) && !c.failed {
			list = append(list, c)
		}
	}
	_ = inParallel(ctx, cmp.Or(a.Parallel, defaultParallel), len(list), func(ctx context.Context, i int) error {
		err := do(ctx, list[i])
		a.told(ctx, cancel, list[i], err)
		return nil // the others go on
	})
}

// told counts a change, and keeps its error. After too many nothing more is begun.
func (a *Applier) told(ctx context.Context, cancel context.CancelFunc, c *Change, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		c.failed = true
		if ctx.Err() == nil || len(a.errs) == 0 {
			a.errs = append(a.errs, fmt.Errorf("%s %s: %w", c.Kind, c.Key, err))
		}
		if len(a.errs) == maxFailures {
			a.errs = append(a.errs, fmt.Errorf("%d changes have failed: the others are not tried", maxFailures))
			cancel()
		}
		return
	}
	if a.done++; a.OnDo != nil {
		a.OnDo(c.Kind+" "+c.Key, a.done, a.Todo(a.plan))
	}
}

// made tells of something that is there now.
func (a *Applier) made(kind, key, id string) {
	if a.OnMade != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.OnMade(kind, key, id)
	}
}

func (a *Applier) role(ctx context.Context, c *Change) error {
	id := c.ID
	switch {
	case c.Action == ActionCreate:
		find := func() (json.RawMessage, error) {
			role, err := roleNamed(ctx, a.API, c.Key)
			return role.Raw, err
		}
		raw, err := create(ctx, a.API, []string{"roles"}, c.body, find)
		if errors.Is(err, ErrConflict) {
			raw, err = find() // another apply has made it
		}
		if err != nil {
			return err
		}
		role, err := readRole(raw)
		if err != nil {
			return err
		}
		id = role.ID
		a.made(KindRole, c.Key, id)
	case c.body != nil:
		if _, err := (&Roles{a.API}).Update(ctx, id, c.body); err != nil {
			return err
		}
	}
	a.mu.Lock()
	a.roles[c.Key] = id
	a.mu.Unlock()
	return a.permit(ctx, []string{"roles", id, "permissions"}, c.role.add, c.role.remove)
}

// permit gives a role or a user permissions, and takes some away.
func (a *Applier) permit(ctx context.Context, path []string, add, drop []Permission) error {
	if len(add) > 0 {
		if err := addPermissions(ctx, a.API, path, add); err != nil {
			return err
		}
	}
	if len(drop) == 0 {
		return nil
	}
	return settle(func() error {
		return a.API.Delete(ctx, path, map[string]any{"permissions": drop})
	}, func() ([]string, error) { return permissionsWhere(ctx, a.API, path, drop, true) })
}

func (a *Applier) user(ctx context.Context, c *Change) error {
	id := c.ID
	switch {
	case c.Action == ActionDelete:
		return a.deleteUser(ctx, c)
	case c.Action == ActionCreate:
		var err error
		if id, err = a.makeUser(ctx, c); err != nil {
			return err
		}
	case c.body != nil:
		if err := a.changeUser(ctx, c); err != nil {
			return err
		}
	}
	roles := func(names []string) (list []Role) {
		for _, name := range names {
			list = append(list, Role{ID: a.roles[name], Name: name})
		}
		return list
	}
	if i := slices.IndexFunc(c.user.addRoles, func(name string) bool { return a.roles[name] == "" }); i >= 0 {
		return fmt.Errorf("the role %s was not made", c.user.addRoles[i])
	}
	if err := assignRoles(ctx, a.API, id, roles(c.user.addRoles)); err != nil {
		return err
	}
	if err := a.unassign(ctx, id, roles(c.user.dropRole)); err != nil {
		return err
	}
	return a.permit(ctx, []string{"users", id, "permissions"}, c.user.add, c.user.remove)
}

// unassign takes roles from a user, which another apply may have done meanwhile.
func (a *Applier) unassign(ctx context.Context, id string, roles []Role) error {
	path := []string{"users", id, "roles"}
	for some := range slices.Chunk(roles, rolesPerCall) {
		err := settle(func() error {
			return a.API.Delete(ctx, path, map[string]any{"roles": idsOf(some)})
		}, func() ([]string, error) { return rolesWhere(ctx, a.API, path, some, true) })
		if err != nil {
			return err
		}
	}
	return nil
}

// makeUser makes a user under the id of its key. Whoever has that id already was
// made by an apply, this one or another at the same time; the request tells which,
// and so whose password it has.
func (a *Applier) makeUser(ctx context.Context, c *Change) (string, error) {
	secret, err := a.Secrets.pending(KindUser, c.Key)
	if err != nil {
		return "", err
	}
	w, id := c.user.want, idOfKey(c.Key)
	find := func() (json.RawMessage, error) { return a.API.Get(ctx, []string{"users", id}, nil) }
	raw, err := create(ctx, a.API, []string{"users"}, userBody(c, w, secret), find)
	refused := errors.Is(err, ErrConflict)
	if refused {
		if found, failed := find(); failed == nil {
			raw, err = found, nil
		}
	}
	if err != nil {
		if !errors.Is(err, ErrMaybeDone) && ctx.Err() == nil {
			err = errors.Join(err, a.Secrets.drop(secret)) // Auth0 has refused it
		}
		if refused {
			err = fmt.Errorf("%w: another user%s has its email address or user name; name that one with adopt to have it managed here", err, a.namesake(ctx, w))
		}
		return "", err
	}
	user, err := readUser(raw)
	switch {
	case err != nil:
		return "", err
	case user.Mark(markRequest) == secret.request:
		err = a.Secrets.keep(secret)
	case user.Mark(MarkKey) == c.Key:
		err = a.Secrets.drop(secret) // another apply has made it, and has its password
	default:
		err = fmt.Errorf("%s is there and has not the key: name it with adopt", id)
	}
	a.made(KindUser, c.Key, user.ID)
	return user.ID, err
}

// namesake is the id of the user that has an email address already, where that is
// known.
func (a *Applier) namesake(ctx context.Context, w *WantedUser) string {
	if w.Email == nil {
		return ""
	}
	raw, err := a.API.Get(ctx, []string{"users-by-email"}, url.Values{"email": {strings.ToLower(*w.Email)}})
	raws, failed := readArray(raw)
	if err != nil || failed != nil {
		return "" // it only helps
	}
	for _, raw := range raws {
		if u, err := readUser(raw); err == nil && u.Connection() == w.connection() {
			return ", " + u.ID + ","
		}
	}
	return ""
}

// userBody is the POST's. Nobody is there to read a mail that asks to verify an
// address.
func userBody(c *Change, w *WantedUser, secret *pending) map[string]any {
	body := maps.Clone(c.body)
	app := map[string]any{markRequest: secret.request}
	if marks, ok := body["app_metadata"].(map[string]any); ok {
		for name, value := range marks {
			if value != nil {
				app[name] = value
			}
		}
	}
	id := idOfKey(w.Key)[len(databaseProvider)+1:]
	body["app_metadata"], body["connection"], body["user_id"] = app, w.connection(), id
	body["password"], body["verify_email"] = secret.secret, false
	return body
}

// changeUser changes what is in a user's document. Auth0 changes a user name and an
// email address one after the other alone. Nobody is there to read a mail that asks
// to verify an address.
func (a *Applier) changeUser(ctx context.Context, c *Change) error {
	users := &Users{a.API}
	body := maps.Clone(c.body)
	if name, ok := body["username"]; ok && len(body) > 1 {
		delete(body, "username")
		if _, err := users.Update(ctx, c.ID, map[string]any{"username": name}); err != nil {
			return err
		}
	}
	sent := maps.Clone(body)
	if body["email"] != nil {
		sent["verify_email"] = false
	}
	return settle(func() error {
		_, err := a.API.Patch(ctx, []string{"users", c.ID}, sent)
		return err
	}, func() ([]string, error) {
		is, err := users.Get(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		return differences(is.Raw, body)
	})
}

// deleteUser deletes a user that still has the key with which it was planned.
func (a *Applier) deleteUser(ctx context.Context, c *Change) error {
	users := &Users{a.API}
	is, err := users.Get(ctx, c.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case is.Mark(MarkKey) != c.Key:
		return fmt.Errorf("%s has not the key %s any more: it is not deleted", c.ID, c.Key)
	case !a.plan.any && !is.Programmatic():
		return fmt.Errorf("%s is not deleted: %w", c.ID, errPerson)
	}
	return users.Delete(ctx, c.ID, a.KeepUser)
}

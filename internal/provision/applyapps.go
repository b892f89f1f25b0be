package provision

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// markClaim is a member of client_metadata of an application that an apply has made
// and is not through with: nobody has its secret, and it has no grants.
const markClaim = "m2mwatch_claim"

// appsAtOnce is how many are made before it is looked who else has made some. They
// have to be through before another apply takes them for dead.
const appsAtOnce = 25

// makeApps makes the applications that are not there. Auth0 takes two of one name,
// and has neither an id of our choice nor a time by which to tell the older; so two
// applies at once would make twins. Hence each is made with a claim, and what has
// one is of no use to anybody:
//
//  1. POST, with the key, the id of the request and the claim. Its secret is not
//     looked at.
//  2. List all. Where one of the key has no claim, it is the one: ours goes away.
//     Where another has a claim, the smaller id stays: ours goes away, or we wait
//     until the other is gone.
//  3. Where ours is alone, PATCH takes the claim away and gives it the secret that
//     is on disk already.
//
// Two can never both take their claims away: of two that have both been made before
// either is listed, each sees the other; and else the later sees the earlier. A lost
// answer, of whichever step, is a list again. What an apply that died has left is
// gone on with by who has its folder of secrets, and deleted by others, after Patience
// or beside one that serves. An apply that is alive all the same finds its own gone
// before anybody has used it, and makes another.
//
// A lock at the tenant would serialize the applies, but who holds one can stall and
// wake up after its lease has ended, and makes a twin then; the claims do not mind.
func (a *Applier) makeApps(ctx context.Context, cancel context.CancelFunc) {
	var list []*making
	for _, c := range a.plan.Changes {
		if c.Kind == KindApplication && c.Action == ActionCreate {
			list = append(list, &making{change: c})
		}
	}
	apps := a.plan.apps
	for range tries {
		for batch := range slices.Chunk(list, appsAtOnce) {
			apps = a.makeBatch(ctx, cancel, batch, apps)
		}
		if list = a.twins(ctx, cancel, list); len(list) == 0 {
			break
		}
	}
	for _, m := range list {
		m.err = errors.New("it has a twin each time that it is made: run one apply at a time")
		a.ended(ctx, cancel, m)
	}
	if ctx.Err() == nil {
		a.sweep(ctx)
	}
}

// twins looks at the end whether any that were made are there twice: that is, whether
// a list did not show what had been made before it, which nothing promises. Ours go
// away then, before they have a grant, and are made anew; so is what is gone.
func (a *Applier) twins(ctx context.Context, cancel context.CancelFunc, list []*making) (again []*making) {
	list = slices.DeleteFunc(list, func(m *making) bool { return !m.ours })
	if len(list) == 0 || ctx.Err() != nil {
		return nil
	}
	apps, err := a.read.apps(ctx)
	serving := map[string][]*appState{}
	for _, app := range apps {
		if !app.open() {
			serving[app.key()] = append(serving[app.key()], app)
		}
	}
	for _, m := range list {
		these := serving[m.change.Key]
		there := slices.ContainsFunc(these, func(app *appState) bool { return app.ID == m.change.ID })
		if m.err = err; err == nil && (len(these) > 1 || !there) { // gone: somebody took it for dead
			m.err = a.unmake(ctx, m)
			again = append(again, m)
		}
		if m.err != nil {
			a.ended(ctx, cancel, m)
		}
	}
	return slices.DeleteFunc(again, func(m *making) bool { return m.err != nil })
}

// unmake takes away one that we have made a moment ago.
func (a *Applier) unmake(ctx context.Context, m *making) error {
	if err := a.API.Delete(ctx, []string{"clients", m.change.ID}, nil); err != nil {
		return err
	}
	if err := a.Secrets.forget(KindApplication, m.change.Key); err != nil {
		return err
	}
	m.change.ID, m.done, m.ours, m.posts = "", false, false, 0
	return nil
}

// making is an application while it is made.
type making struct {
	change *Change
	secret *pending
	posts  int
	since  time.Time // when it began to wait for others
	others string    // their ids
	done   bool
	ours   bool // it was made here, and not by another apply
	err    error
}

// pauseOfClaims is between two looks at what another apply has begun.
const pauseOfClaims = 2 * time.Second

// makeBatch makes some, and returns the applications as they were listed last.
func (a *Applier) makeBatch(ctx context.Context, cancel context.CancelFunc, batch []*making, apps []*appState) []*appState {
	for _, m := range batch {
		m.others = ""
		if m.secret, m.err = a.Secrets.pending(KindApplication, m.change.Key); m.err != nil {
			a.ended(ctx, cancel, m)
		}
	}
	for {
		byKey := map[string][]*appState{}
		for _, app := range apps {
			byKey[app.key()] = append(byKey[app.key()], app)
		}
		waits := a.stepAll(ctx, cancel, batch, byKey)
		if ctx.Err() != nil || !slices.ContainsFunc(batch, func(m *making) bool { return !m.done }) {
			return apps
		}
		if waits && rest(ctx, pauseOfClaims) != nil {
			return apps
		}
		var err error
		if apps, err = a.read.apps(ctx); err != nil {
			for _, m := range batch {
				if !m.done {
					m.err = err
					a.ended(ctx, cancel, m)
				}
			}
			return apps
		}
	}
}

// rest waits, no longer than ctx.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stepAll goes a step on with each, and reports that all that can be done is to
// wait.
func (a *Applier) stepAll(ctx context.Context, cancel context.CancelFunc, batch []*making, byKey map[string][]*appState) bool {
	waits := make([]bool, len(batch))
	_ = inParallel(ctx, cmp.Or(a.Parallel, defaultParallel), len(batch), func(ctx context.Context, i int) error {
		m := batch[i]
		if m.done {
			waits[i] = true
			return nil
		}
		if waits[i], m.err = a.step(ctx, m, byKey[m.change.Key]); m.err != nil || m.done {
			a.ended(ctx, cancel, m)
		}
		return nil
	})
	return !slices.Contains(waits, false)
}

// ended tells of what cannot be made.
func (a *Applier) ended(ctx context.Context, cancel context.CancelFunc, m *making) {
	m.done = true
	if m.err != nil {
		a.told(ctx, cancel, m.change, m.err)
	}
}

// step does what the applications of a key ask for.
func (a *Applier) step(ctx context.Context, m *making, apps []*appState) (waits bool, err error) {
	var mine, others []*appState // in the order of their ids
	for _, app := range apps {
		switch {
		case !app.open():
			return false, a.serve(ctx, m, app, apps)
		case app.Mark(markRequest) == m.secret.request:
			mine = append(mine, app)
		default:
			others = append(others, app)
		}
	}
	for i, app := range mine {
		if i > 0 || len(others) > 0 && others[0].ID < app.ID { // the answer of one was lost, or another stays
			if err := a.API.Delete(ctx, []string{"clients", app.ID}, nil); err != nil {
				return false, err
			}
			mine = mine[:i]
			break
		}
	}
	switch {
	case len(others) > 0:
		return a.outwait(ctx, m, others)
	case len(mine) == 0:
		return false, a.post(ctx, m)
	}
	return false, a.settle(ctx, m, mine[0])
}

// outwait waits for what other applies have begun, and deletes what has not changed
// for so long that whoever has begun it is taken for dead.
func (a *Applier) outwait(ctx context.Context, m *making, others []*appState) (waits bool, err error) {
	if ids := idsOfApps(others); ids != m.others {
		m.others, m.since = ids, time.Now()
	}
	if time.Since(m.since) < cmp.Or(a.Patience, defaultPatience) {
		return true, nil
	}
	m.others = ""
	for _, other := range others {
		if err := a.API.Delete(ctx, []string{"clients", other.ID}, nil); err != nil {
			return false, err
		}
	}
	return false, nil
}

// post makes one, with a claim. Whether a lost one was made, the list tells: if it
// comes about later still, it has a claim and is of no use.
func (a *Applier) post(ctx context.Context, m *making) error {
	if m.posts++; m.posts > tries {
		return errors.New("it was to be made several times, and is not there")
	}
	metadata := map[string]any{MarkKey: m.change.Key, markRequest: m.secret.request, markClaim: "open"}
	body := map[string]any{"app_type": "non_interactive", "grant_types": []string{"client_credentials"}}
	maps.Copy(body, m.change.body)
	if marks, ok := m.change.body["client_metadata"].(map[string]any); ok {
		maps.Copy(metadata, marks)
	}
	body["client_metadata"] = metadata
	_, err := a.API.Post(ctx, []string{"clients"}, body)
	if err == nil || errors.Is(err, ErrMaybeDone) && ctx.Err() == nil {
		return nil
	}
	if !errors.Is(err, ErrMaybeDone) && ctx.Err() == nil && m.posts == 1 {
		err = errors.Join(err, a.Secrets.drop(m.secret)) // Auth0 has refused it
	}
	return err
}

// settle takes the claim away and gives the application the secret on disk.
func (a *Applier) settle(ctx context.Context, m *making, app *appState) error {
	marks := map[string]any{markClaim: nil, markRequest: m.secret.request}
	var is App
	err := settle(func() error {
		_, err := a.API.Patch(ctx, []string{"clients", app.ID}, map[string]any{"client_metadata": marks, "client_secret": m.secret.secret})
		return err
	}, func() (left []string, err error) {
		if is, err = (&Apps{a.API}).Get(ctx, app.ID); err != nil {
			return nil, err
		}
		return differences(is.Raw, map[string]any{"client_metadata": marks})
	})
	if errors.Is(err, ErrNotFound) {
		return nil // another apply has taken this one for dead: look again
	}
	if err != nil {
		return err
	}
	return a.serve(ctx, m, &appState{App: is}, nil)
}

// serve takes an application for the one of the key. What has a claim beside it is
// of no use.
func (a *Applier) serve(ctx context.Context, m *making, app *appState, all []*appState) error {
	for _, other := range all {
		if other.open() && other.Mark(markRequest) == m.secret.request {
			if err := a.API.Delete(ctx, []string{"clients", other.ID}, nil); err != nil {
				return err
			}
		}
	}
	m.done, m.change.ID = true, app.ID
	if app.Mark(markRequest) != m.secret.request {
		return a.Secrets.drop(m.secret) // another apply has made it, and has its secret
	}
	m.ours = true
	a.made(KindApplication, m.change.Key, app.ID)
	return a.Secrets.keep(m.secret)
}

// sweep deletes what has a claim beside one that serves, of those that the plan told
// of: made by an apply, and of no use to anybody.
func (a *Applier) sweep(ctx context.Context) {
	for _, l := range a.plan.Leftovers {
		err := a.sweepOne(ctx, l.ID)
		if err != nil {
			a.mu.Lock()
			a.errs = append(a.errs, fmt.Errorf("application %s: what an apply has left of it: %w", l.Key, err))
			a.mu.Unlock()
		}
	}
}

// sweepOne looks once more whether it still has a claim.
func (a *Applier) sweepOne(ctx context.Context, id string) error {
	is, err := (&Apps{a.API}).Get(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case is.Mark(markClaim) == "":
		return nil // a twin, of which the next plan tells
	}
	return remove(ctx, a.API, "application "+id, []string{"clients", id})
}

// app changes or deletes an application, and gives one that is there now its
// grants.
func (a *Applier) app(ctx context.Context, c *Change) error {
	switch {
	case c.Action == ActionDelete:
		return a.deleteApp(ctx, c)
	case c.Action == ActionChange && c.body != nil:
		if _, err := (&Apps{a.API}).Update(ctx, c.ID, c.body); err != nil {
			return err
		}
	}
	for _, g := range c.app.grants {
		if err := a.grant(ctx, c.ID, g); err != nil {
			return fmt.Errorf("grant of %s: %w", g.audience, err)
		}
	}
	return nil
}

func (a *Applier) grant(ctx context.Context, clientID string, c *grantChange) error {
	id := c.id
	switch {
	case c.action == ActionDelete:
		return remove(ctx, a.API, "grant "+id, []string{"client-grants", id})
	case c.action == ActionCreate:
		body := maps.Clone(c.body)
		body["client_id"], body["audience"] = clientID, c.audience
		made, err := (&Apps{a.API}).grant(ctx, body)
		if err != nil {
			return err
		}
		id = made.ID
	case len(c.body) > 0:
		if err := a.changeGrant(ctx, id, c.body); err != nil {
			return err
		}
	}
	return a.openGrant(ctx, id, c)
}

func (a *Applier) changeGrant(ctx context.Context, id string, body map[string]any) error {
	return settle(func() error {
		_, err := a.API.Patch(ctx, []string{"client-grants", id}, body)
		return err
	}, func() ([]string, error) {
		raw, err := a.API.Get(ctx, []string{"client-grants", id}, nil)
		if err != nil {
			return nil, err
		}
		is, err := readGrantState(raw)
		if err != nil {
			return nil, err
		}
		shown, err := json.Marshal(map[string]any{"scope": is.Scopes, "allow_all_scopes": is.AllScopes, "organization_usage": cmp.Or(is.OrgUsage, usageDeny), "allow_any_organization": is.AnyOrg})
		if err != nil {
			return nil, err
		}
		return differences(shown, body)
	})
}

// openGrant opens a grant to organizations, shuts it to others, and looks at it.
func (a *Applier) openGrant(ctx context.Context, id string, c *grantChange) error {
	if len(c.open)+len(c.shut) == 0 {
		return nil
	}
	return settle(func() error {
		for _, o := range c.open {
			_, err := a.API.Post(ctx, []string{"organizations", o.ID, "client-grants"}, map[string]any{"grant_id": id})
			if err != nil && !errors.Is(err, ErrConflict) { // a conflict is looked at below
				return err
			}
		}
		for _, o := range c.shut {
			if err := a.API.Delete(ctx, []string{"organizations", o.ID, "client-grants", id}, nil); err != nil {
				return err
			}
		}
		return nil
	}, func() (left []string, err error) {
		is := &grantState{Grant: Grant{ID: id}}
		if err := a.read.organizations(ctx, is); err != nil {
			return nil, err
		}
		open := func(o organization) bool {
			return slices.ContainsFunc(is.Organizations, func(other organization) bool { return other.ID == o.ID })
		}
		for _, o := range c.open {
			if !open(o) {
				left = append(left, "organization "+o.Name)
			}
		}
		for _, o := range c.shut {
			if open(o) {
				left = append(left, "organization "+o.Name)
			}
		}
		return left, nil
	})
}

// deleteApp deletes an application that still has the key with which it was
// planned.
func (a *Applier) deleteApp(ctx context.Context, c *Change) error {
	apps := &Apps{a.API}
	is, err := apps.Get(ctx, c.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case is.Mark(MarkKey) != c.Key:
		return fmt.Errorf("%s has not the key %s any more: it is not deleted", c.ID, c.Key)
	case !a.plan.any && !is.Machine():
		return fmt.Errorf("%s is not deleted: %w", c.ID, errPeople)
	}
	return apps.Delete(ctx, c.ID, a.KeepApp)
}

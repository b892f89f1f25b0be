package provision

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// appChange is what of an application is not in its document.
type appChange struct {
	want   *WantedApp
	is     *appState // nil of one that is to be made
	grants []*grantChange
}

// grantChange is what has to be done about one grant.
type grantChange struct {
	action   string
	audience string
	id       string         // of one that there is
	takes    bool           // scopes that it has
	body     map[string]any // of the POST, without client_id, or of the PATCH
	open     []organization // that it is to be open to
	shut     []organization // that it is open to and should not be
}

func (p *Planner) planApps(ctx context.Context) error {
	if p.file.Applications == nil {
		return nil
	}
	apps, err := p.read.apps(ctx)
	if err == nil {
		err = p.read.grants(ctx, apps)
	}
	if err != nil {
		return err
	}
	p.plan.apps = apps
	found := p.matchApps(apps)
	for key, a := range found {
		p.plan.requests[KindApplication+" "+key] = a.Mark(markRequest)
	}
	kept := map[string]bool{}
	for i := range p.file.Applications {
		w := &p.file.Applications[i]
		kept[w.Key] = true
		if err := p.planApp(ctx, w, found[w.Key]); err != nil {
			return err
		}
	}
	for _, a := range apps {
		switch key := a.key(); {
		case key == "" || found[key] == a || kept[key] && !a.open():
			// not of the file; what serves; or a twin, which matchApps has told of
		case a.open() && kept[key] && found[key] == nil:
			// apply goes on with it
		case a.open() && kept[key]:
			p.plan.Leftovers = append(p.plan.Leftovers, Leftover{key, a.ID})
		case !p.Any && !a.Machine():
			p.problems = append(p.problems, fmt.Errorf("application %s (%s) has the key of a file that has it no more, and is to be deleted: %w; or take %s out of its client_metadata", key, a.ID, errPeople, MarkKey))
		default:
			p.add(&Change{Action: ActionDelete, Kind: KindApplication, Key: key, ID: a.ID, Name: a.Name})
		}
	}
	return nil
}

// matchApps finds the application of each key that is wanted, and tells of what
// cannot be.
func (p *Planner) matchApps(apps []*appState) map[string]*appState {
	byID, byKey := map[string]*appState{}, map[string][]*appState{}
	for _, a := range apps {
		byID[a.ID] = a
		if !a.open() {
			byKey[a.key()] = append(byKey[a.key()], a)
		}
	}
	found := map[string]*appState{}
	for i := range p.file.Applications {
		w := &p.file.Applications[i]
		marked := byKey[w.Key]
		named := byID[w.ClientID+w.Adopt]
		switch id := w.ClientID + w.Adopt; {
		case len(marked) > 1:
			p.wrong(w.Line, "application %s: %d applications have this key (%s): take %s out of the client_metadata of all but one", w.Key, len(marked), idsOfApps(marked), MarkKey)
		case id == "" && len(marked) == 1:
			found[w.Key] = marked[0]
		case id == "":
		case named == nil:
			p.wrong(w.Line, "application %s: there is no M2M application %s", w.Key, id)
		case named.key() != "" && named.key() != w.Key:
			p.wrong(w.Line, "application %s: %s has the key %s already", w.Key, id, named.key())
		case len(marked) == 1 && marked[0] != named:
			p.wrong(w.Line, "application %s: it is %s that has this key, not %s", w.Key, marked[0].ID, id)
		case w.Adopt != "" && named.key() == "" && !p.Any && !named.Machine():
			p.wrong(w.Line, "application %s: %s: %w; client_id names it without", w.Key, id, errPeople)
		default:
			found[w.Key] = named
		}
	}
	return found
}

// errPeople refuses what would be deleted, one day, while people sign in through it.
var errPeople = errors.New("people may sign in through it: say --any if it is meant")

func idsOfApps(apps []*appState) string {
	var ids []string
	for _, a := range apps {
		ids = append(ids, a.ID)
	}
	return strings.Join(ids, ", ")
}

func (p *Planner) planApp(ctx context.Context, w *WantedApp, is *appState) error {
	c := &Change{Action: ActionChange, Kind: KindApplication, Key: w.Key, app: &appChange{want: w, is: is}}
	d := newDiffer(c)
	name := w.Name
	if is == nil {
		c.Action, is = ActionCreate, &appState{}
		if name == nil {
			name = &w.Key
		}
	}
	c.ID, c.Name = is.ID, cmp.Or(deref(name), is.Name)
	p.expects(KindApplication, w.Key, is.ID, w.Expect)
	if w.Adopt != "" {
		d.mark(MarkKey, &w.Key, is.Mark(MarkKey))
	}
	d.text("name", name, is.Name)
	d.text("description", w.Description, is.Description)
	d.mark(MarkOwner, w.Owner, is.Mark(MarkOwner))
	d.mark(MarkPurpose, w.Purpose, is.Mark(MarkPurpose))
	d.mark(MarkExpires, w.Expires, is.Mark(MarkExpires))
	d.text("token_endpoint_auth_method", w.AuthMethod, is.AuthMethod)
	p.checkMethod(w, is, c)
	p.checkMembers(w, is, d.marks)
	if err := p.planGrants(ctx, d, w, is); err != nil {
		return err
	}
	d.seal("client_metadata")
	p.add(c)
	return nil
}

// checkMethod refuses what needs a key, or would take the place of one.
func (p *Planner) checkMethod(w *WantedApp, is *appState, c *Change) {
	wanted := deref(w.AuthMethod)
	keyed := is.AuthMethod != "" && is.AuthMethod != authPost && is.AuthMethod != authBasic && is.AuthMethod != "none"
	if wanted == "" || wanted == is.AuthMethod || wanted != authPrivateKey && !keyed {
		return
	}
	if c.Action == ActionCreate {
		p.wrong(w.Line, "application %s: one with a key of its own is made otherwise, and adopted: leave %s out", w.Key, authPrivateKey)
		return
	}
	p.wrong(w.Line, "application %s: it authenticates by %s, and that is not changed to %s by this file", w.Key, cmp.Or(is.AuthMethod, "a secret"), wanted)
}

// checkMembers wants room in client_metadata.
func (p *Planner) checkMembers(w *WantedApp, is *appState, marks map[string]any) {
	n := len(is.Metadata)
	for name, value := range marks {
		_, there := is.Metadata[name]
		if value != nil && !there {
			n++
		}
		if value == nil && there {
			n--
		}
	}
	if n > maxClientMembers {
		p.wrong(w.Line, "application %s: client_metadata would have %d members, and Auth0 takes %d", w.Key, n, maxClientMembers)
	}
}

func (p *Planner) planGrants(ctx context.Context, d *differ, w *WantedApp, is *appState) error {
	if w.Grants == nil {
		return nil
	}
	if since := is.Mark(MarkDisabled); since != "" {
		p.plan.Held = append(p.plan.Held, Held{w.Key, is.ID, since})
		return nil
	}
	for i := range w.Grants {
		g := &w.Grants[i]
		n := slices.IndexFunc(is.Grants, func(s grantState) bool { return s.Audience == g.Audience })
		var has *grantState
		if n >= 0 {
			has = &is.Grants[n]
		}
		if err := p.planGrant(ctx, d, g, has); err != nil {
			return err
		}
	}
	for i := range is.Grants {
		has := &is.Grants[i]
		if !slices.ContainsFunc(w.Grants, func(g WantedGrant) bool { return g.Audience == has.Audience }) {
			d.app.grants = append(d.app.grants, &grantChange{action: ActionDelete, audience: has.Audience, id: has.ID})
			d.Fields = append(d.Fields, Field{Name: "grant of " + has.Audience, From: grantText(has)})
		}
	}
	return nil
}

// grantText is a grant in one line.
func grantText(g *grantState) string {
	if g.AllScopes {
		return "all scopes"
	}
	return cmp.Or(strings.Join(g.Scopes, " "), "no scopes")
}

func (p *Planner) planGrant(ctx context.Context, d *differ, w *WantedGrant, has *grantState) error {
	c := &grantChange{action: ActionChange, audience: w.Audience, body: map[string]any{}}
	is := &grantState{}
	if has == nil {
		c.action = ActionCreate
		d.Fields = append(d.Fields, Field{Name: "grant of " + w.Audience, To: grantText(&grantState{Grant: Grant{Scopes: w.Scopes}, AllScopes: deref(w.AllScopes)})})
	} else {
		is, c.id = has, has.ID
	}
	inner := &differ{Change: &Change{body: c.body}}
	name := "grant of " + w.Audience + ": "
	add, remove := without(w.Scopes, is.Scopes), without(is.Scopes, w.Scopes)
	if w.Scopes != nil && (len(add)+len(remove) > 0 || has == nil || is.AllScopes) {
		c.body["scope"] = slices.Sorted(slices.Values(w.Scopes))
		inner.list(name+"scopes", add, remove)
	}
	inner.flag("allow_all_scopes", w.allScopes(), is.AllScopes)
	if all := w.allScopes(); is.AllScopes {
		c.takes = all != nil && !*all
	} else {
		c.takes = w.Scopes != nil && len(remove) > 0
	}
	inner.text("organization_usage", w.OrgUsage, cmp.Or(is.OrgUsage, "deny"))
	inner.flag("allow_any_organization", w.AnyOrg, is.AnyOrg)
	if err := p.knowsGrant(ctx, w, add, has == nil); err != nil {
		return err
	}
	if err := p.planOrganizations(ctx, inner, w, is, c); err != nil {
		return err
	}
	if has != nil && len(inner.Fields) == 0 {
		return nil
	}
	d.app.grants = append(d.app.grants, c)
	for _, f := range inner.Fields {
		if !strings.HasPrefix(f.Name, name) {
			f.Name = name + f.Name
		}
		if has != nil || f.Name != name+"scopes" {
			d.Fields = append(d.Fields, f)
		}
	}
	return nil
}

// knowsGrant looks at the API of a grant where it gets more than it had.
func (p *Planner) knowsGrant(ctx context.Context, w *WantedGrant, add []string, isNew bool) error {
	if len(add) == 0 && !isNew {
		return nil
	}
	return p.knows(ctx, w.Line, w.Audience, add)
}

// planOrganizations compares the organizations that a grant is open to.
func (p *Planner) planOrganizations(ctx context.Context, d *differ, w *WantedGrant, is *grantState, c *grantChange) error {
	if w.Organizations == nil {
		return nil
	}
	if is.ID != "" && is.Organizations == nil {
		if err := p.read.organizations(ctx, is); err != nil {
			return err
		}
	}
	var add, remove []string
	kept := map[string]bool{}
	for _, name := range w.Organizations {
		n := slices.IndexFunc(is.Organizations, func(o organization) bool { return o.ID == name || o.Name == name })
		if n >= 0 {
			kept[is.Organizations[n].ID] = true
			continue
		}
		o, err := findOrganization(ctx, p.API, name)
		if errors.Is(err, ErrNotFound) {
			p.wrong(w.Line, "there is no organization %s", name)
			continue
		} else if err != nil {
			return err
		}
		c.open, add = append(c.open, o), append(add, o.Name)
	}
	for _, o := range is.Organizations {
		if !kept[o.ID] {
			c.shut, remove = append(c.shut, o), append(remove, o.Name)
		}
	}
	d.list("organizations", add, remove)
	return nil
}

// findOrganization reads one by its id or its name.
func findOrganization(ctx context.Context, api API, idOrName string) (o organization, err error) {
	path := []string{"organizations", "name", idOrName}
	if strings.HasPrefix(idOrName, "org_") {
		path = []string{"organizations", idOrName}
	}
	raw, err := api.Get(ctx, path, nil)
	if err != nil {
		return o, fmt.Errorf("organization %s: %w", idOrName, err)
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return o, fmt.Errorf("read organization %s: %w", idOrName, err)
	}
	return o, nil
}

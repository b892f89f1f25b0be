package provision

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// userChange is what of a user is not in its document.
type userChange struct {
	want               *WantedUser
	is                 *userState // nil of one that is to be made
	addRoles, dropRole []string   // by name
	add, remove        []Permission
}

// idOfKey is the id of a user that apply makes: it comes of the key alone, so that
// a second POST is refused, whoever sends it.
func idOfKey(key string) string {
	sum := sha256.Sum256([]byte("m2mwatch user " + key))
	return databaseProvider + "|" + hex.EncodeToString(sum[:12])
}

// id is by what the user of an entry is read at once: the id that it names, or else
// the one that apply would give it.
func (w *WantedUser) id() string {
	if id := w.UserID + w.Adopt; id != "" {
		return id
	}
	return idOfKey(w.Key)
}

// fewUsers is how many are each read by their id, whatever a search says.
const fewUsers = 100

func (p *Planner) planUsers(ctx context.Context) error {
	if p.file.Users == nil {
		return nil
	}
	searched, err := p.read.programmaticUsers(ctx)
	if err != nil {
		return err
	}
	found, err := p.matchUsers(ctx, searched)
	if err != nil {
		return err
	}
	if err := p.readAccess(ctx, found); err != nil {
		return err
	}
	for i, u := range found {
		if u != nil {
			p.plan.requests[KindUser+" "+p.file.Users[i].Key] = u.Mark(markRequest)
		}
	}
	for i := range p.file.Users {
		if err := p.planUser(ctx, &p.file.Users[i], found[i]); err != nil {
			return err
		}
	}
	return p.planGone(ctx, searched)
}

// matchUsers finds the user of each entry, nil where there is none.
func (p *Planner) matchUsers(ctx context.Context, searched []*userState) ([]*userState, error) {
	byID, byKey := map[string]*userState{}, map[string][]*userState{}
	for _, u := range searched {
		byID[u.ID] = u
		if key := u.key(); key != "" {
			byKey[key] = append(byKey[key], u)
		}
	}
	found := make([]*userState, len(p.file.Users))
	var look []int
	for i := range p.file.Users {
		w := &p.file.Users[i]
		u := byID[w.id()]
		if marked := byKey[w.Key]; u == nil && w.UserID+w.Adopt == "" && len(marked) > 0 {
			u = marked[0] // one that was adopted, and whose entry says so no more
		}
		found[i] = u
		if u == nil || len(p.file.Users) <= fewUsers || p.documentDiffers(w, u) {
			look = append(look, i)
		}
	}
	err := p.read.each(ctx, "users", len(look), func(ctx context.Context, n int) error {
		i := look[n]
		id := p.file.Users[i].id()
		if found[i] != nil {
			id = found[i].ID
		}
		u, err := p.read.user(ctx, id)
		found[i] = u
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range found {
		p.checkMatch(&p.file.Users[i], found[i], byKey[p.file.Users[i].Key])
	}
	return found, nil
}

// checkMatch tells of what cannot be.
func (p *Planner) checkMatch(w *WantedUser, u *userState, marked []*userState) {
	id := w.UserID + w.Adopt
	for _, other := range marked {
		if u == nil || other.ID != u.ID {
			p.wrong(w.Line, "user %s: it is %s that has this key", w.Key, other.ID)
		}
	}
	switch {
	case u == nil && id != "":
		p.wrong(w.Line, "user %s: there is no user %s", w.Key, id)
	case u != nil && u.key() != "" && u.key() != w.Key:
		p.wrong(w.Line, "user %s: %s has the key %s already", w.Key, u.ID, u.key())
	case u != nil && w.Adopt != "" && u.key() == "" && !p.Any && !u.Programmatic():
		p.wrong(w.Line, "user %s: %s: %w; user_id names it without", w.Key, id, errPerson)
	case u != nil && w.Connection != "" && u.Connection() != w.Connection:
		p.wrong(w.Line, "user %s: it is of the connection %s, and no user moves to another", w.Key, u.Connection())
	}
}

// errPerson refuses what would be deleted, one day, and may be a person.
var errPerson = errors.New("it is not marked as programmatic: say --any if it is meant")

// documentDiffers reports whether the document of a user is not as wanted.
func (p *Planner) documentDiffers(w *WantedUser, u *userState) bool {
	c := &Change{Action: ActionChange, user: &userChange{want: w, is: u}}
	diffUser(newDiffer(c), w, u)
	return len(c.Fields) > 0
}

// diffUser compares what is in the document of a user.
func diffUser(d *differ, w *WantedUser, is *userState) {
	if w.UserID == "" {
		d.mark(MarkKey, &w.Key, is.Mark(MarkKey))
		if !is.Programmatic() {
			d.marks[MarkProgrammatic] = true
			d.Fields = append(d.Fields, Field{Name: MarkProgrammatic, To: true})
		}
		if is.ID == "" {
			d.Fields = nil // of one that is made, that goes without saying
		}
	}
	d.login("email", w.Email, is.Email)
	d.login("username", w.Username, is.Username)
	d.text("name", w.Name, is.Name)
	d.mark(MarkOwner, w.Owner, is.Mark(MarkOwner))
	d.mark(MarkPurpose, w.Purpose, is.Mark(MarkPurpose))
	d.mark(MarkExpires, w.Expires, is.Mark(MarkExpires))
	d.flag("blocked", w.Blocked, is.Blocked)
	d.members("app_metadata", w.AppMetadata, is.metadata("app_metadata"), d.marks)
	user := map[string]any{}
	d.members("user_metadata", w.UserMetadata, is.metadata("user_metadata"), user)
	if len(user) > 0 {
		d.body["user_metadata"] = user
	}
}

// login compares what a user signs in as.
func (d *differ) login(name string, want *string, is string) {
	if want != nil && !sameLogin(*want, is) {
		d.text(name, want, is)
	}
}

// members compares members of metadata; null wants that there is none.
func (d *differ) members(what string, want, is, into map[string]any) {
	for _, name := range sortedNames(want) {
		if !equal(want[name], is[name]) {
			d.Fields = append(d.Fields, Field{Name: what + "." + name, From: shownMember(name, is[name]), To: shownMember(name, want[name])})
			into[name] = want[name]
		}
	}
}

// shownMember is a member of metadata as a plan may show it.
func shownMember(name string, value any) any {
	if value != nil && (soundsSecret(name) || holdsSecret(value)) {
		return "***"
	}
	return value
}

// readAccess reads roles and permissions of those users whose entries name them.
func (p *Planner) readAccess(ctx context.Context, found []*userState) error {
	var roles, permissions []*userState
	for i, u := range found {
		if u != nil && p.file.Users[i].Roles != nil {
			roles = append(roles, u)
		}
		if u != nil && p.file.Users[i].Permissions != nil {
			permissions = append(permissions, u)
		}
	}
	if err := p.read.userRoles(ctx, roles, p.roles); err != nil {
		return err
	}
	return p.read.userPermissions(ctx, permissions)
}

func (p *Planner) planUser(ctx context.Context, w *WantedUser, is *userState) error {
	c := &Change{Action: ActionChange, Kind: KindUser, Key: w.Key, user: &userChange{want: w, is: is}}
	d := newDiffer(c)
	if is == nil {
		c.Action, is = ActionCreate, &userState{}
		if w.Email == nil && w.Username == nil {
			return nil // which is a problem that was told
		}
	}
	c.ID, c.Name = is.ID, deref(w.Name)
	p.expects(KindUser, w.Key, cmp.Or(is.ID, w.id()), w.Expect)
	if c.ID != "" {
		c.Name = is.Login()
	}
	diffUser(d, w, is)
	if c.Action == ActionCreate {
		c.Fields = append([]Field{{Name: "connection", To: w.connection()}}, c.Fields...)
	}
	if w.Roles != nil {
		c.user.addRoles = slices.Sorted(slices.Values(without(w.Roles, is.Roles)))
		c.user.dropRole = without(is.Roles, w.Roles)
		for _, name := range c.user.addRoles {
			p.hasRole(w.Line, name)
		}
		d.list("roles", c.user.addRoles, c.user.dropRole)
	}
	var err error
	if c.user.add, c.user.remove, err = p.permissions(ctx, d, w.Permissions, is.Permissions); err != nil {
		return err
	}
	d.seal("app_metadata")
	p.add(c)
	return nil
}

// hasRole wants that a role is there, or will be.
func (p *Planner) hasRole(line int, name string) {
	there := slices.ContainsFunc(p.roles, func(r *roleState) bool { return r.Name == name }) ||
		slices.ContainsFunc(p.file.Roles, func(w WantedRole) bool { return w.Name == name })
	if !there {
		p.wrong(line, "there is no role %s, and the file makes none", name)
	}
}

// planGone proposes to delete the users that have a key of the file's and are not
// in it any more, each read by its id first.
func (p *Planner) planGone(ctx context.Context, searched []*userState) error {
	kept := map[string]bool{}
	for i := range p.file.Users {
		kept[p.file.Users[i].Key], kept[p.file.Users[i].id()] = true, true
	}
	for _, u := range searched {
		if u.key() == "" || kept[u.key()] || kept[u.ID] {
			continue
		}
		is, err := p.read.user(ctx, u.ID)
		if err != nil {
			return fmt.Errorf("look at what is to be deleted: %w", err)
		}
		if is == nil || is.key() == "" || kept[is.key()] {
			continue
		}
		if !p.Any && !is.Programmatic() {
			p.problems = append(p.problems, fmt.Errorf("user %s (%s) has the key of a file that has it no more, and is to be deleted: %w; or take %s out of its app_metadata", is.key(), is.ID, errPerson, MarkKey))
		} else {
			p.add(&Change{Action: ActionDelete, Kind: KindUser, Key: is.key(), ID: is.ID, Name: is.Login()})
		}
	}
	return nil
}

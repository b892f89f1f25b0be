package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What a Change does.
const (
	ActionCreate = "create"
	ActionChange = "change"
	ActionDelete = "delete"
)

// What a Change is of.
const (
	KindApplication = "application"
	KindUser        = "user"
	KindRole        = "role"
)

// Plan is the difference between a tenant and machines.yaml.
type Plan struct {
	Changes []*Change `json:"changes"`
	// Leftovers are applications that an apply has made and was not through with,
	// beside the one that serves: nobody has their secret. Apply deletes them.
	Leftovers []Leftover `json:"leftovers,omitempty"`
	// Held are applications whose grants are left as they are, since they are
	// disabled.
	Held []Held `json:"held,omitempty"`
	// Expected is what the file declares to be normal, whatever was declared before.
	Expected []Expected `json:"expected,omitempty"`

	roles    []*roleState      // that there are, for what apply assigns
	apps     []*appState       // that there are, for those that apply makes
	requests map[string]string // by which those of the file were made, by kind and key; "" by none
	file     *Machines
	any      bool // as the Planner's
}

// Leftover is an application of an apply that was cut short.
type Leftover struct {
	Key string `json:"key"`
	ID  string `json:"id"`
}

// Held is an application that is disabled; see MarkDisabled.
type Held struct {
	Key   string `json:"key"`
	ID    string `json:"id"`
	Since string `json:"since"`
}

// Change is what has to be done about one identity.
type Change struct {
	Action string  `json:"action"`
	Kind   string  `json:"kind"`
	Key    string  `json:"key"` // of a role its name
	ID     string  `json:"id,omitempty"`
	Name   string  `json:"name,omitempty"`
	Fields []Field `json:"fields,omitempty"`

	body map[string]any // of the POST or PATCH; nil where there is nothing for one
	app  *appChange
	user *userChange
	role *roleChange

	failed bool // apply could not make it
}

// Field is what changes of it: one value, or elements of a list that are added and
// removed.
type Field struct {
	Name   string   `json:"name"`
	From   any      `json:"from,omitempty"`
	To     any      `json:"to,omitempty"`
	Add    []string `json:"add,omitempty"`
	Remove []string `json:"remove,omitempty"`
}

// Count tells how many changes an action has.
func (p *Plan) Count(action string) (n int) {
	for _, c := range p.Changes {
		if c.Action == action {
			n++
		}
	}
	return n
}

// Empty reports that there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Changes)+len(p.Leftovers) == 0 }

// Planner compares a tenant with a file.
type Planner struct {
	API      API
	Parallel int        // how many calls are made at once; default 4
	OnRead   OnProgress // of what takes a call for each identity
	// Any has it adopt and delete applications through which people sign in, and users
	// that are not marked as programmatic.
	Any bool

	file     *Machines
	read     *stateReader
	plan     *Plan
	roles    []*roleState
	scopes   map[string][]string // of APIs that were looked at; nil where there is no such API
	problems []error
}

// Plan reads what the file needs of the tenant, and compares. The error has every
// problem: what is named and is not there, what cannot be changed.
//
// Only searches list users, and they do not see the last seconds: so each user that
// differs by the search, or is not found by it, is read by its id before anything is
// said of it. A file with up to a hundred users is not compared with a search at all.
func (p *Planner) Plan(ctx context.Context, m *Machines) (*Plan, error) {
	p.file, p.plan = m, &Plan{Changes: []*Change{}, requests: map[string]string{}, file: m, any: p.Any}
	p.read, p.scopes, p.problems, p.roles = &stateReader{p.API, p.Parallel, p.OnRead}, map[string][]string{}, nil, nil
	if m.Roles != nil || slices.ContainsFunc(m.Users, func(w WantedUser) bool { return w.Roles != nil }) {
		var err error
		if p.roles, err = p.read.roles(ctx); err != nil {
			return nil, err
		}
		p.plan.roles = p.roles
	}
	for _, part := range []func(context.Context) error{p.planRoles, p.planApps, p.planUsers} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(p.problems...); err != nil {
		return nil, err
	}
	return p.plan, nil
}

func (p *Planner) wrong(line int, format string, args ...any) {
	p.problems = append(p.problems, fmt.Errorf("line %d: "+format, append([]any{line}, args...)...))
}

// add adds a change if there is anything to change.
func (p *Planner) add(c *Change) {
	if c.Action != ActionChange || len(c.Fields) > 0 {
		p.plan.Changes = append(p.plan.Changes, c)
	}
}

// knows wants that an API has the scopes that are to be given: Auth0 passes over
// one that it lacks, or takes it and never grants it.
func (p *Planner) knows(ctx context.Context, line int, audience string, scopes []string) error {
	list, looked := p.scopes[audience]
	if !looked {
		var err error
		if list, err = scopesOfAPI(ctx, p.API, audience); err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("read API %s: %w", audience, err)
		}
		p.scopes[audience] = list
	}
	if list == nil {
		p.wrong(line, "there is no API %s", audience)
		return nil
	}
	for _, scope := range scopes {
		if !slices.Contains(list, scope) {
			p.wrong(line, "the API %s has no scope %s; it has %s", audience, scope, strings.Join(list, ", "))
		}
	}
	return nil
}

// differ collects what differs of one identity.
type differ struct {
	*Change
	marks map[string]any // members of its metadata
}

func newDiffer(c *Change) *differ {
	c.body = map[string]any{}
	return &differ{Change: c, marks: map[string]any{}}
}

// text compares a text of the document.
func (d *differ) text(name string, want *string, is string) {
	if want != nil && *want != is {
		d.Fields = append(d.Fields, Field{Name: name, From: orNil(is), To: orNil(*want)})
		d.body[name] = *want
	}
}

// mark compares a member of the metadata that is a text.
func (d *differ) mark(name string, want *string, is string) {
	if want != nil && *want != is {
		d.Fields = append(d.Fields, Field{Name: name, From: orNil(is), To: orNil(*want)})
		d.marks[name] = orNil(*want)
	}
}

// flag compares a flag of the document.
func (d *differ) flag(name string, want *bool, is bool) {
	if want != nil && *want != is {
		d.Fields = append(d.Fields, Field{Name: name, From: is, To: *want})
		d.body[name] = *want
	}
}

// list tells of what a list gets and loses.
func (d *differ) list(name string, add, remove []string) {
	if len(add)+len(remove) > 0 {
		d.Fields = append(d.Fields, Field{Name: name, Add: add, Remove: remove})
	}
}

// orNil makes none of an empty text.
func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// seal puts the metadata into the body.
func (d *differ) seal(metadata string) {
	if len(d.marks) > 0 {
		d.body[metadata] = d.marks
	}
	if len(d.body) == 0 {
		d.body = nil
	}
}

// without are the elements of a that b lacks, in the order of a.
func without[T comparable](a, b []T) []T {
	return slices.DeleteFunc(slices.Clone(a), func(v T) bool { return slices.Contains(b, v) })
}

func permissionTexts(list []Permission) []string {
	texts := make([]string, 0, len(list))
	for _, p := range list {
		texts = append(texts, p.String())
	}
	return texts
}

// permissions compares those that are wanted with those that there are, and wants
// that the APIs have those that are to be given.
func (p *Planner) permissions(ctx context.Context, d *differ, want []WantedScopes, is []Permission) (add, remove []Permission, err error) {
	if want == nil {
		return nil, nil, nil
	}
	wanted := permissionsOf(want)
	add, remove = sortPermissions(without(wanted, is)), without(is, wanted)
	for i := range want {
		var missing []string
		for _, a := range add {
			if a.API == want[i].Audience {
				missing = append(missing, a.Name)
			}
		}
		if missing == nil {
			continue
		}
		if err := p.knows(ctx, want[i].Line, want[i].Audience, missing); err != nil {
			return nil, nil, err
		}
	}
	d.list("permissions", permissionTexts(add), permissionTexts(remove))
	return add, remove, nil
}

// roleChange is what of a role is not in its document.
type roleChange struct{ add, remove []Permission }

func (p *Planner) planRoles(ctx context.Context) error {
	byName := make(map[string]*roleState, len(p.roles))
	for _, r := range p.roles {
		byName[r.Name] = r
	}
	var look []*roleState
	for i := range p.file.Roles {
		if r := byName[p.file.Roles[i].Name]; r != nil && p.file.Roles[i].Permissions != nil {
			look = append(look, r)
		}
	}
	if err := p.read.rolePermissions(ctx, look); err != nil {
		return err
	}
	for i := range p.file.Roles {
		if err := p.planRole(ctx, &p.file.Roles[i], byName[p.file.Roles[i].Name]); err != nil {
			return err
		}
	}
	return nil
}

func (p *Planner) planRole(ctx context.Context, w *WantedRole, is *roleState) error {
	c := &Change{Action: ActionChange, Kind: KindRole, Key: w.Name, Name: w.Name}
	d := newDiffer(c)
	if is == nil {
		c.Action, is = ActionCreate, &roleState{}
		d.text("name", &w.Name, "")
	}
	c.ID = is.ID
	d.text("description", w.Description, is.Description)
	add, remove, err := p.permissions(ctx, d, w.Permissions, is.Permissions)
	if err != nil {
		return err
	}
	d.seal("")
	c.role = &roleChange{add, remove}
	p.add(c)
	return nil
}

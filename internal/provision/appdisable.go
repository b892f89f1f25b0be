package provision

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The forms of what was disabled. The first had no organizations.
const (
	disabledFormat      = "m2mwatch disabled application 2"
	firstDisabledFormat = "m2mwatch disabled application 1"
)

// Disabled is what Disable has taken from an application.
type Disabled struct {
	Format   string            `json:"format"`
	Tenant   string            `json:"tenant"`
	At       time.Time         `json:"at"`
	ClientID string            `json:"client_id"`
	Name     string            `json:"name"`
	Grants   []json.RawMessage `json:"grants"`
	// Organizations are those of a grant, by the id of the grant.
	Organizations map[string][]Organization `json:"organizations,omitempty"`
}

// Validity tells how long tokens of an API stay good.
type Validity struct {
	Audience string
	For      time.Duration // at most, by the API's token lifetime of now
	Unknown  error         // why that is not known, where it is not
}

// MarkDisabled is the member of client_metadata that says since when an
// application is disabled: an apply gives it no grants.
const MarkDisabled = ownMark + "disabled"

// Taken is what Disable tells of an application that has no grants any more.
type Taken struct {
	Valid    []Validity // tokens that it has
	Unmarked error      // why MarkDisabled is not set; nil where it is
}

// ErrDisabled is wrapped where an application has no grants to take.
var ErrDisabled = errors.New("it has no grants: it is disabled already")

// Missing are the grants in d that are not among those that the application has:
// that an earlier run has taken.
func (d *Disabled) Missing(has []Grant) (missing []Grant, err error) {
	for _, raw := range d.Grants {
		g, err := readGrant(raw)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(has, func(is Grant) bool { return is.Audience == g.Audience && sameSubject(is, g) }) {
			missing = append(missing, g)
		}
	}
	return missing, nil
}

func sameSubject(a, b Grant) bool {
	return cmp.Or(a.Subject, subjectClient) == cmp.Or(b.Subject, subjectClient)
}

// add keeps a grant with its organizations.
func (d *Disabled) add(g Grant, organizations []Organization) {
	d.Grants = append(d.Grants, g.Raw)
	if len(organizations) > 0 {
		d.Organizations[g.ID] = organizations
	}
}

// Disable takes the grants of an application away when keep has kept them, and
// looks whether they are gone: it gets no more tokens. Those that it has stay good
// as long as is returned, which is asked for last and need not be known; nor need
// it be marked, since what leaks must not go on for want of a scope. What earlier
// runs have taken, and it does not have now, is kept with the rest.
func (a *Apps) Disable(ctx context.Context, id string, earlier []Disabled, keep func(*Disabled) error) (Taken, error) {
	app, err := a.Get(ctx, id)
	if err != nil {
		return Taken{}, err
	}
	grants, err := a.Grants(ctx, id)
	if err != nil {
		return Taken{}, err
	}
	if len(grants) == 0 {
		return Taken{}, fmt.Errorf("application %s: %w", id, ErrDisabled)
	}
	d, err := a.taking(ctx, app, grants, earlier)
	if err != nil {
		return Taken{}, err
	}
	if err := keep(d); err != nil {
		return Taken{}, err
	}
	if err := a.take(ctx, id, grants); err != nil {
		return Taken{}, err
	}
	_, unmarked := a.Update(ctx, id, map[string]any{"client_metadata": map[string]any{MarkDisabled: d.At.UTC().Format(time.RFC3339)}})
	return Taken{a.validities(ctx, grants), unmarked}, nil
}

// taking is what there is to keep of an application whose grants are taken.
func (a *Apps) taking(ctx context.Context, app App, grants []Grant, earlier []Disabled) (*Disabled, error) {
	d := &Disabled{Format: disabledFormat, ClientID: app.ID, Name: app.Name, Organizations: map[string][]Organization{}}
	var err error
	for _, g := range grants {
		var organizations []Organization
		if g.ToOrganizations() {
			if organizations, err = a.organizations(ctx, g.ID); err != nil {
				return nil, fmt.Errorf("organizations of the grant of %s: %w", g.Audience, err)
			}
		}
		d.add(g, organizations)
	}
	kept := slices.Clone(grants)
	for i := range earlier {
		missing, err := earlier[i].Missing(kept)
		if err != nil {
			return nil, err
		}
		for _, g := range missing {
			d.add(g, earlier[i].Organizations[g.ID])
		}
		kept = append(kept, missing...)
	}
	return d, nil
}

// take takes grants away, and looks whether the application has none.
func (a *Apps) take(ctx context.Context, id string, grants []Grant) error {
	var failed []error // one that stays is no reason to leave the others
	for _, g := range grants {
		if err := remove(ctx, a.API, "grant of "+g.Audience, []string{"client-grants", g.ID}); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("application %s is not disabled, %d of its %d grants are left: %w", id, len(failed), len(grants), errors.Join(failed...))
	}
	left, err := a.Grants(ctx, id)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("application %s still has %d grants", id, len(left))
	}
	return err
}

// validities are asked for when the grants are gone: what is only told must not keep
// an application that leaks from being disabled, nor delay it.
func (a *Apps) validities(ctx context.Context, grants []Grant) (list []Validity) {
	for _, g := range grants {
		if !slices.ContainsFunc(list, func(v Validity) bool { return v.Audience == g.Audience }) {
			list = append(list, a.validity(ctx, g.Audience))
		}
	}
	return list
}

func (a *Apps) validity(ctx context.Context, audience string) Validity {
	raw, err := a.API.Get(ctx, []string{"resource-servers", audience}, nil)
	if err != nil {
		return Validity{Audience: audience, Unknown: err}
	}
	var server struct {
		Lifetime int64 `json:"token_lifetime"`
	}
	if err := json.Unmarshal(raw, &server); err != nil {
		return Validity{Audience: audience, Unknown: fmt.Errorf("read the API: %w", err)}
	}
	return Validity{Audience: audience, For: time.Duration(server.Lifetime) * time.Second}
}

// ReadDisabled reads what was kept.
func ReadDisabled(text []byte) (Disabled, error) {
	var d Disabled
	if err := json.Unmarshal(text, &d); err != nil {
		return d, fmt.Errorf("read what was disabled: %w", err)
	}
	if d.Format != disabledFormat && d.Format != firstDisabledFormat {
		return d, fmt.Errorf("read what was disabled: it is %q, want %q", d.Format, disabledFormat)
	}
	if d.ClientID == "" || len(d.Grants) == 0 {
		return d, errors.New("read what was disabled: it has no client_id or no grants: there is nothing to give back")
	}
	return d, nil
}

// ToOrganizations reports whether Enable has organizations to give back.
func (d *Disabled) ToOrganizations() bool { return len(d.Organizations) > 0 }

// Enable gives an application back the grants that Disable has taken, with their
// organizations. It may be called again where it was cut short.
func (a *Apps) Enable(ctx context.Context, d *Disabled) error {
	app, err := a.Get(ctx, d.ClientID)
	if err != nil {
		return err
	}
	var failed []error // an API that is gone is no reason to keep the others
	for _, raw := range d.Grants {
		if err := a.enableGrant(ctx, raw, d); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("application %s: %d of its %d grants are not given back: %w", d.ClientID, len(failed), len(d.Grants), errors.Join(failed...))
	}
	if app.Mark(MarkDisabled) == "" {
		return nil
	}
	_, err = a.Update(ctx, d.ClientID, map[string]any{"client_metadata": map[string]any{MarkDisabled: nil}})
	return err
}

func (a *Apps) enableGrant(ctx context.Context, raw json.RawMessage, d *Disabled) error {
	was, err := readGrant(raw)
	if err != nil {
		return err
	}
	g, err := a.giveBack(ctx, raw, d.ClientID)
	if err != nil {
		return err
	}
	for _, o := range d.Organizations[was.ID] {
		if err := a.associate(ctx, g.ID, o.ID); err != nil {
			return fmt.Errorf("grant of %s: organization %s (%s): %w", g.Audience, o.Name, o.ID, err)
		}
	}
	return nil
}

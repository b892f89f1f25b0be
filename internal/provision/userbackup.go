package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// userBackupFormat says what a backup is; a later form gets another number.
const userBackupFormat = "m2mwatch user backup 1"

// UserBackup is what a user was, raw as it was answered.
type UserBackup struct {
	Format        string            `json:"format"`
	Tenant        string            `json:"tenant"` // its domain
	At            time.Time         `json:"at"`
	User          json.RawMessage   `json:"user"`
	Roles         []json.RawMessage `json:"roles"`
	Permissions   []json.RawMessage `json:"permissions"` // direct ones
	Organizations []json.RawMessage `json:"organizations"`
	// OrganizationRoles are its roles in each of them, by the organization's id. nil
	// in backups from before they were kept.
	OrganizationRoles map[string][]json.RawMessage `json:"organization_roles"`
}

// Backup reads all that there is of a user. Tenant and At are the caller's.
func (u *Users) Backup(ctx context.Context, id string) (UserBackup, error) {
	b := UserBackup{Format: userBackupFormat}
	user, err := u.Get(ctx, id)
	if err != nil {
		return b, err
	}
	b.User = user.Raw
	if b.Roles, err = collect(ctx, u.API, []string{"users", id, "roles"}, "roles", nil); err != nil {
		return b, err
	}
	if b.Permissions, _, err = directPermissions(ctx, u.API, []string{"users", id, "permissions"}); err != nil {
		return b, err
	}
	b.Organizations, b.OrganizationRoles, err = u.organizations(ctx, id)
	return b, err
}

// ReadUserBackup reads what was kept.
func ReadUserBackup(text []byte) (UserBackup, error) {
	var b UserBackup
	if err := json.Unmarshal(text, &b); err != nil {
		return b, fmt.Errorf("read the backup: %w", err)
	}
	if b.Format != userBackupFormat {
		return b, fmt.Errorf("read the backup: it is %q, want %q", b.Format, userBackupFormat)
	}
	return b, nil
}

// Subject is the user that the backup is of.
func (b *UserBackup) Subject() (User, error) { return readUser(b.User) }

// restorable are the members of a user that can be given when it is made. The
// picture is among them, as it may be the tenant's own.
func restorable() []string {
	return []string{
		"email", "phone_number", "user_metadata", "app_metadata", "blocked", "email_verified", "phone_verified",
		"given_name", "family_name", "name", "nickname", "picture", "username",
	}
}

// newUser is what brings the user back.
func (b *UserBackup) newUser(password string) (n NewUser, user User, lost []string, err error) {
	if user, err = b.Subject(); err != nil {
		return n, user, nil, err
	}
	provider, id, _ := strings.Cut(user.ID, "|")
	if provider != databaseProvider || id == "" {
		return n, user, nil, fmt.Errorf("user %s is not of a database connection: it comes back when it signs in there", user.ID)
	}
	var members map[string]any
	if err = readExactly(b.User, &members); err != nil {
		return n, user, nil, err
	}
	n = NewUser{Connection: user.Connection(), Email: user.Email, Username: user.Username, Phone: user.Phone, Password: password, ID: id, profile: map[string]any{}}
	for _, name := range restorable() {
		if value := members[name]; value != nil {
			n.profile[name] = value
		}
	}
	if len(user.Identities) > 1 {
		for _, other := range user.Identities[1:] {
			lost = append(lost, fmt.Sprintf("the linked identity %s|%v", other.Provider, other.UserID))
		}
	}
	return n, user, lost, nil
}

// Restorable runs what Restore would begin with: the error is why it could not, lost
// what it would not bring back of this user beyond what it brings back of nobody.
func (b *UserBackup) Restorable() (lost []string, err error) {
	n, _, lost, err := b.newUser("not used")
	if err == nil {
		err = n.Validate()
	}
	return lost, err
}

// Restored is what came back of a user, and what did not.
type Restored struct {
	User User
	Lost []string
}

// Restore makes a user again, under the id that it had, with another password.
// Where the error comes after that, the user is in what is returned beside it. See
// NewUser.Resume for resume.
func (u *Users) Restore(ctx context.Context, b *UserBackup, password string, resume bool) (Restored, error) {
	n, was, lost, err := b.newUser(password)
	if err != nil {
		return Restored{}, err
	}
	n.Resume = resume
	if _, err := u.made(ctx, was.ID, &n); err != nil {
		return Restored{}, err
	}
	kept, gone, err := u.stillThere(ctx, b)
	if err != nil {
		return Restored{}, err
	}
	lost = append(lost, gone...)
	n.Roles, n.Permissions = kept.roles, kept.permissions
	user, err := u.Create(ctx, n)
	if err == nil && user.ID != was.ID {
		err = fmt.Errorf("user %s came back under another id, %s", was.ID, user.ID)
	}
	if user.ID != "" {
		err = errors.Join(err, u.joinAll(ctx, user.ID, kept.memberships))
	}
	lost = append(lost, "the password: it has a new one", "multi-factor enrolments, passkeys, refresh tokens and sessions", "when it was made, and when and how often it signed in")
	return Restored{user, lost}, err
}

// held is what a restored user gets.
type held struct {
	roles       []string
	permissions []Permission
	memberships []membership
}

// stillThere tells what of a user's access can be given again.
func (u *Users) stillThere(ctx context.Context, b *UserBackup) (h held, lost []string, err error) {
	roles, lost, err := rolesStillThere(ctx, u.API, b.Roles)
	if err != nil {
		return h, nil, err
	}
	h.roles = idsOf(roles)
	permissions, err := decode[Permission](b.Permissions)
	if err != nil {
		return h, nil, err
	}
	for _, p := range permissions {
		unknown, err := unknownPermissions(ctx, u.API, []Permission{p})
		if err != nil {
			return h, nil, err
		}
		if lost = append(lost, unknown...); len(unknown) == 0 {
			h.permissions = append(h.permissions, p)
		}
	}
	memberships, gone, err := u.membershipsStillThere(ctx, b)
	h.memberships = memberships
	return h, append(lost, gone...), err
}

// rolesStillThere are those of the roles, raw, that there are. Of one of another id
// and the same name it is told: that it permits the same is not known.
func rolesStillThere(ctx context.Context, api API, raws []json.RawMessage) (there []Role, lost []string, err error) {
	roles, err := decode[Role](raws)
	if err != nil {
		return nil, nil, err
	}
	for _, role := range roles {
		_, err := api.Get(ctx, []string{"roles", role.ID}, nil)
		if err == nil {
			there = append(there, role)
			continue
		}
		if !errors.Is(err, ErrNotFound) {
			return nil, nil, err
		}
		gone := fmt.Sprintf("role %s (%s): it is gone", role.Name, role.ID)
		other, err := roleNamed(ctx, api, role.Name)
		switch {
		case err == nil:
			gone += fmt.Sprintf("; there is another one of that name, %s", other.ID)
		case !errors.Is(err, ErrNotFound):
			return nil, nil, err
		}
		lost = append(lost, gone)
	}
	return there, lost, nil
}

// Whens are those for which Needs has scopes of users restore.
func (b *UserBackup) Whens() (when []string) {
	if len(b.Roles) > 0 {
		when = append(when, WhenRoles)
	}
	if len(b.Permissions) > 0 {
		when = append(when, WhenPermissions)
	}
	if len(b.Organizations) > 0 {
		when = append(when, WhenOrganizations)
	}
	for _, roles := range b.OrganizationRoles {
		if len(roles) > 0 {
			return append(when, WhenOrganizationRoles)
		}
	}
	return when
}

package provision

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// The members of app_metadata by which a programmatic user is known.
const (
	MarkProgrammatic = "programmatic"
	MarkOwner        = "owner"
	MarkPurpose      = "purpose"
	MarkExpires      = "expires"
)

// User is what is read of a user; Raw is all of it, as it was answered.
type User struct {
	Raw json.RawMessage `json:"-"`

	ID          string         `json:"user_id"`
	Email       string         `json:"email"`
	Username    string         `json:"username"`
	Phone       string         `json:"phone_number"`
	Name        string         `json:"name"`
	Blocked     bool           `json:"blocked"`
	LastLogin   string         `json:"last_login"`
	AppMetadata map[string]any `json:"app_metadata"`
	Identities  []struct {
		Connection string `json:"connection"`
		Provider   string `json:"provider"`
		UserID     any    `json:"user_id"`
	} `json:"identities"`
}

func readUser(raw json.RawMessage) (User, error) {
	u := User{Raw: raw}
	if err := json.Unmarshal(raw, &u); err != nil {
		return u, fmt.Errorf("read the user: %w", err)
	}
	return u, nil
}

// Mark is a member of app_metadata that is a text, or "".
func (u *User) Mark(name string) string {
	text, _ := u.AppMetadata[name].(string)
	return text
}

// Programmatic reports whether the user is marked as a machine's.
func (u *User) Programmatic() bool {
	marked, _ := u.AppMetadata[MarkProgrammatic].(bool)
	return marked
}

// Login is what the user signs in as.
func (u *User) Login() string {
	for _, name := range []string{u.Username, u.Email, u.Phone, u.Name} {
		if name != "" {
			return name
		}
	}
	return u.ID
}

// Connection is where the user's password is.
func (u *User) Connection() string {
	for _, identity := range u.Identities {
		return identity.Connection
	}
	return ""
}

// Users makes, changes and takes away users. Its methods may be called
// concurrently, but not for the same user.
type Users struct{ API API }

// UserQuery says which users to list.
type UserQuery struct {
	Connection string
	Owner      string
	All        bool // those who are not marked as programmatic, too
}

func (q *UserQuery) values() url.Values {
	var terms []string
	if !q.All {
		terms = append(terms, "app_metadata.programmatic:true")
	}
	if q.Owner != "" {
		terms = append(terms, "app_metadata.owner:"+quoteTerm(q.Owner))
	}
	if q.Connection != "" {
		terms = append(terms, "identities.connection:"+quoteTerm(q.Connection))
	}
	v := url.Values{}
	if len(terms) > 0 {
		v.Set("q", strings.Join(terms, " AND "))
		v.Set("search_engine", "v3")
	}
	return v
}

// quoteTerm keeps a value from being read as more of the query (Lucene).
func quoteTerm(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// List searches. What was changed some seconds ago may not be seen yet, and past
// 1,000 users the API refuses.
func (u *Users) List(ctx context.Context, q UserQuery) ([]User, error) {
	raws, err := collect(ctx, u.API, []string{"users"}, "users", q.values())
	if err != nil {
		return nil, err
	}
	users := make([]User, 0, len(raws))
	for _, raw := range raws {
		user, err := readUser(raw)
		if err != nil {
			return nil, err
		}
		users = append(users, user)
	}
	return users, nil
}

// Get reads one, as it is at this moment.
func (u *Users) Get(ctx context.Context, id string) (User, error) {
	raw, err := u.API.Get(ctx, []string{"users", id}, nil)
	if err != nil {
		return User{}, fmt.Errorf("user %s: %w", id, err)
	}
	return readUser(raw)
}

// Access is what a user may do, raw.
type Access struct {
	Roles       []json.RawMessage `json:"roles"`
	Permissions []json.RawMessage `json:"permissions"` // direct ones and those of roles, with their sources
}

// Access reads a user's roles and permissions.
func (u *Users) Access(ctx context.Context, id string) (Access, error) {
	roles, err := collect(ctx, u.API, []string{"users", id, "roles"}, "roles", nil)
	if err != nil {
		return Access{}, err
	}
	permissions, err := collect(ctx, u.API, []string{"users", id, "permissions"}, "permissions", nil)
	return Access{roles, permissions}, err
}

// NewUser says what user to make. It prints without its password.
type NewUser struct {
	Connection             string // of the strategy auth0
	Email, Username, Phone string // one of them at least
	Name                   string
	Password               string
	AppMetadata            map[string]any // with the marks; see Marks
	UserMetadata           map[string]any
	Roles                  []string // by id or name
	Permissions            []Permission

	// Resume takes a user who is there for the one that a run has made which was cut
	// short: one of ID that signs in as this one does, or, without ID, a programmatic
	// one who has Email.
	Resume bool

	// ID is the part behind auth0|; there may be another | in it, as in the ids of
	// custom databases. Default a random one.
	ID string

	profile map[string]any // of a restored user
}

// String keeps the password out of every text.
func (n NewUser) String() string { return "user " + cmp.Or(n.Email, n.Username, n.Phone) }

// GoString keeps it out of %#v.
func (n NewUser) GoString() string { return n.String() }

// maxUserID is what user_id of a new user may have. Source: the OpenAPI document.
const maxUserID = 255

// Validate returns every problem at once.
func (n *NewUser) Validate() error {
	var errs []error
	if n.Connection == "" {
		errs = append(errs, errors.New("the connection is missing"))
	}
	if n.Email == "" && n.Username == "" && n.Phone == "" {
		errs = append(errs, errors.New("want an email address, a user name or a phone number"))
	}
	if n.Password == "" {
		errs = append(errs, errors.New("the password is missing"))
	}
	if strings.ContainsFunc(n.ID, unicode.IsSpace) || len(n.ID) > maxUserID {
		errs = append(errs, fmt.Errorf("the id %q: want the part behind auth0|, %d bytes at most and no spaces", n.ID, maxUserID))
	}
	return errors.Join(errs...)
}

// Marks are the members of app_metadata that mark a programmatic user; empty ones
// are left out.
func Marks(owner, purpose, expires string) map[string]any {
	marks := map[string]any{MarkProgrammatic: true}
	for name, value := range map[string]string{MarkOwner: owner, MarkPurpose: purpose, MarkExpires: expires} {
		if value != "" {
			marks[name] = value
		}
	}
	return marks
}

// body is the POST's. Nobody is there to read a mail that asks to verify an
// address.
func (n *NewUser) body() map[string]any {
	body := map[string]any{"connection": n.Connection, "user_id": n.ID, "password": n.Password, "verify_email": false}
	maps.Copy(body, n.profile)
	maps.Copy(body, n.logins())
	if n.Name != "" {
		body["name"] = n.Name
	}
	for name, value := range map[string]map[string]any{"app_metadata": n.AppMetadata, "user_metadata": n.UserMetadata} {
		if value != nil {
			body[name] = value
		}
	}
	return body
}

// databaseProvider is the first part of the ids of all users of databases.
const databaseProvider = "auth0"

// Create makes a user under an id of our own choice, by which a lost answer is
// resolved. Roles and permissions are looked for before anything is made. Where
// the error comes after that, the user that was made is returned beside it.
func (u *Users) Create(ctx context.Context, n NewUser) (User, error) {
	if err := n.Validate(); err != nil {
		return User{}, err
	}
	roles, err := findRoles(ctx, u.API, n.Roles)
	if err != nil {
		return User{}, err
	}
	if err := checkPermissions(ctx, u.API, n.Permissions); err != nil {
		return User{}, err
	}
	raw, err := u.make(ctx, &n)
	if err != nil {
		return User{}, err
	}
	user, err := readUser(raw)
	if err != nil {
		return user, err
	}
	if err := u.give(ctx, user.ID, roles, n.Permissions); err != nil {
		return user, fmt.Errorf("user %s is made, but not all that it should have: %w", user.ID, err)
	}
	user, err = u.Get(ctx, user.ID)
	return user, err
}

// make is the POST, or what it has made before.
func (u *Users) make(ctx context.Context, n *NewUser) (json.RawMessage, error) {
	switch {
	case n.ID != "":
		if raw, err := u.made(ctx, databaseProvider+"|"+n.ID, n); raw != nil || err != nil {
			return raw, err
		}
	case n.Resume && n.Email != "":
		is, err := u.withEmail(ctx, n.Connection, n.Email)
		if err == nil && is.Programmatic() {
			return is.Raw, nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	n.ID = cmp.Or(n.ID, newUserID())
	id := databaseProvider + "|" + n.ID
	raw, err := create(ctx, u.API, []string{"users"}, n.body(), func() (json.RawMessage, error) {
		return u.API.Get(ctx, []string{"users", id}, nil)
	})
	if errors.Is(err, ErrMaybeDone) {
		err = fmt.Errorf("user %s: %w", id, err)
	}
	return raw, err
}

// made is the user of an id where n resumes its making, nil where nobody has the
// id. Anybody else who has it is an error: after a lost answer, who has it is taken
// for the one that was made.
func (u *Users) made(ctx context.Context, id string, n *NewUser) (json.RawMessage, error) {
	is, err := u.Get(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case !n.Resume:
		return nil, fmt.Errorf("user %s: %w", id, ErrConflict)
	}
	differs, err := differences(is.Raw, n.logins())
	if err == nil && is.Connection() != n.Connection {
		differs = append(differs, "connection")
	}
	if err == nil && len(differs) > 0 {
		err = fmt.Errorf("user %s: %w, with another %s", id, ErrConflict, strings.Join(differs, ", "))
	}
	return is.Raw, err
}

// logins are the members by which the user signs in.
func (n *NewUser) logins() map[string]any {
	logins := map[string]any{}
	for name, value := range map[string]string{"email": n.Email, "username": n.Username, "phone_number": n.Phone} {
		if value != "" {
			logins[name] = value
		}
	}
	return logins
}

// newUserID is of the form that Auth0 gives to users of a database.
func newUserID() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails: see crypto/rand
	return hex.EncodeToString(b)
}

// give assigns roles and adds permissions, both of them although one fails.
func (u *Users) give(ctx context.Context, id string, roles []Role, permissions []Permission) error {
	var errs []error
	if len(roles) > 0 {
		errs = append(errs, assignRoles(ctx, u.API, id, roles))
	}
	if len(permissions) > 0 {
		errs = append(errs, addPermissions(ctx, u.API, []string{"users", id, "permissions"}, permissions))
	}
	return errors.Join(errs...)
}

// Update changes what changes names: null in metadata removes a member, null
// elsewhere unsets; members of metadata that it does not name stay.
func (u *Users) Update(ctx context.Context, id string, changes map[string]any) (User, error) {
	var user User
	err := settle(func() error {
		_, err := u.API.Patch(ctx, []string{"users", id}, changes)
		return err
	}, func() (left []string, err error) {
		if user, err = u.Get(ctx, id); err != nil {
			return nil, err
		}
		return differences(user.Raw, changes)
	})
	if err != nil {
		return user, fmt.Errorf("update user %s: %w", id, err)
	}
	return user, nil
}

// differences names the members of a user that are not as changes says. Passwords
// cannot be looked at.
func differences(raw json.RawMessage, changes map[string]any) ([]string, error) {
	var is, want map[string]any
	text, err := json.Marshal(changes)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(readExactly(raw, &is), readExactly(text, &want)); err != nil {
		return nil, err
	}
	delete(want, "password")
	var different []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		members, nested := want[name].(map[string]any)
		if !nested || !strings.HasSuffix(name, "_metadata") {
			same := equal
			if name == "email" || name == "username" {
				same = sameLogin
			}
			if !same(is[name], want[name]) {
				different = append(different, name)
			}
			continue
		}
		has, _ := is[name].(map[string]any)
		for _, member := range slices.Sorted(maps.Keys(members)) {
			if !equal(has[member], members[member]) {
				different = append(different, name+"."+member)
			}
		}
	}
	return different, nil
}

// Block keeps a user from signing in; Unblock lets it again, and lifts what too
// many wrong passwords have locked out. Tokens that were issued stay good.
func (u *Users) Block(ctx context.Context, id string) (User, error) {
	return u.Update(ctx, id, map[string]any{"blocked": true})
}

// Unblock is the opposite of Block.
func (u *Users) Unblock(ctx context.Context, id string) (User, error) {
	user, err := u.Update(ctx, id, map[string]any{"blocked": false})
	if err != nil {
		return user, err
	}
	if err := u.API.Delete(ctx, []string{"user-blocks", id}, nil); err != nil {
		return user, fmt.Errorf("user %s is unblocked, but addresses that failed too often may still be locked out: %w", id, err)
	}
	return user, nil
}

// Delete deletes a user when keep has kept its backup, and looks whether it is
// gone. Without keep there is no backup, and nothing of it is read.
func (u *Users) Delete(ctx context.Context, id string, keep func(*UserBackup) error) error {
	if keep != nil {
		backup, err := u.Backup(ctx, id)
		if err != nil {
			return fmt.Errorf("user %s is not deleted: %w", id, err)
		}
		if err := keep(&backup); err != nil {
			return fmt.Errorf("user %s is not deleted: %w", id, err)
		}
	}
	return remove(ctx, u.API, "user "+id, []string{"users", id})
}

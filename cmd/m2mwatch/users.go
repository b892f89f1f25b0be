package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newUsers(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "users",
		Short: "Programmatic users of a tenant: create, import, list, show, update, block, unblock, password, delete, restore",
		Long: `A programmatic user is a user of a database connection that a machine signs in as. It is marked
in its app_metadata: programmatic, owner, purpose, expires. Commands that change or delete a user
refuse one that is not marked, unless --any says that it is meant.`,
		Args: noArgs,
	}
	cmd.AddCommand(newUsersCreate(inv), newUsersImport(inv), newUsersList(inv), newUsersShow(inv), newUsersUpdate(inv), newUsersBlock(inv), newUsersUnblock(inv), newUsersPassword(inv), newUsersDelete(inv), newUsersRestore(inv))
	return cmd
}

// marks are the flags that mark a programmatic user.
type marks struct{ owner, purpose, expires string }

func (m *marks) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&m.owner, "owner", "", "who answers for it")
	f.StringVar(&m.purpose, "purpose", "", "what it is for")
	f.StringVar(&m.expires, "expires", "", "when it is to be gone: a date, RFC 3339, or 90d from now; nothing ends by itself")
}

func (m *marks) read() (err error) {
	if m.expires != "" {
		m.expires, err = readExpiry(m.expires, time.Now())
	}
	return err
}

// metadata are the flags for members of metadata.
type metadata struct{ app, user string }

func (m *metadata) flags(cmd *cobra.Command, more string) {
	cmd.Flags().StringVar(&m.app, "app-metadata", "", "members of app_metadata, a JSON object"+more)
	cmd.Flags().StringVar(&m.user, "user-metadata", "", "members of user_metadata, a JSON object"+more)
}

func (m *metadata) read() (app, user map[string]any, err error) {
	for _, part := range []struct {
		name, text string
		object     *map[string]any
	}{{"app-metadata", m.app, &app}, {"user-metadata", m.user, &user}} {
		if part.text == "" {
			continue
		}
		if *part.object, err = provision.ReadObject([]byte(part.text)); err != nil {
			return nil, nil, fmt.Errorf("%w: --%s: %w", errUsage, part.name, err)
		}
	}
	return app, user, nil
}

func newUsersCreate(inv *invocation) *cobra.Command {
	var (
		p           = provisioning{inv: inv}
		n           provision.NewUser
		m           marks
		meta        metadata
		secret      userPassword
		permissions []string
		asJSON      bool
	)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a programmatic user with a generated password",
		Long: `create makes a user in a database connection, marks it as programmatic, and gives it roles and
permissions. Auth0 is asked to send no mail. The password is generated; it goes to a new file, or
is printed once. Roles, APIs and permissions are looked for before anything is made, and at the end
it is looked whether the user has them.`,
		Example: `  m2mwatch users create --email nightly@example.com --owner data-team --purpose "nightly export" --expires 90d --password-file nightly.password
  m2mwatch users create --email nightly@example.com --role exporter --permission read:orders@https://api.example.com --password-file nightly.password`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			app, user, err := meta.read()
			if err != nil {
				return err
			}
			if err := errors.Join(m.read(), secret.check(inv)); err != nil {
				return err
			}
			n.UserMetadata, n.AppMetadata = user, provision.Marks(m.owner, m.purpose, m.expires)
			for name, value := range app {
				if _, marked := n.AppMetadata[name]; !marked {
					n.AppMetadata[name] = value
				}
			}
			if n.Permissions, err = readPermissions(permissions); err != nil {
				return err
			}
			n.Password, n.Resume = secret.value, secret.resume
			if err := n.Validate(); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			if strings.HasPrefix(n.ID, "auth0|") {
				return fmt.Errorf("%w: --user-id: want the part behind auth0|", errUsage)
			}
			var when []string
			if len(n.Roles) > 0 {
				when = append(when, provision.WhenRole)
			}
			if len(n.Permissions) > 0 {
				when = append(when, provision.WhenPermission)
			}
			api, err := p.begin(cmd, when...)
			if err != nil {
				return err
			}
			return makeUser(inv, &secret, asJSON, func() (provision.User, error) {
				return (&provision.Users{API: api}).Create(cmd.Context(), n)
			})
		},
	}
	p.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(&n.Connection, "connection", "Username-Password-Authentication", "the database connection")
	f.StringVar(&n.Email, "email", "", "its email address; no mail is sent there")
	f.StringVar(&n.Username, "username", "", "its user name, where the connection has those")
	f.StringVar(&n.Phone, "phone-number", "", "its phone number, +4312345, where the connection has those")
	f.StringVar(&n.ID, "user-id", "", "the part of its id behind auth0| (default: a random one)")
	f.StringVar(&n.Name, "name", "", "its name, for people")
	f.StringArrayVar(&n.Roles, "role", nil, "a role, by id or name; again for more")
	f.StringArrayVar(&permissions, "permission", nil, "a permission of its own, NAME@API; again for more")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	m.flags(cmd)
	meta.flags(cmd, "")
	secret.flags(cmd, "the password")
	return cmd
}

func readPermissions(texts []string) ([]provision.Permission, error) {
	var permissions []provision.Permission
	for _, text := range texts {
		p, err := provision.ParsePermission(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		permissions = append(permissions, p)
	}
	return permissions, nil
}

// makeUser keeps the password, makes the user, and prints both. What was made is
// printed although something of it failed: nobody could find it otherwise.
func makeUser(inv *invocation, secret *userPassword, asJSON bool, create func() (provision.User, error)) error {
	if err := secret.keep(); err != nil {
		return err
	}
	user, err := create()
	if user.ID == "" {
		if !errors.Is(err, provision.ErrMaybeDone) {
			secret.forget()
		}
		return err
	}
	shown, failed := (&hiding{secret.reveal}).hide(inv, user.Raw)
	if failed == nil && secret.printed() {
		fmt.Fprintln(inv.stderr, "the password is not shown again")
		shown[0], failed = with(shown[0], "password", secret.value)
	}
	if failed != nil {
		return errors.Join(err, failed)
	}
	return errors.Join(printDocument(inv, shown[0], asJSON), err)
}

func newUsersList(inv *invocation) *cobra.Command {
	var (
		p   = provisioning{inv: inv}
		q   provision.UserQuery
		h   hiding
		out output
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List programmatic users",
		Long: `list searches, as Auth0's API does: what was changed some seconds ago may not show yet (users
show does not wait for that), and past the first 1,000 users the API refuses.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			users, err := (&provision.Users{API: api}).List(cmd.Context(), q)
			if err != nil {
				return err
			}
			l := recordList{what: "users", raw: []json.RawMessage{}, header: []string{"USER_ID", "LOGIN", "CONNECTION", "OWNER", "PURPOSE", "EXPIRES", "BLOCKED", "LAST_LOGIN"}}
			for i := range users {
				u := &users[i]
				blocked := ""
				if u.Blocked {
					blocked = strconv.FormatBool(true)
				}
				l.raw = append(l.raw, u.Raw)
				l.rows = append(l.rows, []string{
					u.ID, u.Login(), u.Connection(), u.Mark(provision.MarkOwner), u.Mark(provision.MarkPurpose), u.Mark(provision.MarkExpires), blocked, u.LastLogin,
				})
			}
			if out.json {
				if l.raw, err = h.hide(inv, l.raw...); err != nil {
					return err
				}
			}
			return l.print(inv, out)
		},
	}
	p.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(&q.Connection, "connection", "", "of this connection")
	f.StringVar(&q.Owner, "owner", "", "of this owner")
	f.BoolVar(&q.All, "all", false, "those who are not marked as programmatic, too")
	h.flags(cmd)
	out.flags(cmd)
	return cmd
}

func newUsersShow(inv *invocation) *cobra.Command {
	var (
		p              = provisioning{inv: inv}
		h              hiding
		access, asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "show USER_ID",
		Short: "Show one user, as it is at this moment",
		Args:  theArgs(1, "one user id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var when []string
			if access {
				when = append(when, provision.WhenAccess)
			}
			api, err := p.begin(cmd, when...)
			if err != nil {
				return err
			}
			users := provision.Users{API: api}
			user, err := users.Get(cmd.Context(), args[0])
			if err != nil || !access {
				return errors.Join(err, h.print(inv, user.Raw, asJSON))
			}
			has, err := users.Access(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			raw, err := json.Marshal(map[string]any{"user": user.Raw, "roles": has.Roles, "permissions": has.Permissions})
			if err != nil {
				return err
			}
			return h.print(inv, raw, asJSON)
		},
	}
	p.flags(cmd, inv)
	h.flags(cmd)
	cmd.Flags().BoolVar(&access, "access", false, "with its roles and permissions, and where these come from")
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

// ofUser is a command that changes users that are there.
type ofUser struct {
	provisioning
	any bool
}

func (o *ofUser) flags(cmd *cobra.Command, inv *invocation) {
	o.provisioning.flags(cmd, inv)
	cmd.Flags().BoolVar(&o.any, "any", false, "also a user that is not marked as programmatic")
}

// get reads a user, and refuses a person's.
func (o *ofUser) get(cmd *cobra.Command, users *provision.Users, id string) (provision.User, error) {
	user, err := users.Get(cmd.Context(), id)
	if err == nil && !o.any && !user.Programmatic() {
		err = fmt.Errorf("user %s (%s) is not marked as programmatic: say --any if it is meant", id, user.Login())
	}
	return user, err
}

func newUsersUpdate(inv *invocation) *cobra.Command {
	var (
		o       = ofUser{provisioning: provisioning{inv: inv}}
		h       hiding
		m       marks
		meta    metadata
		changes = map[string]*string{"email": new(string), "username": new(string), "name": new(string)}
		adopt   bool
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "update USER_ID",
		Short: "Change a user; members of metadata that are not named stay",
		Long: `update changes what the flags name. Members of metadata are merged at the first level: those not
named stay, and null removes one. It looks at the end whether the user is as it was told to be.
--adopt marks a user that was made otherwise as programmatic.`,
		Example: `  m2mwatch users update 'auth0|6520…' --owner data-team --app-metadata '{"ticket": null}'`,
		Args:    theArgs(1, "one user id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := userChanges(cmd, &m, &meta, changes, adopt)
			if err != nil {
				return err
			}
			var when []string
			if body["app_metadata"] != nil {
				when = append(when, provision.WhenAppMetadata)
			}
			api, err := o.begin(cmd, when...)
			if err != nil {
				return err
			}
			users := &provision.Users{API: api}
			o.any = o.any || adopt
			if _, err := o.get(cmd, users, args[0]); err != nil {
				return err
			}
			user, err := users.Update(cmd.Context(), args[0], body)
			if err != nil {
				return err
			}
			return h.print(inv, user.Raw, asJSON)
		},
	}
	o.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(changes["email"], "email", "", "another email address")
	f.StringVar(changes["username"], "username", "", "another user name")
	f.StringVar(changes["name"], "name", "", "another name")
	f.BoolVar(&adopt, "adopt", false, "mark it as programmatic")
	h.flags(cmd)
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	m.flags(cmd)
	meta.flags(cmd, "; null removes one")
	return cmd
}

// userChanges is the body of an update: what flags were given. An empty mark
// removes it.
func userChanges(cmd *cobra.Command, m *marks, meta *metadata, profile map[string]*string, adopt bool) (map[string]any, error) {
	app, user, err := meta.read()
	if err != nil {
		return nil, err
	}
	if err := m.read(); err != nil {
		return nil, err
	}
	body, marked := map[string]any{}, map[string]any{}
	maps.Copy(marked, app)
	for name, value := range map[string]string{provision.MarkOwner: m.owner, provision.MarkPurpose: m.purpose, provision.MarkExpires: m.expires} {
		switch {
		case !cmd.Flags().Changed(name):
		case value == "":
			marked[name] = nil
		default:
			marked[name] = value
		}
	}
	if adopt {
		marked[provision.MarkProgrammatic] = true
	}
	for name, value := range profile {
		if cmd.Flags().Changed(name) {
			body[name] = *value
		}
	}
	if len(marked) > 0 {
		body["app_metadata"] = marked
	}
	if len(user) > 0 {
		body["user_metadata"] = user
	}
	if len(body) == 0 {
		return nil, fmt.Errorf("%w: users update: nothing to change", errUsage)
	}
	return body, nil
}

package auth0sim

import (
	"cmp"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

func userFields() fields {
	return fields{
		"email": textMember(1, 0).matching(`^[^@\s]+@[^@\s]+$`).orNull(), "phone_number": textMember(1, 0).matching(`^\+[0-9]{1,15}$`).orNull(),
		"user_metadata": objectMember(nil), "app_metadata": objectMember(nil), "blocked": flagMember(), "email_verified": flagMember(), "phone_verified": flagMember(),
		"given_name": textMember(1, 150).orNull(), "family_name": textMember(1, 150).orNull(), "name": textMember(1, 300).orNull(), "nickname": textMember(1, 300).orNull(),
		"picture": textMember(1, 0).matching(`^https?://`).orNull(), "connection": textMember(1, 0), "password": textMember(1, 0).orNull(),
		"verify_email": flagMember(), "username": textMember(1, 128).orNull(),
	}
}

func userOperations() []operation {
	create := userFields().and(fields{"user_id": textMember(0, 255).matching(`^\S*$`)}).require("connection")
	update := userFields().and(fields{"client_id": textMember(1, 0), "verify_phone_number": flagMember()})
	return []operation{
		{"GET", "/users", []string{"read:users", "read:user_idp_tokens"}, false, "Search users", nil, searchUsers},
		{"POST", "/users", []string{"create:users"}, false, "Create a User", create, createUser},
		{"GET", "/users/{id}", []string{"read:users", "read:current_user", "read:user_idp_tokens"}, false, "Get a User", nil, showUser},
		{"PATCH", "/users/{id}", []string{"update:users", "update:users_app_metadata"}, false, "Update a User", update, updateUser},
		{"DELETE", "/users/{id}", []string{"delete:users", "delete:current_user"}, false, "Delete a User", nil, deleteUser},
		{"GET", "/users-by-email", []string{"read:users"}, false, "Search users by email", nil, usersByEmail},
		{"GET", "/users/{id}/organizations", []string{"read:organizations"}, false, "Get a user's organizations", nil, listUserOrganizations},
	}
}

// connectionOf is the connection of a user's first identity.
func connectionOf(user document) string {
	for _, identity := range user.documents("identities") {
		return identity.text("connection")
	}
	return ""
}

// pictureOf is the address of the picture that a user has without having one.
func pictureOf(email string) string {
	sum := md5.Sum([]byte(strings.ToLower(email)))
	initials := strings.ToLower(email)
	if len(initials) > 2 {
		initials = initials[:2]
	}
	return "https://s.gravatar.com/avatar/" + hex.EncodeToString(sum[:]) + "?s=480&r=pg&d=" + url.QueryEscape("https://cdn.auth0.com/avatars/"+initials+".png")
}

func (c *apiCall) user(id string) (document, error) {
	if d := c.users.get(id); d != nil {
		return d, nil
	}
	return nil, notFound("inexistent_user", "The user does not exist.")
}

func showUser(c *apiCall) (reply, error) {
	d, err := c.user(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, c.fieldsOf(d)}, nil
}

func createUser(c *apiCall) (reply, error) {
	d, err := c.newUser(c.object().clone())
	return reply{http.StatusCreated, d}, err
}

// newUser keeps a user and what is not told of it.
func (s *store) newUser(d document) (document, error) {
	connection := s.connections.find(having("name", d.text("connection")))
	if connection == nil {
		return nil, badRequest("inexistent_connection", "The connection does not exist.")
	}
	if err := checkNewUser(d, connection); err != nil {
		return nil, err
	}
	asKept(d, connection.text("strategy"))
	provider := connection.text("strategy")
	id := provider + "|" + cmp.Or(d.text("user_id"), hexString(s.rng, 24))
	if s.users.get(id) != nil || s.userWith(d, connection.text("name"), "") {
		return nil, conflict("auth0_idp_error", "The user already exists.")
	}
	if password := d.text("password"); password != "" {
		s.passwords[id] = password
	}
	name, at := cmp.Or(d.text("email"), d.text("username"), d.text("phone_number"), id), s.date()
	for _, kept := range []string{"connection", "password", "verify_email", "verify_phone_number"} {
		delete(d, kept)
	}
	removeNulls(d)
	d.setDefaults(document{"name": name, "nickname": strings.Split(name, "@")[0], "picture": pictureOf(name)})
	if d["email"] != nil {
		d.setDefaults(document{"email_verified": false})
	}
	d.set(document{"user_id": id, "created_at": at, "updated_at": at, "identities": []any{identityOf(connection.text("name"), id)}})
	s.beforeChange(id)
	s.users.put(id, d)
	return d, nil
}

// asKept makes of a user's members what Auth0 keeps of them: in its databases
// email addresses and user names are in lower case, and numbers are JavaScript's.
func asKept(d document, strategy string) {
	for _, name := range []string{"email", "username"} {
		if text := d.text(name); text != "" && strategy == "auth0" {
			d[name] = strings.ToLower(text)
		}
	}
	for _, name := range []string{"app_metadata", "user_metadata"} {
		if part := d.child(name); part != nil {
			d[name] = keptNumbers(part)
		}
	}
}

// maxSafe is the largest number up to which JavaScript keeps every integer. Those
// beyond it are left as they came, so that tests see a digit that we lose.
const maxSafe = 1<<53 - 1

// keptNumbers writes the integers in a value, of which it is the owner, as
// JavaScript does: 1.0 as 1, 1e3 as 1000.
func keptNumbers(v any) any {
	switch v := v.(type) {
	case document:
		for name, member := range v {
			v[name] = keptNumbers(member)
		}
	case []any:
		for i := range v {
			v[i] = keptNumbers(v[i])
		}
	case json.Number:
		if f, err := v.Float64(); err == nil && f == math.Trunc(f) && math.Abs(f) <= maxSafe {
			return json.Number(strconv.FormatInt(int64(f), 10))
		}
	}
	return v
}

// checkNewUser asks for what a connection needs to know of a user.
func checkNewUser(d, connection document) error {
	missing := func(name string) error {
		return badRequest("invalid_body", "Payload validation error: 'Missing required property: %s'.", name)
	}
	switch connection.text("strategy") {
	case "auth0":
		switch {
		case d["email"] == nil && d["username"] == nil && d["phone_number"] == nil:
			return missing("email")
		case d["password"] == nil:
			return missing("password")
		}
		return checkPassword(d.text("password"), connection)
	case "email":
		if d["email"] == nil {
			return missing("email")
		}
	case "sms":
		if d["phone_number"] == nil {
			return missing("phone_number")
		}
	}
	return nil
}

// checkPassword holds a password against the connection's policy.
func checkPassword(password string, connection document) error {
	policy := cmp.Or(connection.child("options").text("passwordPolicy"), "good")
	kinds := make(map[string]bool)
	for _, c := range password {
		switch {
		case unicode.IsLower(c):
			kinds["lower"] = true
		case unicode.IsUpper(c):
			kinds["upper"] = true
		case unicode.IsDigit(c):
			kinds["digit"] = true
		default:
			kinds["special"] = true
		}
	}
	least := map[string]int{"none": 1, "low": 6, "fair": 8, "good": 8, "excellent": 10}[policy]
	if len(password) < least || (policy == "good" || policy == "excellent" || policy == "fair") && len(kinds) < 3 {
		return badRequest("invalid_body", "PasswordStrengthError: Password is too weak")
	}
	return nil
}

// userWith tells whether another user of the connection has the email or the username.
func (s *store) userWith(d document, connection, except string) bool {
	email, username := strings.ToLower(d.text("email")), d.text("username")
	return s.users.find(func(u document) bool {
		return u.text("user_id") != except && connectionOf(u) == connection &&
			(email != "" && strings.ToLower(u.text("email")) == email || username != "" && u.text("username") == username)
	}) != nil
}

// checkUserUpdate refuses what cannot be changed at once.
func (c *apiCall) checkUserUpdate(changes document) error {
	for _, pair := range [][2]string{{"password", "email"}, {"password", "email_verified"}, {"username", "email"}, {"username", "password"}, {"username", "email_verified"}} {
		_, first := changes[pair[0]]
		if _, second := changes[pair[1]]; first && second {
			return badRequest("invalid_body", "Cannot update %s and %s simultaneously", pair[0], pair[1])
		}
	}
	if !c.by.has("update:users") {
		for name := range changes {
			if name != "app_metadata" {
				return forbidden("insufficient_scope", "Insufficient scope, expected any of: update:users")
			}
		}
	}
	return nil
}

func updateUser(c *apiCall) (reply, error) {
	id := c.params["id"]
	d, err := c.user(id)
	if err != nil {
		return reply{}, err
	}
	changes := c.object().clone()
	if err := c.checkUserUpdate(changes); err != nil {
		return reply{}, err
	}
	asKept(changes, c.connections.find(having("name", connectionOf(d))).text("strategy"))
	if c.userWith(changes, connectionOf(d), id) {
		return reply{}, conflict("auth0_idp_error", "The specified new email already exists")
	}
	after := d.clone()
	if password := changes.text("password"); password != "" {
		connection := c.connections.find(having("name", connectionOf(d)))
		if err := checkPassword(password, connection); err != nil {
			return reply{}, err
		}
		if connection.child("options").child("password_history").flag("enable") && password == c.passwords[id] {
			return reply{}, badRequest("invalid_body", "PasswordHistoryError: Password has previously been used")
		}
		c.passwords[id] = password
		after["last_password_reset"] = c.date()
	}
	for _, name := range []string{"app_metadata", "user_metadata"} {
		if part := changes.child(name); part != nil {
			after.mergeFirstLevel(name, part)
		}
	}
	after.set(changes.without("app_metadata", "user_metadata", "password", "connection", "client_id", "verify_email", "verify_phone_number"))
	after["updated_at"] = c.date()
	c.beforeChange(id)
	c.users.put(id, after)
	return reply{http.StatusOK, after}, nil
}

// deleteUser answers 204 whether the user was there or not.
func deleteUser(c *apiCall) (reply, error) {
	c.removeUser(c.params["id"])
	return reply{http.StatusNoContent, nil}, nil
}

func (s *store) removeUser(id string) {
	s.beforeChange(id)
	s.users.remove(id)
	delete(s.passwords, id)
	delete(s.blocks, id)
	s.unlink(relationUserRole, id, "")
	s.unlink(relationUserPermission, id, "")
	for _, l := range s.linkedTo(relationOrganizationUser, id) {
		s.unlink(relationMemberRole, memberKey(l.from, id), "")
	}
	s.unlink(relationOrganizationUser, "", id)
}

func listUserOrganizations(c *apiCall) (reply, error) {
	if _, err := c.user(c.params["id"]); err != nil {
		return reply{}, err
	}
	docs := make([]document, 0)
	for _, l := range c.linkedTo(relationOrganizationUser, c.params["id"]) {
		docs = append(docs, c.organizations.get(l.from))
	}
	return c.listing("organizations", docs, false)
}

package auth0sim

import (
	"crypto/md5"
	"encoding/hex"
	"net/url"
	"strings"
)

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

// permission is a scope of an API that a user or a role has.
type permission struct {
	server, name string
}

// permissionsOf are those that a user has, directly and by roles.
func (s *store) permissionsOf(string) []permission { return nil }

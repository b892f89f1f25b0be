package auth0

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNotReadOnly is wrapped where a token may do more than read what is no secret.
var ErrNotReadOnly = errors.New("it may do more than a watcher needs")

// secretScopes read what opens something: an application's secret, a token of a
// user at an identity provider.
var secretScopes = []string{"read:client_keys", "read:user_idp_tokens"}

// ReadOnly refuses scopes by which a tenant can be changed, or its secrets read. Its
// error wraps ErrNotReadOnly and names them.
//
// Source: the Management API's scopes are verb:noun; read: is the one verb that
// changes nothing.
func ReadOnly(scopes []string) error {
	var more []string
	for _, scope := range scopes {
		if !strings.HasPrefix(scope, "read:") || slices.Contains(secretScopes, scope) {
			more = append(more, scope)
		}
	}
	if len(more) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrNotReadOnly, summary(more))
}

// summary names the first of many.
func summary(scopes []string) string {
	const most = 8
	if len(scopes) <= most {
		return strings.Join(scopes, " ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(scopes[:most], " "), len(scopes)-most)
}

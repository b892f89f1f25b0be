package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// secretMembers are the names of what a user's document may hold that opens
// something: tokens of other providers in identities, and what people put into
// metadata though they should not. Case, _ and - do not count.
func secretMembers() []string {
	return []string{
		"accesstoken", "accesstokensecret", "idtoken", "refreshtoken", "token", "password", "passwordhash",
		"secret", "clientsecret", "apikey", "privatekey",
	}
}

// redacted stands for a secret.
const redacted = `"***"`

// appSecretMembers are those that an application's document may have beside them:
// its keys, and what its addons sign in with. Source: ClientAddons in the
// Management API's OpenAPI document.
func appSecretMembers() []string {
	return append(secretMembers(), "signingkeys", "encryptionkey", "storageaccesskey", "saskey", "masterkey", "servicepassword")
}

// RedactApp is Redact for an application.
func RedactApp(raw json.RawMessage) (shown json.RawMessage, hidden int, err error) {
	return redact(raw, appSecretMembers())
}

// Redact replaces the values of secrets at any depth of a document, and leaves
// every other byte as it was. hidden is how many there were.
func Redact(raw json.RawMessage) (shown json.RawMessage, hidden int, err error) {
	return redact(raw, secretMembers())
}

func redact(raw json.RawMessage, secrets []string) (shown json.RawMessage, hidden int, err error) {
	d := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	from := 0
	for {
		token, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			return append(shown, raw[from:]...), hidden, nil
		}
		if err != nil {
			return nil, 0, fmt.Errorf("look for secrets: %w", err)
		}
		kind, read := d.StackIndex(d.StackDepth())
		isName := kind == '{' && read%2 == 1
		if !isName || !slices.Contains(secrets, bareName(token.String())) || d.PeekKind() == 'n' {
			continue
		}
		value, err := d.ReadValue()
		if err != nil {
			return nil, 0, fmt.Errorf("look for secrets: %w", err)
		}
		end := int(d.InputOffset())
		shown = append(append(shown, raw[from:end-len(value)]...), redacted...)
		from, hidden = end, hidden+1
	}
}

func bareName(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

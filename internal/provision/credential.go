package provision

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
)

// credentialsMax is how many keys an application can have at a time. Source:
// Auth0, "Rotate credentials".
const credentialsMax = 2

// defaultAlg is how an application signs that says nothing else.
const defaultAlg = "RS256"

// Key is the public part of a key by which an application authenticates.
type Key struct {
	PEM     string
	ID      string    // kid: what the key is, whatever it is called
	Name    string    // 128 characters at most
	Expires time.Time // zero for never
}

// NewKey names a key by its content (RFC 7638), so that it is known again after an
// answer was lost.
func NewKey(public *rsa.PublicKey, name string, expires time.Time) (Key, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Key{}, fmt.Errorf("write the public key: %w", err)
	}
	part := base64.RawURLEncoding.EncodeToString
	sum := sha256.Sum256(fmt.Appendf(nil, `{"e":%q,"kty":"RSA","n":%q}`, part(big.NewInt(int64(public.E)).Bytes()), part(public.N.Bytes())))
	return Key{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), part(sum[:]), name, expires}, nil
}

// request asks for the key as a credential.
func (k *Key) request() map[string]any {
	body := map[string]any{"credential_type": "public_key", "pem": k.PEM, "kid": k.ID, "alg": defaultAlg}
	if k.Name != "" {
		body["name"] = k.Name
	}
	if !k.Expires.IsZero() {
		body["expires_at"] = k.Expires.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return body
}

// Credential is a key of an application as Auth0 tells it, which is without the
// key itself.
type Credential struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	KeyID   string `json:"kid"`
	Alg     string `json:"alg"`
	Type    string `json:"credential_type"`
	Created string `json:"created_at"`
	Expires string `json:"expires_at"`
	// Accepted tells that the application may authenticate by it.
	Accepted bool `json:"accepted"`
}

// String names a credential for people.
func (c *Credential) String() string {
	return fmt.Sprintf("%s (%q, kid %s, of %s)", c.ID, c.Name, c.KeyID, c.Created)
}

// Credentials reads the keys of an application, the oldest first.
func (a *Apps) Credentials(ctx context.Context, id string) ([]Credential, error) {
	app, err := a.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	raws, err := a.credentials(ctx, id)
	if err != nil {
		return nil, err
	}
	list, err := decode[Credential](raws)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(c Credential) bool { return c.Type != "public_key" })
	for i := range list {
		list[i].Accepted = slices.Contains(app.Accepts(), list[i].ID)
	}
	slices.SortStableFunc(list, func(a, b Credential) int { return strings.Compare(a.Created, b.Created) })
	return list, nil
}

// HasKeys reports whether an application authenticates by keys. Who may not read
// its credentials is told that of none.
func (a *App) HasKeys() bool { return a.Methods != nil && a.Methods.PrivateKeyJWT != nil }

// Accepts are the ids of the keys that an application may authenticate by.
func (a *App) Accepts() (ids []string) {
	if !a.HasKeys() {
		return nil
	}
	for _, c := range a.Methods.PrivateKeyJWT.Credentials {
		ids = append(ids, c.ID)
	}
	return ids
}

// Expired reports whether a key is refused for its age.
func (c *Credential) Expired(now time.Time) bool {
	at, err := time.Parse(time.RFC3339, c.Expires)
	return err == nil && !at.After(now)
}

// byKeysAlone refuses an application that authenticates in another way than by a
// secret or keys: accepting keys would take its certificates away.
func (a *App) byKeysAlone() error {
	var is struct {
		Methods map[string]json.RawMessage `json:"client_authentication_methods"`
	}
	if err := json.Unmarshal(a.Raw, &is); err != nil {
		return fmt.Errorf("read the application: %w", err)
	}
	delete(is.Methods, "private_key_jwt")
	maps.DeleteFunc(is.Methods, func(_ string, method json.RawMessage) bool { return string(method) == "null" })
	if len(is.Methods) == 0 {
		return nil
	}
	return fmt.Errorf("application %s authenticates by %s, which keys would replace: its credentials are changed in Auth0's dashboard", a.ID, strings.Join(slices.Sorted(maps.Keys(is.Methods)), ", "))
}

// accept has an application authenticate by these keys and no others, nor by a
// secret.
func (a *Apps) accept(ctx context.Context, id string, credentials ...string) error {
	list := []map[string]string{}
	for _, credential := range credentials {
		list = append(list, map[string]string{"id": credential})
	}
	body := map[string]any{
		"client_authentication_methods": map[string]any{"private_key_jwt": map[string]any{"credentials": list}},
		"token_endpoint_auth_method":    nil,
		"jwt_configuration":             map[string]any{"alg": defaultAlg}, // no other is taken with keys
	}
	return settle(func() error {
		_, err := a.API.Patch(ctx, []string{"clients", id}, body)
		return err
	}, func() ([]string, error) {
		app, err := a.Get(ctx, id)
		if err != nil || slices.Equal(slices.Sorted(slices.Values(app.Accepts())), slices.Sorted(slices.Values(credentials))) {
			return nil, err
		}
		return []string{fmt.Sprintf("it accepts the keys %q", app.Accepts())}, nil
	})
}

// AddKey has an application accept a key beside the one that it has; one that had
// a secret accepts the key alone. What was done before is not done again, so it
// may be called again where it was cut short:
//
//  1. the credential is made, unless there is one of the key already: a crash
//     after it leaves a key that is not accepted;
//  2. the application accepts both: a crash after it leaves nothing undone.
func (a *Apps) AddKey(ctx context.Context, id string, key Key) ([]Credential, error) {
	if err := a.takesKeys(ctx, id); err != nil {
		return nil, err
	}
	list, err := a.Credentials(ctx, id)
	if err != nil {
		return nil, err
	}
	ofKey := func(c Credential) bool { return c.KeyID == key.ID }
	if !slices.ContainsFunc(list, ofKey) {
		if len(list) >= credentialsMax {
			return list, fmt.Errorf("application %s has %d keys, and can have no more: %s; finish the rotation that is under way first", id, len(list), names(list))
		}
		find := func() (json.RawMessage, error) {
			if list, err = a.Credentials(ctx, id); err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(list, ofKey) {
				return nil, ErrNotFound
			}
			return json.RawMessage("{}"), nil
		}
		if _, err := create(ctx, a.API, []string{"clients", id, "credentials"}, key.request(), find); err != nil {
			return list, fmt.Errorf("give application %s a key: %w", id, err)
		}
		if _, err := find(); err != nil {
			return list, fmt.Errorf("look for the key of application %s: %w", id, err)
		}
	}
	var accepted []string
	for _, c := range list {
		if c.Accepted || ofKey(c) {
			accepted = append(accepted, c.ID)
		}
	}
	if err := a.accept(ctx, id, accepted...); err != nil {
		return list, fmt.Errorf("have application %s accept its new key: %w", id, err)
	}
	return a.Credentials(ctx, id)
}

// takesKeys refuses an application of whose authentication keys would take a part.
func (a *Apps) takesKeys(ctx context.Context, id string) error {
	app, err := a.Get(ctx, id)
	if err != nil {
		return err
	}
	return app.byKeysAlone()
}

func names(list []Credential) string {
	texts := make([]string, 0, len(list))
	for i := range list {
		texts = append(texts, list[i].String())
	}
	return strings.Join(texts, ", ")
}

// ErrNothingToFinish is wrapped where no rotation of keys is under way.
var ErrNothingToFinish = errors.New("no rotation of its keys is under way")

// Finishing tells which key stays when a rotation is finished, and which go: the
// newest that is accepted stays, of those that have not expired where there is one.
// One that is newer and is not accepted yet was left by a rotation that was cut
// short: it is an error, as it may be the one that is deployed. So it is where the
// one that would stay has expired and one that would go has not.
func Finishing(list []Credential, now time.Time) (stays Credential, others []Credential, err error) {
	for _, c := range list { // the oldest first
		if c.Accepted && (!c.Expired(now) || stays.ID == "" || stays.Expired(now)) {
			stays = c
		}
	}
	for _, c := range list {
		switch {
		case c.ID == stays.ID:
		case c.Created > stays.Created && !c.Accepted && !c.Expired(now):
			return stays, nil, fmt.Errorf("the newest key %s is not accepted yet: add it again first, or delete it", c.String())
		case stays.Expired(now) && !c.Expired(now):
			return stays, nil, fmt.Errorf("the key %s, which is accepted, has expired, and %s is not accepted: add that again first", stays.String(), c.String())
		default:
			others = append(others, c)
		}
	}
	if stays.ID == "" || len(others) == 0 {
		return stays, nil, ErrNothingToFinish
	}
	return stays, others, nil
}

// FinishKeys has an application accept the key alone that Finishing says and deletes
// the others. It may be called again where it was cut short:
//
//  1. the application accepts that alone: a crash after it leaves keys that
//     are not accepted;
//  2. those are deleted. One that is accepted never is.
func (a *Apps) FinishKeys(ctx context.Context, id string) ([]Credential, error) {
	if err := a.takesKeys(ctx, id); err != nil {
		return nil, err
	}
	list, err := a.Credentials(ctx, id)
	if err != nil {
		return nil, err
	}
	stays, old, err := Finishing(list, time.Now())
	if err != nil {
		return list, fmt.Errorf("application %s: %w", id, err)
	}
	if slices.ContainsFunc(old, func(c Credential) bool { return c.Accepted }) {
		if err := a.accept(ctx, id, stays.ID); err != nil {
			return list, fmt.Errorf("have application %s refuse its old key: %w", id, err)
		}
	}
	for _, c := range old {
		if err := remove(ctx, a.API, "key "+c.ID, []string{"clients", id, "credentials", c.ID}); err != nil {
			return list, fmt.Errorf("application %s refuses its old key, which is not deleted: %w", id, err)
		}
	}
	return a.Credentials(ctx, id)
}

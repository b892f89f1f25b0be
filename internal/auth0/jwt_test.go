package auth0_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
)

const (
	issuer   = "https://" + domain + "/"
	audience = "https://billing.example.com/api"
)

// signer signs tokens as a tenant does.
type signer struct {
	t    *testing.T
	key  *rsa.PrivateKey
	keys []byte
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set := jwk.NewSet()
	for kid, change := range map[string]func(jwk.Key) error{
		"key-1":   func(jwk.Key) error { return nil },
		"key-enc": func(k jwk.Key) error { return k.Set(jwk.KeyUsageKey, "enc") },
		"key-512": func(k jwk.Key) error { return k.Set(jwk.AlgorithmKey, jwa.RS512()) },
	} {
		public, err := jwk.Import(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(public.Set(jwk.KeyIDKey, kid), change(public), set.AddKey(public)); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{t, key, keys}
}

func (s *signer) sign(kid string, alg jwa.SignatureAlgorithm, key any, claims map[string]any) string {
	s.t.Helper()
	body, err := json.Marshal(claims)
	if err != nil {
		s.t.Fatal(err)
	}
	h := jws.NewHeaders()
	if err := errors.Join(h.Set(jws.KeyIDKey, kid), h.Set(jws.TypeKey, "JWT")); err != nil {
		s.t.Fatal(err)
	}
	token, err := jws.Sign(body, jws.WithKey(alg, key, jws.WithProtectedHeaders(h)))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(token)
}

// critical signs a token whose header has an extension that must be understood.
func (s *signer) critical(claims map[string]any) string {
	s.t.Helper()
	body, err := json.Marshal(claims)
	if err != nil {
		s.t.Fatal(err)
	}
	h := jws.NewHeaders()
	if err := errors.Join(h.Set(jws.KeyIDKey, "key-1"), h.Set(jws.CriticalKey, []string{"foo"}), h.Set("foo", 1)); err != nil {
		s.t.Fatal(err)
	}
	token, err := jws.Sign(body, jws.WithKey(jwa.RS256(), s.key, jws.WithProtectedHeaders(h)))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(token)
}

func TestVerifyNamesEverythingThatIsWrong(t *testing.T) {
	s := newSigner(t)
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	claims := func(change map[string]any) map[string]any {
		c := map[string]any{"iss": issuer, "sub": "watcher@clients", "aud": audience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
		for name, value := range change {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
		return c
	}
	good := s.sign("key-1", jwa.RS256(), s.key, claims(nil))
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		token string
		wrong []string // names of the checks that fail
	}{
		{"a good one", good, nil},
		{"for several APIs", s.sign("key-1", jwa.RS256(), s.key, claims(map[string]any{"aud": []string{audience, "https://x/"}})), nil},
		{"expired", s.sign("key-1", jwa.RS256(), s.key, claims(map[string]any{"exp": now.Add(-2 * time.Minute).Unix()})), []string{"expiry"}},
		{"just expired, by clocks that differ", s.sign("key-1", jwa.RS256(), s.key, claims(map[string]any{"exp": now.Add(-30 * time.Second).Unix()})), nil},
		{"for ever", s.sign("key-1", jwa.RS256(), s.key, claims(map[string]any{"exp": nil})), []string{"expiry"}},
		{"not yet", s.sign("key-1", jwa.RS256(), s.key, claims(map[string]any{"nbf": now.Add(time.Hour).Unix()})), []string{"not before"}},
		{"from when nobody can read", s.sign("key-1", jwa.RS256(), s.key, claims(map[string]any{"nbf": "4000000000"})), []string{"not before"}},
		{"what must be understood", s.critical(claims(nil)), []string{"signature"}},
		{"a key for encryption", s.sign("key-enc", jwa.RS256(), s.key, claims(nil)), []string{"signature"}},
		{"a key of another algorithm", s.sign("key-512", jwa.RS256(), s.key, claims(nil)), []string{"signature"}},
		{"for another API", s.sign("key-1", jwa.RS256(), s.key, claims(map[string]any{"aud": "https://other/"})), []string{"audience"}},
		{"for none", s.sign("key-1", jwa.RS256(), s.key, claims(map[string]any{"aud": nil})), []string{"audience"}},
		{"issuer without the slash", s.sign("key-1", jwa.RS256(), s.key, claims(map[string]any{"iss": strings.TrimSuffix(issuer, "/")})), []string{"issuer"}},
		{"another key under the same name", s.sign("key-1", jwa.RS256(), other, claims(nil)), []string{"signature"}},
		{"a key that the tenant does not have", s.sign("key-2", jwa.RS256(), other, claims(nil)), []string{"signature"}},
		{"altered", good[:strings.Index(good, ".")+1] + part(claims(map[string]any{"scope": "all"})) + good[strings.LastIndex(good, "."):], []string{"signature"}},
		{"not signed", part(map[string]any{"alg": "none", "kid": "key-1"}) + "." + part(claims(nil)) + ".", []string{"algorithm", "signature"}},
		{"the public key taken for a secret", s.sign("key-1", jwa.HS256(), s.keys, claims(nil)), []string{"algorithm", "signature"}},
	} {
		checks, err := auth0.Verify(c.token, s.keys, auth0.Expectation{Issuer: issuer, Audience: audience, Now: now})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var wrong []string
		for _, check := range checks {
			if check.Err != nil {
				wrong = append(wrong, check.Name)
			}
		}
		if !slices.Equal(wrong, c.wrong) || (auth0.Failed(checks) == nil) != (c.wrong == nil) {
			t.Errorf("%s: wrong is %q, want %q (%v)", c.name, wrong, c.wrong, auth0.Failed(checks))
		}
	}
}

// part is a part of a JWT.
func part(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

func TestDecodeSaysWhatIsNoJWT(t *testing.T) {
	for _, token := range []string{"", "abc", "a.b", "a.b.c", "....", part(map[string]any{}) + ".bnVsbA.x", part("text") + "." + part("text") + "."} {
		if _, err := auth0.Decode(token); err == nil {
			t.Errorf("%q is taken for a JWT", token)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(part(map[string]any{"alg": "RS256"}) + "." + part(map[string]any{"exp": 1e30, "aud": []any{1, "x"}}) + ".c2ln")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		decoded, err := auth0.Decode(token)
		if (err == nil) == (decoded.Header == nil || decoded.Claims == nil) {
			t.Fatalf("%+v and %v", decoded, err)
		}
		if err != nil {
			return
		}
		checks, err := auth0.Verify(token, []byte(`{"keys":[]}`), auth0.Expectation{Issuer: issuer, Now: time.Unix(0, 0)})
		if err != nil || auth0.Failed(checks) == nil {
			t.Fatalf("verified without a key: %v, %v", checks, err)
		}
		for claim := range decoded.Claims {
			if at, ok := decoded.Time(claim); ok && at.Year() > 9999 {
				t.Fatalf("%s is %s", claim, at)
			}
		}
		_ = fmt.Sprint(decoded.Audiences())
	})
}

package ingest

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
	"sync/atomic"
)

// Tenants knows the tenants and the secrets of their webhooks. It is asked for
// each request, so that a reload needs no restart, and may be called
// concurrently.
type Tenants interface {
	// Secrets returns the hashes (HashSecret) of every secret that is valid
	// now, several while one is rotated; ok is false for an unknown tenant.
	Secrets(tenant string) (secrets [][sha256.Size]byte, ok bool)
}

// TenantSet is a Tenants that is replaced as a whole at a reload. The zero
// value knows nobody.
type TenantSet struct {
	current atomic.Pointer[map[string][][sha256.Size]byte]
}

// Store replaces the tenants. Secrets are in plain text and are not kept; empty
// ones are left out.
func (t *TenantSet) Store(tenants map[string][]string) {
	hashed := make(map[string][][sha256.Size]byte, len(tenants))
	for name, secrets := range tenants {
		hashed[name] = nil
		for _, secret := range secrets {
			if bareSecret(secret) != "" {
				hashed[name] = append(hashed[name], HashSecret(secret))
			}
		}
	}
	t.current.Store(&hashed)
}

// Secrets implements Tenants.
func (t *TenantSet) Secrets(tenant string) ([][sha256.Size]byte, bool) {
	tenants := t.current.Load()
	if tenants == nil {
		return nil, false
	}
	secrets, ok := (*tenants)[tenant]
	return secrets, ok
}

// HashSecret is the hash by which a secret is compared. It is the same with
// and without "Bearer " before the secret: Auth0 sends what was typed.
func HashSecret(secret string) [sha256.Size]byte {
	return sha256.Sum256([]byte(bareSecret(secret)))
}

func bareSecret(authorization string) string {
	const scheme = "Bearer "
	s := strings.TrimSpace(authorization)
	if len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
		s = strings.TrimSpace(s[len(scheme):])
	}
	return s
}

// authorized compares hashes, so that neither length nor content of a secret
// shows in the time, and takes equally long for a tenant that is not there.
func authorized(tenants Tenants, tenant, authorization string) bool {
	secrets, known := tenants.Secrets(tenant)
	if len(secrets) == 0 {
		secrets = make([][sha256.Size]byte, 1)
		known = false
	}
	got := HashSecret(authorization)
	match := 0
	for i := range secrets {
		match |= subtle.ConstantTimeCompare(got[:], secrets[i][:])
	}
	return known && match == 1 && bareSecret(authorization) != ""
}

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
	// CustomSecrets returns those that are valid for custom events.
	CustomSecrets(tenant string) (secrets [][sha256.Size]byte, ok bool)
}

// TenantSet is a Tenants that is replaced as a whole at a reload. The zero
// value knows nobody.
type TenantSet struct {
	current atomic.Pointer[map[string]tenantHashes]
}

// TenantSecrets are the secrets of one tenant in plain text.
type TenantSecrets struct {
	Stream []string // of its log stream
	// Custom are those of custom events, so that who reports these cannot forge
	// logs, and the other way round. Without any, the log stream's are valid.
	Custom []string
}

type tenantHashes struct{ stream, custom [][sha256.Size]byte }

// Store replaces the tenants. The secrets are not kept in plain text; empty
// ones are left out.
func (t *TenantSet) Store(tenants map[string]TenantSecrets) {
	hashed := make(map[string]tenantHashes, len(tenants))
	for name, secrets := range tenants {
		h := tenantHashes{stream: hashSecrets(secrets.Stream), custom: hashSecrets(secrets.Custom)}
		if len(secrets.Custom) == 0 {
			h.custom = h.stream
		}
		hashed[name] = h
	}
	t.current.Store(&hashed)
}

func hashSecrets(secrets []string) (hashes [][sha256.Size]byte) {
	for _, secret := range secrets {
		if bareSecret(secret) != "" {
			hashes = append(hashes, HashSecret(secret))
		}
	}
	return hashes
}

// Secrets implements Tenants.
func (t *TenantSet) Secrets(tenant string) ([][sha256.Size]byte, bool) {
	h, ok := t.hashes(tenant)
	return h.stream, ok
}

// CustomSecrets implements Tenants.
func (t *TenantSet) CustomSecrets(tenant string) ([][sha256.Size]byte, bool) {
	h, ok := t.hashes(tenant)
	return h.custom, ok
}

func (t *TenantSet) hashes(tenant string) (tenantHashes, bool) {
	tenants := t.current.Load()
	if tenants == nil {
		return tenantHashes{}, false
	}
	h, ok := (*tenants)[tenant]
	return h, ok
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
// shows in the time, and takes equally long for a tenant that is not known.
func authorized(secrets [][sha256.Size]byte, known bool, authorization string) bool {
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

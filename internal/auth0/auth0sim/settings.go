package auth0sim

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"time"
)

func settingsOperations() []operation {
	return []operation{
		{"GET", "/tenants/settings", []string{"read:tenant_settings"}, false, "Get tenant settings", nil, showSettings},
		{"PATCH", "/tenants/settings", []string{"update:tenant_settings"}, false, "Update tenant settings", nil, updateSettings},
		{"GET", "/keys/signing", []string{"read:signing_keys"}, false, "Get all Application Signing Keys", nil, listSigningKeys},
		{"GET", "/keys/signing/{kid}", []string{"read:signing_keys"}, false, "Get an Application Signing Key by its key id", nil, showSigningKey},
	}
}

func showSettings(c *apiCall) (reply, error) {
	return reply{http.StatusOK, c.fieldsOf(c.settings)}, nil
}

func updateSettings(c *apiCall) (reply, error) {
	body, err := readJSON(c.raw)
	changes, ok := body.(document)
	if err != nil || !ok {
		return reply{}, badRequest("invalid_body", "Invalid request payload JSON format")
	}
	after := c.settings.clone()
	if flags := changes.child("flags"); flags != nil {
		after.mergeFirstLevel("flags", flags)
		delete(changes, "flags")
	}
	after.set(changes)
	c.settings = after
	return reply{http.StatusOK, after}, nil
}

// signingKeyAnswer is the tenant's key with a certificate.
func (c *apiCall) signingKeyAnswer() (document, error) {
	key, err := c.t.signingKey()
	if err != nil {
		return nil, err
	}
	name := pkix.Name{CommonName: c.t.domain}
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: name, Issuer: name, NotBefore: from, NotAfter: from.AddDate(14, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	short, long := sha1.Sum(der), sha256.Sum256(der)
	return document{
		"kid": keyID(&key.PublicKey), "cert": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), "pkcs7": "",
		"current": true, "current_since": from.Format(dateLayout), "fingerprint": hex.EncodeToString(long[:]), "thumbprint": hex.EncodeToString(short[:]),
	}, nil
}

func listSigningKeys(c *apiCall) (reply, error) {
	d, err := c.signingKeyAnswer()
	return reply{http.StatusOK, []any{d}}, err
}

func showSigningKey(c *apiCall) (reply, error) {
	d, err := c.signingKeyAnswer()
	if err == nil && d.text("kid") != c.params["kid"] {
		err = notFound("", "The signing key does not exist.")
	}
	return reply{http.StatusOK, d}, err
}

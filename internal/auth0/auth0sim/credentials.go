package auth0sim

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwk"
)

// credentialsMax is how many credentials a client may have.
const credentialsMax = 2

func credentialFields() fields {
	return fields{
		"credential_type": enumMember("public_key", "cert_subject_dn", "x509_cert"), "name": textMember(0, 128), "subject_dn": textMember(1, 256), "pem": textMember(1, 4096),
		"alg": enumMember("RS256", "RS384", "PS256"), "kid": textMember(10, 64).matching(`^([0-9a-zA-Z-_]{10,64})$`),
		"parse_expiry_from_cert": flagMember(), "expires_at": textMember(0, 0).matching(`^\d{4}-\d\d-\d\dT`),
	}
}

func credentialOperations() []operation {
	one := "/clients/{id}/credentials/{credential}"
	return []operation{
		{"GET", "/clients/{id}/credentials", []string{"read:client_credentials"}, false, "Get client credentials", nil, listCredentials},
		{"POST", "/clients/{id}/credentials", []string{"create:client_credentials"}, false, "Create a client credential", credentialFields().require("credential_type"), createCredential},
		{"GET", one, []string{"read:client_credentials"}, false, "Get a client credential", nil, showCredential},
		{"PATCH", one, []string{"update:client_credentials"}, false, "Update a client credential", fields{"expires_at": textMember(0, 0).orNull()}, updateCredential},
		{"DELETE", one, []string{"delete:client_credentials"}, false, "Delete a client credential", nil, deleteCredential},
	}
}

// credentialHolders are the parts of a client that name credentials.
func credentialHolders(d document) []document {
	methods := d.child("client_authentication_methods")
	var holders []document
	for _, holder := range []document{
		methods.child("private_key_jwt"), methods.child("tls_client_auth"), methods.child("self_signed_tls_client_auth"),
		d.child("signed_request_object"), d.child("token_vault_privileged_access"),
	} {
		if holder["credentials"] != nil {
			holders = append(holders, holder)
		}
	}
	return holders
}

// newCredential keeps a credential and returns what is answered of it.
func (c *apiCall) newCredential(clientID string, asked document) (document, error) {
	if wrong := credentialFields().require("credential_type").check("credentials", asked); wrong != "" {
		return nil, badRequest("invalid_body", "Payload validation error: %s.", wrong)
	}
	if n := len(c.credentials.all(having("client_id", clientID))); n >= credentialsMax && asked.text("credential_type") == "public_key" {
		return nil, badRequest("invalid_body", "Client has reached the maximum number of credentials allowed (%d).", credentialsMax)
	}
	at := c.date()
	d := asked.without("parse_expiry_from_cert")
	d.set(document{"id": c.id("cred_", 22), "client_id": clientID, "created_at": at, "updated_at": at})
	pem := asked.text("pem")
	switch asked.text("credential_type") {
	case "public_key":
		kid, err := thumbprint(pem)
		if err != nil {
			return nil, badRequest("invalid_body", "Payload validation error: 'Invalid PEM' on property pem.")
		}
		d.setDefaults(document{"alg": "RS256", "kid": kid})
	case "x509_cert":
		sum := sha256.Sum256([]byte(pem))
		d.setDefaults(document{"thumbprint_sha256": hex.EncodeToString(sum[:]), "expires_at": c.now().UTC().AddDate(1, 0, 0).Format(dateLayout)})
	default:
		d.setDefaults(document{"subject_dn": "CN=" + clientID})
	}
	c.credentials.put(d.text("id"), d)
	return credentialAnswer(d), nil
}

// thumbprint names a key as RFC 7638 does.
func thumbprint(pem string) (string, error) {
	key, err := jwk.ParseKey([]byte(pem), jwk.WithPEM(true))
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("name key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// credentialAnswer is a credential without what is not told.
func credentialAnswer(d document) document { return d.without("client_id", "pem") }

// onlyIDs names credentials, as a client does.
func (c *apiCall) onlyIDs(credentials []document) []any {
	ids := make([]any, 0, len(credentials))
	for _, d := range credentials {
		ids = append(ids, document{"id": d.text("id")})
	}
	return ids
}

// checkLinked refuses a client that names credentials which are not its own,
// and leaves of the others their ids.
func (c *apiCall) checkLinked(client document) error {
	for _, holder := range credentialHolders(client) {
		linked := holder.documents("credentials")
		if len(linked) > credentialsMax {
			return badRequest("invalid_body", "Payload validation error: 'Array is too long (%d), maximum %d' on property credentials.", len(linked), credentialsMax)
		}
		for i, d := range linked {
			if d["id"] == nil && d["pem"] != nil { // made in passing
				made, err := c.newCredential(client.text("client_id"), d)
				if err != nil {
					return err
				}
				linked[i] = made
				continue
			}
			if known := c.credentials.get(d.text("id")); known == nil || known.text("client_id") != client.text("client_id") {
				return badRequest("invalid_body", "The credential %s does not exist", d.text("id"))
			}
		}
		holder["credentials"] = c.onlyIDs(linked)
	}
	return nil
}

// credential is the one of the path.
func (c *apiCall) credential() (document, error) {
	if _, err := c.clientNamed(c.params["id"]); err != nil {
		return nil, err
	}
	d := c.credentials.get(c.params["credential"])
	if d == nil || d.text("client_id") != c.params["id"] {
		return nil, notFound("inexistent_client_credential", "The client credential does not exist")
	}
	return d, nil
}

func listCredentials(c *apiCall) (reply, error) {
	if _, err := c.clientNamed(c.params["id"]); err != nil {
		return reply{}, err
	}
	list := make([]any, 0, credentialsMax)
	for _, d := range c.credentials.all(having("client_id", c.params["id"])) {
		list = append(list, credentialAnswer(d))
	}
	return reply{http.StatusOK, list}, nil
}

func createCredential(c *apiCall) (reply, error) {
	if _, err := c.clientNamed(c.params["id"]); err != nil {
		return reply{}, err
	}
	d, err := c.newCredential(c.params["id"], c.object())
	return reply{http.StatusCreated, d}, err
}

func showCredential(c *apiCall) (reply, error) {
	d, err := c.credential()
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, credentialAnswer(d)}, nil
}

func updateCredential(c *apiCall) (reply, error) {
	d, err := c.credential()
	if err != nil {
		return reply{}, err
	}
	d.set(c.object())
	if at, err := time.Parse(time.RFC3339, d.text("expires_at")); err == nil {
		d["expires_at"] = at.UTC().Format(dateLayout)
	}
	d["updated_at"] = c.date()
	return reply{http.StatusOK, credentialAnswer(d)}, nil
}

// deleteCredential answers 204 whether the credential was there or not; one
// that the client still names is refused.
func deleteCredential(c *apiCall) (reply, error) {
	id := c.params["credential"]
	for _, holder := range credentialHolders(c.clients.get(c.params["id"])) {
		if slices.ContainsFunc(holder.documents("credentials"), having("id", id)) {
			return reply{}, badRequest("invalid_request", "The credential is in use by the client and cannot be deleted")
		}
	}
	c.credentials.remove(id)
	return reply{http.StatusNoContent, nil}, nil
}

package ingest

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Which values are secrets is told by their key alone, in any case and with or
// without - and _ in it: Auth0's own APIs write client_secret, clientSecret
// and httpAuthorization. The names come from the Management API's schemas.
// Families are told by their ending, so that ext_access_token and splunkToken
// need no entry; client_id, secret_version, jti, scope, token_endpoint,
// access_token_jti and details.accessedSecrets (names only) are in none.

// keyFold is a key in lower case without - and _. Longer keys than its
// capacity keep their end, which is what the families look at.
type keyFold struct {
	b [48]byte
	n int
}

// fold folds a key as it stands between its quotes in JSON.
func (k *keyFold) fold(key []byte) []byte {
	if bytes.IndexByte(key, '\\') >= 0 {
		quoted := append(append([]byte{'"'}, key...), '"')
		key, _ = jsontext.AppendUnquote(nil, quoted) // what it could read is enough
	}
	k.n = len(k.b)
	for i := len(key) - 1; i >= 0 && k.n > 0; i-- {
		c := key[i]
		switch {
		case c == '_' || c == '-' || c == ' ':
			continue
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		k.n--
		k.b[k.n] = c
	}
	return k.b[k.n:]
}

// mayBeSecret is a quick look at the end of a key, as it stands between its
// quotes: false means that it is no secret's. Nearly all keys end here.
func mayBeSecret(key []byte) bool {
	if len(key) < 3 {
		return false
	}
	const lower = 'a' - 'A'
	a, b := key[len(key)-2]|lower, key[len(key)-1]|lower
	switch uint16(a)<<8 | uint16(b) {
	case 'e'<<8 | 't', 'r'<<8 | 'd', 'w'<<8 | 'd', 'e'<<8 | 'n', 'o'<<8 | 'n', 'e'<<8 | 'y', 'd'<<8 | 'e', 'i'<<8 | 'e',
		's'<<8 | 'h', 's'<<8 | 's', 'r'<<8 | 'l', 'e'<<8 | 'r', 'n'<<8 | 'g', 't'<<8 | 'p', 't'<<8 | 's', 'r'<<8 | 's', 'u'<<8 | 'p':
		return true
	}
	return isFolded(a) || isFolded(b) || bytes.IndexByte(key, '\\') >= 0
}

// isFolded reports whether fold leaves c, with the bit of lower case set, out.
func isFolded(c byte) bool { return c == '_'|('a'-'A') || c == '-' || c == ' ' }

// isSecretKey reports whether a string or number under this key is a secret.
func isSecretKey(folded []byte) bool {
	if len(folded) < 3 {
		return false
	}
	switch folded[len(folded)-1] {
	case 't': // client_secret, signing_secret, app_secret, totp_secret; ticket: a link that acts for whoever has it
		return hasSuffix(folded, "secret") || is(folded, "ticket")
	case 'd': // password, smtp_password, newPassword, servicePassword
		return hasSuffix(folded, "password", "passwd", "pwd")
	case 'n': // access_token, refresh_token, id_token, splunkToken; client_assertion; httpAuthorization
		return hasSuffix(folded, "token", "assertion", "authorization")
	case 'y': // api keys and other keys that open something; not public_key, keyId
		return hasSuffix(folded, "apikey", "privatekey", "secretkey", "accesskey", "writekey", "signingkey",
			"encryptionkey", "decryptionkey", "wrappedkey", "serverkey", "sharedkey", "licensekey", "saskey") ||
			is(folded, "skey", "masterkey")
	case 'e': // codes that log in once; not error codes
		return is(folded, "recoverycode", "devicecode", "passcode", "authorizationcode", "cookie", "setcookie")
	case 'h':
		return hasSuffix(folded, "passwordhash")
	case 's': // of SMTP; of Sumo Logic, whose address holds the key
		return is(folded, "smtppass", "sumosourceaddress")
	case 'l': // links that act for whoever has them
		return is(folded, "ticketurl", "provisioningticketurl", "invitationurl", "reseturl", "verificationurl")
	case 'r':
		return is(folded, "codeverifier")
	case 'g':
		return is(folded, "connectionstring")
	case 'p':
		return is(folded, "otp")
	}
	return false
}

// secretMap says what the object under a key holds where its secrets have names
// of their own: secrets of Actions, custom headers of log streams, what is
// needed to set up a vault connection, keys of SAML, imported hashes, and
// configuration in the options of a connection. Any other key is maskByKey.
func secretMap(folded []byte, inOptions bool) maskMode {
	switch {
	case is(folded, "secrets", "customheaders", "httpcustomheaders"), inOptions && is(folded, "configuration"):
		return maskAll
	case is(folded, "setup", "decryptionkey", "signingkey", "custompasswordhash", "passwordhash"):
		return maskEntry
	}
	return maskByKey
}

// isSecretName reports whether a key beside a secret only names or describes
// it: {"name":"STRIPE_KEY","value":"…"}, {"header":"X-Key","value":"…"}.
func isSecretName(folded []byte) bool {
	return is(folded, "name", "header", "type", "id", "kid", "alg", "algorithm", "encoding", "cert", "createdat", "updatedat")
}

func is(folded []byte, names ...string) bool {
	return slices.Contains(names, string(folded))
}

func hasSuffix(folded []byte, suffixes ...string) bool {
	for _, suffix := range suffixes {
		if n := len(folded) - len(suffix); n >= 0 && string(folded[n:]) == suffix {
			return true
		}
	}
	return false
}

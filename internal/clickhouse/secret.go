package clickhouse

import (
	"net/url"
	"strings"
)

// hidden stands in a text where a secret stood.
const hidden = "***"

// scrub is the error's text without the secrets, however the driver came to
// repeat them.
func scrub(err error, secrets ...string) string {
	text := err.Error()
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, hidden)
		}
	}
	return text
}

// hidePassword is a server URL that may be shown.
func hidePassword(serverURL string) string {
	for _, password := range passwordsOf(serverURL) {
		if password != "" {
			serverURL = strings.ReplaceAll(serverURL, password, hidden)
		}
	}
	return serverURL
}

// passwordsOf finds what a URL may hold as passwords, as written and as meant.
// It works on the text, because the URLs that do not parse are the ones that
// end in messages: a password may hold an unescaped @, so the last one counts.
func passwordsOf(serverURL string) []string {
	_, rest, _ := strings.Cut(serverURL, "://")
	var found []string
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		_, password, _ := strings.Cut(rest[:at], ":")
		found = append(found, password)
	}
	_, query, _ := strings.Cut(rest, "?")
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(pair, "="); strings.EqualFold(name, "password") {
			found = append(found, value)
		}
	}
	for _, password := range found {
		if meant, err := url.QueryUnescape(password); err == nil {
			found = append(found, meant)
		}
		if meant, err := url.PathUnescape(password); err == nil {
			found = append(found, meant)
		}
	}
	return found
}

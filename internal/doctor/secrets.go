package doctor

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/m2mwatch/m2mwatch/internal/config"
)

// shortSecret is how long a secret should be at least: what `openssl rand -hex
// 32` prints has 64.
const shortSecret = 20

const newSecret = "make one with `openssl rand -hex 32`, add it, change it in Auth0, then take the old one away"

// placeholders are words of secrets that were copied from somewhere.
var placeholders = []string{"changeme", "change-me", "example", "password", "secret", "replace-me"}

// secrets tells which secrets others can read or guess. It names whose they
// are and never what they are.
func (d *Doctor) secrets(context.Context) Result {
	var r Result
	c := d.cfg.Settings
	d.secretFiles(&r)
	owner := map[string]string{} // of each secret
	n := 0
	judge := func(whose string, secret config.Secret) {
		n++
		value := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(secret.Reveal()), "Bearer "))
		if other, taken := owner[value]; taken && other != whose {
			r.fail("give each its own: "+newSecret, "%s has the same secret as %s", whose, other)
		}
		owner[value] = whose
		if word := placeholder(value); word != "" {
			r.fail(newSecret, "a secret of %s looks like a placeholder: it holds a word such as %q", whose, word)
		} else if len(value) < shortSecret {
			r.warn(newSecret, "a secret of %s has %d characters, want %d or more", whose, len(value), shortSecret)
		}
	}
	for _, t := range c.Tenants {
		for _, secret := range t.Secrets {
			judge("tenant "+t.Name, secret)
		}
		for _, secret := range t.CustomSecrets {
			judge("custom events of tenant "+t.Name, secret)
		}
		if secret := t.Management.ClientSecret; secret != "" {
			judge("the application in management of tenant "+t.Name, secret)
		}
	}
	for _, t := range c.API.Tokens {
		if t.Token != "" {
			judge("API token "+t.Name, t.Token)
		}
	}
	if n > 0 && len(r.Notes) == 0 {
		r.ok("%d, of good length, each its own", n)
	}
	if n == 0 && len(r.Notes) == 0 {
		r.skip("", "none are configured")
	}
	return r
}

func placeholder(value string) string {
	lower := strings.ToLower(value)
	for _, word := range placeholders {
		if strings.Contains(lower, word) {
			return word
		}
	}
	return ""
}

// secretFiles looks at who may read the files that hold secrets.
func (d *Doctor) secretFiles(r *Result) {
	c := d.cfg.Settings
	for _, t := range c.Tenants {
		for _, path := range t.SecretFiles {
			secretFile(r, path)
		}
		for _, path := range t.CustomSecretFiles {
			secretFile(r, path)
		}
		secretFile(r, t.Management.ClientSecretFile)
		secretFile(r, t.Management.PrivateKeyFile)
	}
	for _, t := range c.API.Tokens {
		secretFile(r, t.TokenFile)
	}
	for _, channel := range c.Notify.Channels {
		for _, path := range channel.SecretFiles() {
			secretFile(r, path)
		}
	}
	for _, path := range []string{c.Notify.Webhook.SecretFile, c.NATS.PasswordFile, c.ClickHouse.PasswordFile} {
		secretFile(r, path)
	}
	for _, h := range c.Traces.Headers {
		secretFile(r, h.ValueFile)
	}
	secretFile(r, c.TLS.KeyFile)
	secretFile(r, c.NATS.CredsFile)
	secretFile(r, c.NATS.KeyFile)
	if d.inFile() {
		secretFile(r, d.cfg.Origin.File)
	}
}

// inFile tells whether the configuration's file itself holds a secret.
func (d *Doctor) inFile() bool {
	text, err := os.ReadFile(d.cfg.Origin.File)
	if err != nil {
		return false // the check of configuration tells
	}
	c := d.cfg.Settings
	secrets := []config.Secret{c.NATS.Password, c.Notify.Webhook.Secret}
	for _, t := range c.Tenants {
		secrets = append(secrets, t.Secrets...)
		secrets = append(secrets, t.CustomSecrets...)
		secrets = append(secrets, t.Management.ClientSecret, t.Management.PrivateKey)
	}
	for _, t := range c.API.Tokens {
		secrets = append(secrets, t.Token)
	}
	for _, channel := range c.Notify.Channels {
		secrets = append(secrets, channel.Secrets()...)
	}
	for _, h := range c.Traces.Headers {
		secrets = append(secrets, h.Value)
	}
	for _, address := range []config.Secret{c.NATS.URL, c.ClickHouse.URL, c.Notify.Webhook.URL, c.Traces.Endpoint} {
		if u, err := url.Parse(address.Reveal()); err == nil && u.User != nil {
			password, _ := u.User.Password()
			secrets = append(secrets, config.Secret(password))
		}
	}
	return slices.ContainsFunc(secrets, func(s config.Secret) bool {
		return s != "" && bytes.Contains(text, []byte(s.Reveal()))
	})
}

// secretFile tells where others than the owner may read a file or write it.
func secretFile(r *Result, path string) {
	if path == "" {
		return
	}
	info, err := os.Stat(path)
	if err != nil {
		r.fail("create it, or correct its path", "a file with a secret cannot be read: %v", err)
		return
	}
	fix := fmt.Sprintf("chmod 600 %s", path)
	switch mode := info.Mode().Perm(); {
	case mode&0o022 != 0:
		r.fail(fix, "%s holds a secret and others may write it (mode %04o)", path, mode)
	case mode&0o004 != 0:
		r.warn(fix, "%s holds a secret and everybody may read it (mode %04o)", path, mode)
	}
}

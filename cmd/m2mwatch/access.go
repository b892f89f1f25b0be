package main

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
)

// access is how a command gets to a tenant: the flags that say so, before the
// environment. No secret is a flag, as every user of a machine sees those.
type access struct {
	domain, clientID     string
	secretFile, keyFile  string
	withoutCache, noWait bool
}

func (a *access) flags(cmd *cobra.Command, inv *invocation) {
	env := func(name string) string { return lookup(inv.environ, name) }
	f := cmd.Flags()
	f.StringVar(&a.domain, "domain", env("AUTH0_DOMAIN"), "the tenant: acme.eu.auth0.com ($AUTH0_DOMAIN)")
	f.StringVar(&a.clientID, "client-id", env("AUTH0_CLIENT_ID"), "the application to be ($AUTH0_CLIENT_ID)")
	f.StringVar(&a.secretFile, "client-secret-file", "", "a file with its secret (else $AUTH0_CLIENT_SECRET)")
	f.StringVar(&a.keyFile, "private-key-file", "", "its private key, PEM, where it has no secret ($AUTH0_PRIVATE_KEY_FILE)")
	f.BoolVar(&a.withoutCache, "no-cache", false, "ask for a new token, though one that was issued before is still good")
	cmd.MarkFlagsMutuallyExclusive("client-secret-file", "private-key-file")
	f.BoolVar(&a.noWait, "no-wait", false, "do not wait where Auth0 says that there are too many requests")
}

// client makes a client of the tenant.
func (a *access) client(inv *invocation) (*auth0.Client, auth0.Credentials, error) {
	credentials, err := a.credentials(inv)
	if err != nil {
		return nil, credentials, err
	}
	c := auth0.Config{Domain: a.domain, Credentials: credentials, CacheDir: a.cacheDir(), Transport: inv.transport, OnWait: func(d time.Duration) {
		fmt.Fprintf(inv.stderr, "too many requests: waiting %s\n", d.Round(time.Second))
	}}
	if a.noWait {
		c.MaxWait = time.Nanosecond
	}
	client, err := auth0.New(c)
	if err != nil {
		return nil, credentials, fmt.Errorf("%w: %w", errUsage, err)
	}
	return client, credentials, nil
}

// cacheDir is where tokens are kept: beside nothing that is shared or backed up.
func (a *access) cacheDir() string {
	if a.withoutCache {
		return ""
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "" // each run asks for a token of its own
	}
	return filepath.Join(cache, "m2mwatch", "tokens")
}

func (a *access) credentials(inv *invocation) (auth0.Credentials, error) {
	c := auth0.Credentials{ClientID: a.clientID}
	keyFile, secret := a.keyFile, ""
	if a.keyFile == "" && a.secretFile == "" { // flags go before the environment
		keyFile, secret = lookup(inv.environ, "AUTH0_PRIVATE_KEY_FILE"), lookup(inv.environ, "AUTH0_CLIENT_SECRET")
	}
	c.ClientSecret = secret
	var errs [2]error
	if a.secretFile != "" {
		c.ClientSecret, errs[0] = readSecret(a.secretFile)
	}
	if keyFile != "" {
		c.PrivateKey, errs[1] = readPrivateKey(keyFile)
	}
	return c, errors.Join(errs[:]...)
}

// readSecret reads a secret from a file, without the line end that editors leave.
func readSecret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// readPrivateKey reads an RSA key, PKCS #8 or PKCS #1 in PEM.
func readPrivateKey(path string) (*rsa.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the private key: %w", err)
	}
	key, err := parsePrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("read the private key %s: %w", path, err)
	}
	return key, nil
}

func parsePrivateKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("want PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("want an RSA key without a passphrase, PKCS #8 or PKCS #1")
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("want an RSA key")
	}
	return key, nil
}

package main

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
	"github.com/m2mwatch/m2mwatch/query"
)

// minKeyBits is the least that Auth0 takes of an RSA key. Source: Auth0,
// "Configure Private Key JWT Authentication".
const minKeyBits = 2048

// readPublicKey reads the public part of an RSA key: of a public key, SPKI or
// PKCS #1, of a certificate, or of a private key.
func readPublicKey(path string) (*rsa.PublicKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("read the key %s: want PEM", path)
	}
	key, err := publicKeyOf(block, path)
	if err == nil && key.Size()*8 < minKeyBits {
		err = fmt.Errorf("the key %s has %d bits: Auth0 wants %d or more", path, key.Size()*8, minKeyBits)
	}
	return key, err
}

func publicKeyOf(block *pem.Block, path string) (*rsa.PublicKey, error) {
	if key, err := x509.ParsePKCS1PublicKey(block.Bytes); err == nil {
		return key, nil
	}
	var parsed any
	if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
		parsed = certificate.PublicKey
	} else if public, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
		parsed = public
	} else {
		private, err := readPrivateKey(path)
		if err != nil {
			return nil, err
		}
		return &private.PublicKey, nil
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("read the key %s: want an RSA key", path)
	}
	return key, nil
}

// keyFlags say by what key an application authenticates. They cannot be called
// private-key-file: that is who m2mwatch is.
type keyFlags struct {
	newFile, file string
	name, expires string
}

func (k *keyFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&k.newFile, "new-key-file", "", "make an RSA key for it in this new file, which nobody else can read; a key that is there already is used")
	f.StringVar(&k.file, "public-key-file", "", "it has this RSA key: a public or private key or a certificate, PEM")
	f.StringVar(&k.name, "key-name", "", "a name for the key (default: the day)")
	f.StringVar(&k.expires, "key-expires", "", "when Auth0 refuses the key: a date, RFC 3339, or 90d from now (default: never)")
	cmd.MarkFlagsMutuallyExclusive("new-key-file", "public-key-file")
}

// asked reports whether it is about a key at all.
func (k *keyFlags) asked() bool { return k.newFile != "" || k.file != "" }

// check reads what can be wrong before anything is done.
func (k *keyFlags) check() error {
	if !k.asked() {
		if k.name != "" || k.expires != "" {
			return fmt.Errorf("%w: --key-name and --key-expires need --new-key-file or --public-key-file", errUsage)
		}
		return nil
	}
	if _, err := k.until(); err != nil {
		return err
	}
	if k.file != "" {
		_, err := readPublicKey(k.file)
		return err
	}
	if _, err := os.Lstat(k.newFile); err != nil {
		return nil // it is made
	}
	_, err := readPublicKey(k.newFile)
	return err
}

// orSecret wants a place for the secret of an application that has no key.
func (k *keyFlags) orSecret(inv *invocation, secret *newSecret) error {
	if !k.asked() {
		return errors.Join(secret.check(inv), secret.free())
	}
	if secret.file != "" {
		return fmt.Errorf("%w: an application that has a key has no secret: --secret-file or a key", errUsage)
	}
	return nil
}

// until is when the key expires; zero for never.
func (k *keyFlags) until() (time.Time, error) {
	if k.expires == "" {
		return time.Time{}, nil
	}
	text, err := readExpiry(k.expires, time.Now())
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: --key-expires %q: want a date (2027-06-30), RFC 3339, or 90d from now", errUsage, k.expires)
	}
	at, _ := query.ReadTime(text, time.Now()) // a date or RFC 3339
	if at.Before(time.Now()) {
		return at, fmt.Errorf("%w: --key-expires %s: it has passed", errUsage, text)
	}
	return at, nil
}

// key reads the key, or makes it. made tells that there is a new file.
func (k *keyFlags) key(inv *invocation) (key provision.Key, made bool, err error) {
	path := k.file
	if path == "" {
		path = k.newFile
		switch made, err = makeKey(path); {
		case err != nil:
			return key, false, err
		case !made:
			fmt.Fprintf(inv.stderr, "%s is there: its key is used\n", printable(path))
		}
	}
	public, err := readPublicKey(path)
	if err != nil {
		return key, made, err
	}
	expires, err := k.until()
	if err != nil {
		return key, made, err
	}
	key, err = provision.NewKey(public, cmp.Or(k.name, time.Now().UTC().Format(time.DateOnly)), expires)
	return key, made, err
}

// keyBits is the size of a key that is made: what Auth0's own examples have.
const keyBits = 2048

// makeKey makes a private key in a new file, PKCS #8, unless the file is there.
func makeKey(path string) (made bool, err error) {
	if _, err := os.Lstat(path); err == nil {
		return false, nil
	}
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return false, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return false, fmt.Errorf("write the key: %w", err)
	}
	return true, provision.WriteSecret(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// readKeys reads keys from files, as Auth0 reads them.
func readKeys(paths []string) ([]provision.Key, error) {
	var keys []provision.Key
	for _, path := range paths {
		public, err := readPublicKey(path)
		if err != nil {
			return nil, err
		}
		key, err := provision.NewKey(public, "", time.Time{})
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

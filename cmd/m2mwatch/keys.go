package main

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
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

// publicPEM is a public key as Auth0 reads it.
func publicPEM(key *rsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("write the public key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// readPublicPEMs reads keys from files, as Auth0 reads them.
func readPublicPEMs(paths []string) ([]string, error) {
	var keys []string
	for _, path := range paths {
		key, err := readPublicKey(path)
		if err != nil {
			return nil, err
		}
		text, err := publicPEM(key)
		if err != nil {
			return nil, err
		}
		keys = append(keys, text)
	}
	return keys, nil
}

package certificate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Peer is the configuration of a client on this machine that asks a listener
// which shows the certificate in a file, PEM; what else lies in the file is
// passed over. The listener is known by that certificate and not by a name,
// since on this machine it is asked by its address. One of the same issuer, whose
// certificate lies in the file, with a name in common does too: a file is replaced
// some seconds before it is in use.
func Peer(file string) (*tls.Config, error) {
	certs, err := readCertificates(file)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	issuers := x509.NewCertPool()
	for _, cert := range certs[1:] {
		issuers.AddCert(cert)
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // the name; VerifyConnection looks at the rest
		VerifyConnection: func(state tls.ConnectionState) error {
			shown := state.PeerCertificates[0]
			if bytes.Equal(shown.Raw, certs[0].Raw) {
				return nil
			}
			if _, err := shown.Verify(x509.VerifyOptions{Roots: issuers}); err != nil {
				return fmt.Errorf("the certificate that is shown is not that of %s: %w", file, err)
			}
			if !slices.ContainsFunc(shown.DNSNames, func(name string) bool { return slices.Contains(certs[0].DNSNames, name) }) {
				return fmt.Errorf("the certificate that is shown is not that of %s: they have no name in common", file)
			}
			return nil
		},
	}, nil
}

// readCertificates reads at least one.
func readCertificates(file string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s: %w", file, errNoCertificate)
	}
	return certs, nil
}

var errNoCertificate = errors.New("no certificate in it")

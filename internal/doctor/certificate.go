package doctor

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/certificate"
)

// expirySoon is when a certificate should have been renewed.
const expirySoon = 14 * 24 * time.Hour

// certificate looks at the one that both listeners show.
func (d *Doctor) certificate(context.Context) Result {
	var r Result
	c := d.cfg.Settings.TLS
	if len(c.ACME.Hosts) > 0 {
		r.skip("alarm on m2mwatch_http_certificate_expiry_seconds; what goes wrong is logged", "got by ACME for %s", strings.Join(c.ACME.Hosts, ", "))
		return r
	}
	if c.CertFile == "" {
		r.skip("Auth0 delivers to https alone: a reverse proxy does, or tls in the configuration", "none is configured")
		return r
	}
	files, err := certificate.Open(certificate.Config{CertFile: c.CertFile, KeyFile: c.KeyFile})
	if err != nil {
		r.fail("put the certificate with its chain and its own key there, both PEM", "%v", err)
		return r
	}
	cert := files.Certificate()
	leaf, now := cert.Leaf, d.cfg.Now()
	until := leaf.NotAfter.UTC().Format(time.RFC3339)
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		r.fail("renew it: replaced files are read without a restart", "%s expired at %s", c.CertFile, until)
	case now.Before(leaf.NotBefore):
		r.fail("see the check of the clock", "%s is not valid before %s", c.CertFile, leaf.NotBefore.UTC().Format(time.RFC3339))
	case left < expirySoon:
		r.warn("renew it: replaced files are read without a restart", "%s expires at %s", c.CertFile, until)
	default:
		r.ok("%s, for %s, until %s", c.CertFile, strings.Join(leaf.DNSNames, ", "), until)
	}
	if len(cert.Certificate) == 1 && !bytes.Equal(leaf.RawIssuer, leaf.RawSubject) {
		r.warn("append the certificates of its issuers, root excepted, to the file (often called fullchain.pem)", "%s comes without its chain: who does not know %s refuses it", c.CertFile, leaf.Issuer.CommonName)
	}
	return r
}

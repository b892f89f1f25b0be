package config

import (
	"net/url"
	"regexp"
	"strings"
)

// hostPattern is a name that an ACME server gives a certificate for by way of a
// connection to it, so no wildcard and no address.
var hostPattern = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (p *problems) tls(t TLS) {
	p.check((t.CertFile == "") == (t.KeyFile == ""), "tls.cert_file and tls.key_file: want both or neither")
	p.check(t.CertFile == "" || len(t.ACME.Hosts) == 0, "tls.cert_file and tls.acme.hosts: want one of them")
	p.check(len(t.ACME.Hosts) > 0 || (t.ACME.Email == "" && t.ACME.CAFile == "" && t.ACME.Directory == Default().TLS.ACME.Directory),
		"tls.acme: want hosts")
	seen := map[string]bool{}
	for _, host := range t.ACME.Hosts {
		p.check(len(host) <= 253 && hostPattern.MatchString(host), "tls.acme.hosts: %q: want a name such as m2mwatch.example.com, lower case, without a port", host)
		p.check(!seen[host], "tls.acme.hosts: %s is there twice", host)
		seen[host] = true
	}
	p.check(t.ACME.Email == "" || strings.Contains(t.ACME.Email, "@"), "tls.acme.email: want an address")
	u, err := url.Parse(t.ACME.Directory)
	p.check(err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil, "tls.acme.directory: want an https URL")
}

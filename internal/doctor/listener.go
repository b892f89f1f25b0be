package doctor

import (
	"net"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/internal/certificate"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
)

// Listener asks what listens on an address of this machine, as a process with
// these settings would: in TLS where they have a certificate, by which it is
// known then. It needs no data directory, as a stage that runs alone has none.
func Listener(c *config.Config, address string) (*apiclient.Client, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	address = net.JoinHostPort(reachable(host), port)
	file, err := certificateFile(c)
	if err != nil {
		return nil, err
	}
	if file == "" {
		return apiclient.New(apiclient.Config{URL: "http://" + address})
	}
	peer, err := certificate.Peer(file)
	if err != nil {
		return nil, err
	}
	return apiclient.New(apiclient.Config{URL: "https://" + address, TLS: peer})
}

// certificateFile is where the certificate of the listeners lies, "" where they
// speak plain HTTP.
func certificateFile(c *config.Config) (string, error) {
	acme := c.TLS.ACME
	if len(acme.Hosts) == 0 {
		return c.TLS.CertFile, nil
	}
	return certificate.ACMEFile(certificate.ACMEConfig{Hosts: acme.Hosts, Directory: acme.Directory, Cache: datadir.ACME(c.Data)})
}

// reachable is where to connect to what listens on a host.
func reachable(host string) string {
	ip := net.ParseIP(host)
	switch {
	case host == "", ip != nil && ip.IsUnspecified() && ip.To4() != nil:
		return "127.0.0.1" // localhost may be ::1, where somebody else listens
	case ip != nil && ip.IsUnspecified():
		return "::1"
	}
	return host
}

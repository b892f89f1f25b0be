package config

import (
	"net"
	"net/netip"
	"slices"
)

// allow refuses an allow-list where no delivery shows its address: on loopback
// only a proxy or tunnel on this machine can deliver, and all of its deliveries
// come from loopback unless it is trusted to say otherwise.
func (p *problems) allow(c *Config) {
	key, addr := "listen", c.Listen
	if c.WebhookListen != "" {
		key, addr = "webhook_listen", c.WebhookListen
	}
	local := loopback(addr)
	if len(c.Ingest.Allow) == 0 || len(local) == 0 {
		return
	}
	known := slices.ContainsFunc(c.TrustedProxies, func(n Network) bool { return slices.ContainsFunc(local, n.Overlaps) })
	p.check(known, "ingest.allow: %s is %s, where only a proxy or tunnel on this machine delivers, so that the sender's address is not known: "+
		"name that proxy in trusted_proxies (%s) if it sends X-Forwarded-For, or set webhook_listen to an address that Auth0 reaches itself", key, addr, local[0])
}

// loopback is where the peers of a listener are that other machines cannot
// reach; none of any other listener.
func loopback(listen string) []netip.Prefix {
	v4, v6 := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")
	host, _, _ := net.SplitHostPort(listen)
	addr, _ := netip.ParseAddr(host)
	switch addr = addr.Unmap(); {
	case host == "localhost":
		return []netip.Prefix{v4, v6}
	case addr.IsLoopback() && addr.Is4():
		return []netip.Prefix{v4}
	case addr.IsLoopback():
		return []netip.Prefix{v6}
	}
	return nil
}

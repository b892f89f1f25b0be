package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// Network is a range of addresses, written 203.0.113.0/24 or 2001:db8::/32; an
// address alone is the range of itself.
type Network struct{ netip.Prefix }

// UnmarshalText reads the forms above. An address that is not the first of its
// range is a slip, and no range.
func (n *Network) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		n.Prefix = netip.PrefixFrom(addr, addr.BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return fmt.Errorf("network %q: want an address, or a range such as 203.0.113.0/24", text)
	}
	if p != p.Masked() {
		return fmt.Errorf("network %q: want the first address of the range, %s", text, p.Masked())
	}
	n.Prefix = p
	return nil
}

// Prefixes are the networks as the standard library has them.
func Prefixes(networks []Network) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range networks {
		out = append(out, n.Prefix)
	}
	return out
}

package detect

import (
	"fmt"
	"net/netip"
	"strings"
)

// network is a value of the modifier cidr: it holds for addresses of the
// network, and for networks within it.
type network struct{ netip.Prefix }

func newNetwork(text string) (comparison, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("network %q: want one like 192.0.2.0/24 or 2001:db8::/32", clip(text))
		}
		return network{netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())}, nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return nil, fmt.Errorf("network %q: want one like 192.0.2.0/24 or 2001:db8::/32", clip(text))
	}
	return network{p.Masked()}, nil
}

func (t network) holds(v string) bool {
	if !maybeAddress(v) {
		return false
	}
	if strings.IndexByte(v, '/') >= 0 {
		p, err := netip.ParsePrefix(v)
		return err == nil && p.Bits() >= t.Bits() && t.Contains(p.Addr())
	}
	addr, err := netip.ParseAddr(v)
	return err == nil && t.Contains(addr.Unmap())
}

func (t network) canonical() string { return "cidr " + t.String() }

// maybeAddress spares the error that the parser makes of other text.
func maybeAddress(v string) bool {
	const most = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128")
	if v == "" || len(v) > most {
		return false
	}
	separated := false
	for i := range len(v) {
		switch c := v[i]; {
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' || c == '/':
		case c == '.' || c == ':':
			separated = true
		default:
			return false
		}
	}
	return separated
}

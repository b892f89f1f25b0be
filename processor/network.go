package processor

import "net/netip"

// Network is the network that an address belongs to, as far as rules tell
// networks apart: the /24 of an IPv4 address, the /48 of an IPv6 address, and
// "" for what is no address. An IPv4 address written as IPv6 is an IPv4 one.
func Network(ip string) string { return network(address(ip)) }

// address is the invalid one for what is none.
func address(ip string) netip.Addr {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

func network(addr netip.Addr) string {
	bits := 48
	if addr.Is4() {
		bits = 24
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return ""
	}
	var text [64]byte // on the stack: one allocation, not two
	return string(prefix.AppendTo(text[:0]))
}

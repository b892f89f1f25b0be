package synth

import (
	"math/rand/v2"
	"net/netip"
)

// network is a /24, or a /48 of IPv6, of an operator in a country.
type network struct {
	prefix  netip.Prefix
	asn     uint32
	owner   string
	country string
}

// operator owns networks in countries.
type operator struct {
	asn       uint32
	owner     string
	countries []string
}

// The operators, by what machines and people are there for.
var (
	amazon  = operator{16509, "AMAZON-02", []string{"IE", "DE", "US", "SG"}}
	azure   = operator{8075, "MICROSOFT-CORP-MSN-AS-BLOCK", []string{"US", "NL"}}
	google  = operator{396982, "GOOGLE-CLOUD-PLATFORM", []string{"BE", "US", "NL"}}
	hetzner = operator{24940, "HETZNER-AS", []string{"DE", "FI"}}
	office  = operator{3320, "DTAG", []string{"DE"}}
	branch  = operator{7018, "ATT-INTERNET4", []string{"US"}}
	homes   = []operator{{3209, "VODANET", []string{"DE"}}, {6830, "LIBERTYGLOBAL", []string{"DE", "IE"}}, {7922, "COMCAST-7922", []string{"US"}}}
	strange = []operator{
		{9009, "M247", []string{"RO", "GB", "SG"}},
		{14061, "DIGITALOCEAN-ASN", []string{"US", "IN", "DE", "IE"}},
		{20473, "AS-VULTR", []string{"US", "JP", "DE"}},
		{16276, "OVH", []string{"FR", "CA", "DE"}},
		{12389, "ROSTELECOM-AS", []string{"RU"}},
		{4134, "CHINANET-BACKBONE", []string{"CN"}},
		{60068, "CDN77", []string{"GB", "CZ", "US"}},
		{45102, "ALIBABA-CN-NET", []string{"SG", "CN"}},
		{28573, "CLARO-NXT", []string{"BR"}},
		{37282, "MAINONE", []string{"NG"}},
	}
)

// world hands out networks, each once.
type world struct {
	r        *rand.Rand
	networks map[netip.Prefix]*network
	next     uint32
}

func newWorld(r *rand.Rand) *world {
	return &world{r: r, networks: map[netip.Prefix]*network{}, next: 23 << 16}
}

// network makes a new one of an operator in a country, "" for any of its own.
func (w *world) network(o operator, country string) *network {
	if country == "" {
		country = o.countries[w.r.IntN(len(o.countries))]
	}
	w.next += 1 + uint32(w.r.IntN(40))
	n := w.next
	addr := netip.AddrFrom4([4]byte{byte(n >> 16), byte(n >> 8), byte(n), 0})
	made := &network{netip.PrefixFrom(addr, 24), o.asn, o.owner, country}
	w.networks[made.prefix] = made
	return made
}

// network6 makes one of IPv6.
func (w *world) network6(o operator, country string) *network {
	w.next++
	addr := netip.AddrFrom16([16]byte{0x2a, 0x05, 0xd0, byte(w.next >> 16), byte(w.next >> 8), byte(w.next)})
	made := &network{netip.PrefixFrom(addr, 48), o.asn, o.owner, country}
	w.networks[made.prefix] = made
	return made
}

func (w *world) find(addr netip.Addr) (*network, bool) {
	addr = addr.Unmap()
	bits := 48
	if addr.Is4() {
		bits = 24
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return nil, false
	}
	n, ok := w.networks[prefix]
	return n, ok
}

// host is a new address in a network.
func (w *world) host(n *network) host {
	addr := n.prefix.Addr()
	if addr.Is4() {
		b := addr.As4()
		b[3] = byte(1 + w.r.IntN(254))
		return host{netip.AddrFrom4(b).String(), n}
	}
	b := addr.As16()
	b[7], b[15] = byte(w.r.IntN(256)), byte(1+w.r.IntN(254))
	return host{netip.AddrFrom16(b).String(), n}
}

// host is where requests come from.
type host struct {
	ip  string
	net *network
}

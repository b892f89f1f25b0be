package schemas

// Place is what is known of an address beside the log.
type Place struct {
	Country string // ISO 3166-1 alpha-2
	ASN     uint32 // autonomous system
	ASOrg   string // whose it is
	// Edition is higher the newer the files are that tell this, and 0 where
	// there are none.
	Edition uint16
}

// Version is the version of a copy that p was added to, of that which it would
// have without. Of two copies that differ only by their places that of the
// newer files wins; those of one edition, which files that were put back make,
// tie where 20 bits of a hash do.
func (p Place) Version(ver uint64) uint64 {
	if p == (Place{}) {
		return ver
	}
	return ver&^(0xffff<<32) | uint64(p.Edition)<<32 ^ uint64(p.hash()&^MaxGeneration)
}

// hash is FNV-1a, which unlike hash/fnv and hash/crc32 allocates nothing.
func (p *Place) hash() uint32 {
	const prime = 16777619
	h := uint32(2166136261)
	for shift := 0; shift < 32; shift += 8 {
		h = (h ^ p.ASN>>shift&0xff) * prime
	}
	for _, text := range []string{p.Country, p.ASOrg} {
		for i := range len(text) {
			h = (h ^ uint32(text[i])) * prime
		}
		h *= prime // the end of a text
	}
	return h ^ h<<12 // a version has room for the upper bits
}

package deteval

import (
	"net/netip"

	"github.com/m2mwatch/m2mwatch/internal/bench/synth"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// places is what a database of networks knows of a made-up tenant's.
type places struct{ history *synth.History }

// Place is that of processor.Places.
func (p places) Place(addr netip.Addr) schemas.Place {
	country, asn, owner, ok := p.history.Place(addr)
	if !ok {
		return schemas.Place{Edition: 1}
	}
	return schemas.Place{Country: country, ASN: asn, ASOrg: owner, Edition: 1}
}

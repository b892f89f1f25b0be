package exact_test

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/geo"
	"github.com/m2mwatch/m2mwatch/internal/geo/geotest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// newerFrom is the round from which on the .mmdb file is another one: what
// comes once more from then on is another event.
const newerFrom = 2

// placeOf is what the file of a round tells of a network. An edition is the
// number of days since the last day of 2019.
func placeOf(network string, round int) schemas.Place {
	older := map[string]schemas.Place{
		"198.51.1.0/24": {ASN: 64501, ASOrg: "One"},
	}
	newer := map[string]schemas.Place{
		"198.51.1.0/24": {ASN: 64502, ASOrg: "Two"},
		"198.51.2.0/24": {ASN: 64502, ASOrg: "Two", Country: "NL"},
	}
	p, edition := older[network], uint16(10)
	if round >= newerFrom {
		p, edition = newer[network], 20
	}
	p.Edition = edition
	return p
}

// in is the copy as the program of a round makes an event of it. The former
// version of the program had no file.
func (c sent) in(round int) sent {
	if c.former {
		return c
	}
	p := placeOf(c.event.Network, round)
	c.event.Ver = p.Version(c.event.Ver)
	c.event.ASN, c.event.ASOrg = p.ASN, p.ASOrg
	if c.event.Country == "" {
		c.event.Country = p.Country
	}
	return c
}

// filesOf are the real ones of a round.
func filesOf(t *testing.T, round int) *geo.Files {
	t.Helper()
	networks := map[string]geotest.Record{}
	for _, network := range []string{"198.51.1.0/24", "198.51.2.0/24"} {
		if p := placeOf(network, round); p.ASN != 0 {
			networks[network] = geotest.Record{"autonomous_system_number": p.ASN, "autonomous_system_organization": p.ASOrg, "country_code": p.Country}
		}
	}
	path := filepath.Join(t.TempDir(), "a.mmdb")
	built := time.Date(2019, 12, 31+int(placeOf("", round).Edition), 0, 0, 0, 0, time.UTC)
	geotest.Write(t, path, geotest.Options{Built: built}, networks)
	files, err := geo.Open(geo.Config{Paths: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestFilesTellWhatTheOracleThinks keeps the two sides from differing by their
// makings.
func TestFilesTellWhatTheOracleThinks(t *testing.T) {
	for round := range rounds {
		files := filesOf(t, round)
		for _, network := range []string{"198.51.1.0/24", "198.51.2.0/24"} {
			addr := netip.MustParseAddr(strings.Replace(network, "0/24", "7", 1))
			if got, want := files.Place(addr), placeOf(network, round); got != want {
				t.Errorf("round %d, %s: %+v, want %+v", round, network, got, want)
			}
		}
	}
}

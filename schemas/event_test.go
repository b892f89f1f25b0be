package schemas_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// TestVersionRanksCopies claims that a copy of a better source wins whatever
// normalized it, then the newer normalizer, then one of two that differ.
func TestVersionRanksCopies(t *testing.T) {
	t.Parallel()
	a, b := []byte(`{"user_agent":"curl"}`), []byte(`{"user_agent":"Other 0.0.0"}`)
	ranked := []schemas.Source{schemas.SourceStream, schemas.SourceCustom, schemas.SourcePull, schemas.SourceRepair, schemas.SourceImport}
	for i, better := range ranked {
		for _, worse := range ranked[i+1:] {
			if schemas.Version(better, 1, a) <= schemas.Version(worse, 1<<8-1, b) || schemas.Version(better, 1, b) <= schemas.Version(worse, 1<<8-1, a) {
				t.Errorf("a copy by %s does not win over one by %s", better, worse)
			}
		}
	}
	if schemas.Version(schemas.SourceStream, 2, a) <= schemas.Version(schemas.SourceStream, 1, b) ||
		schemas.Version(schemas.SourceStream, 2, b) <= schemas.Version(schemas.SourceStream, 1, a) {
		t.Error("a newer normalizer does not win over an older one")
	}
	if schemas.Version(schemas.SourceStream, 1, a) == schemas.Version(schemas.SourceStream, 1, b) {
		t.Error("two copies that differ rank the same")
	}
	if schemas.Version(schemas.SourceStream, 1, a) != schemas.Version(schemas.SourceStream, 1, slices.Clone(a)) {
		t.Error("two copies that are the same rank differently")
	}
}

// TestPlacesRankCopies claims that what newer files tell of an address wins,
// whatever it is, but not over a better source or a newer normalizer; and that
// no two copies tie that differ in it.
func TestPlacesRankCopies(t *testing.T) {
	t.Parallel()
	raw := []byte(`{"ip":"192.0.2.1"}`)
	plain := schemas.Version(schemas.SourceStream, 2, raw)
	if got := (schemas.Place{}).Version(plain); got != plain {
		t.Errorf("without files %#x, want %#x as it was", got, plain)
	}
	seen := map[uint64]schemas.Place{}
	highest := plain
	for _, edition := range []uint16{1, 2, 255, 256, 1<<16 - 1} {
		older := highest
		for _, p := range []schemas.Place{
			{},
			{Country: "NL"},
			{Country: "DE"},
			{ASOrg: "NL"},
			{ASN: 64500},
			{ASN: 64500, ASOrg: "Example"},
			{Country: "NL", ASN: 64500, ASOrg: "Example"},
			{ASN: 1 << 24},
			{ASN: 1<<32 - 1, ASOrg: strings.Repeat("x", 100)},
		} {
			p.Edition = edition
			got := p.Version(plain)
			if other, tie := seen[got]; tie {
				t.Errorf("%+v and %+v rank the same", p, other)
			}
			seen[got] = p
			if got <= older {
				t.Errorf("%+v does not win over an older edition", p)
			}
			if got >= schemas.Version(schemas.SourceStream, 3, raw) {
				t.Errorf("%+v wins over a newer normalizer", p)
			}
			highest = max(highest, got)
		}
	}
}

// TestVersionStaysAsItWasWritten holds a value that stands in stores: another
// layout would rank new copies against old ones wrongly.
func TestVersionStaysAsItWasWritten(t *testing.T) {
	t.Parallel()
	const want = 5<<56 | 1<<48 | 0xcbf43000 // of the check value of CRC-32
	if got := schemas.Version(schemas.SourceStream, 1, []byte("123456789")); got != want {
		t.Errorf("Version = %#x, want %#x", got, uint64(want))
	}
}

// TestNormalizedAgainWinsOverItselfAlone claims that a copy that was normalized
// again replaces its former self, and no copy that was better than it.
func TestNormalizedAgainWinsOverItselfAlone(t *testing.T) {
	t.Parallel()
	const stream, pull = schemas.SourceStream, schemas.SourcePull
	a, b := []byte(`{"n":1}`), []byte(`{"n":2}`)
	if schemas.Version(stream, 1, a) < schemas.Version(stream, 1, b) {
		a, b = b, a
	}
	again := func(s schemas.Source, normalizer uint32, raw []byte, generation uint64) uint64 {
		return schemas.VersionAgain(schemas.Version(s, normalizer, raw), generation)
	}
	rising := []uint64{
		again(pull, 1<<8-1, a, schemas.MaxGeneration),
		schemas.Version(stream, 1, b), again(stream, 1, b, 1), again(stream, 1, b, schemas.MaxGeneration),
		schemas.Version(stream, 1, a), again(stream, 1, a, 1),
		schemas.Place{Edition: 1}.Version(schemas.Version(stream, 1, b)),
		schemas.Version(stream, 2, b),
	}
	if !slices.IsSorted(rising) || len(slices.Compact(slices.Clone(rising))) != len(rising) {
		t.Errorf("versions %x do not rise", rising)
	}
}

func TestSourceNamesComeBack(t *testing.T) {
	t.Parallel()
	for n := range 256 {
		s := schemas.Source(n)
		back, err := schemas.ParseSource(s.String())
		if s.Valid() != (n >= 1 && n <= 5) || s.Valid() != (err == nil) || s.Valid() && back != s {
			t.Errorf("source %d: valid %t, %q reads as %d, %v", n, s.Valid(), s, back, err)
		}
	}
}

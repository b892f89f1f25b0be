package schemas_test

import (
	"slices"
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
			if schemas.Version(better, 1, a) <= schemas.Version(worse, 1<<24-1, b) || schemas.Version(better, 1, b) <= schemas.Version(worse, 1<<24-1, a) {
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

// TestVersionStaysAsItWasWritten holds a value that stands in stores: another
// layout would rank new copies against old ones wrongly.
func TestVersionStaysAsItWasWritten(t *testing.T) {
	t.Parallel()
	const want = 5<<56 | 1<<32 | 0xcbf43926 // the check value of CRC-32
	if got := schemas.Version(schemas.SourceStream, 1, []byte("123456789")); got != want {
		t.Errorf("Version = %#x, want %#x", got, uint64(want))
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

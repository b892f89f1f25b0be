package geo

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/geo/geotest"
)

func TestInspectTellsWhatEachFileKnows(t *testing.T) {
	dir := t.TempDir()
	country, broken := filepath.Join(dir, "country.mmdb"), filepath.Join(dir, "broken.mmdb")
	one(t, country, time.Unix(1700000000, 0), geotest.Record{"country": geotest.Record{"iso_code": "DE"}})
	if err := os.WriteFile(broken, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := Inspect([]string{country, broken, filepath.Join(dir, "none")})
	if s := got[0]; s.Err != nil || !s.Country || s.ASN || !s.Built.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("a file of countries: %+v", s)
	}
	for _, s := range got[1:] {
		if s.Err == nil {
			t.Errorf("%s: no error", s.Path)
		}
	}
}

package doctor

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/geo/geotest"
)

func TestEnrichmentFilesAreJudgedByAgeAndContent(t *testing.T) {
	dir := t.TempDir()
	countries, systems := filepath.Join(dir, "country.mmdb"), filepath.Join(dir, "asn.mmdb")
	geotest.Write(t, countries, geotest.Options{Built: now}, map[string]geotest.Record{"192.0.2.0/24": {"country": geotest.Record{"iso_code": "DE"}}})
	geotest.Write(t, systems, geotest.Options{Built: now}, map[string]geotest.Record{"192.0.2.0/24": {"autonomous_system_number": uint32(64500)}})
	s := settings(t)
	at := func(d time.Duration) Config {
		return Config{Settings: s, Now: func() time.Time { return now.Add(d) }}
	}
	wantNote(t, look(t, at(0), "enrichment"), StateWarn, "country and autonomous system are not")
	s.Enrich.MMDB = []string{countries}
	wantNote(t, look(t, at(0), "enrichment"), StateWarn, "no file knows autonomous systems")
	s.Enrich.MMDB = []string{countries, systems}
	wantNote(t, look(t, at(time.Hour), "enrichment"), StateOK, "built 2026-11-27")
	wantNote(t, look(t, at(61*24*time.Hour), "enrichment"), StateWarn, "61 days ago")
	s.Enrich.MMDB = []string{countries, filepath.Join(dir, "none")}
	wantNote(t, look(t, at(0), "enrichment"), StateFail, "no such file")
}

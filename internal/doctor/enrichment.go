package doctor

import (
	"context"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/geo"
)

// staleFile is the age of an .mmdb file that should have been replaced: makers
// publish one a week or a month.
const staleFile = 60 * 24 * time.Hour

// enrichment looks at the .mmdb files.
func (d *Doctor) enrichment(context.Context) Result {
	var r Result
	paths := d.cfg.Settings.Enrich.MMDB
	if len(paths) == 0 {
		r.warn("name .mmdb files under enrich.mmdb, such as GeoLite2-Country.mmdb and GeoLite2-ASN.mmdb",
			"no .mmdb files are configured: of an address the network is known, country and autonomous system are not")
		return r
	}
	country, asn := false, false
	for _, f := range geo.Inspect(paths) {
		if f.Err != nil {
			r.fail("get the file anew, or correct its path", "%v", f.Err)
			continue
		}
		country, asn = country || f.Country, asn || f.ASN
		if age := d.cfg.Now().Sub(f.Built); age > staleFile {
			r.warn("replace the file: it is read without a restart", "%s (%s) was built %.0f days ago", f.Path, f.Kind, age.Hours()/24)
			continue
		}
		r.ok("%s (%s), built %s", f.Path, f.Kind, f.Built.UTC().Format(time.DateOnly))
	}
	if r.State() == StateFail {
		return r
	}
	if !country {
		r.warn("add a file of countries to enrich.mmdb", "no file knows countries")
	}
	if !asn {
		r.warn("add a file of autonomous systems to enrich.mmdb", "no file knows autonomous systems")
	}
	return r
}

package processor_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/geo"
	"github.com/m2mwatch/m2mwatch/internal/geo/geotest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// TestAnAddressFromItsFileToPresence normalizes logs with real .mmdb files,
// stores and recounts them, and then once more with files that were built
// later: what the older ones said is gone everywhere, in whatever order the
// copies come.
func TestAnAddressFromItsFileToPresence(t *testing.T) {
	t.Parallel()
	b := newCountBench(t)
	reader := clickhouse.NewReader(b.db)
	dir := t.TempDir()
	normalizer := func(name string, built time.Time, networks map[string]geotest.Record) *processor.Normalizer {
		path := filepath.Join(dir, name+".mmdb")
		geotest.Write(t, path, geotest.Options{Type: name, Built: built}, networks)
		files, err := geo.Open(geo.Config{Paths: []string{path}})
		if err != nil {
			t.Fatal(err)
		}
		return processor.NewNormalizer(schemas.EventTypes(), files)
	}
	older := normalizer("older", moment.AddDate(0, 0, -7), map[string]geotest.Record{
		"192.0.2.0/24": {"country_code": "NL", "asn": "AS64500", "as_name": "Example Cloud"},
	})
	newer := normalizer("newer", moment, map[string]geotest.Record{
		"192.0.2.0/25": {"country_code": "BE", "asn": "AS64501", "as_name": "Example Transit"},
	})
	// Of each client one log from an address that the newer file has moved, and
	// one from an address that it knows no more.
	events := func(n *processor.Normalizer, client int) (all []schemas.Event) {
		for i, ip := range []string{"192.0.2.1", "192.0.2.200"} {
			at := moment.Add(time.Duration(i) * time.Second)
			raw := fmt.Sprintf(`{"log_id":"900%053d","date":%q,"type":"seccft","client_id":"c%d","ip":%q}`, client*10+i, at.Format(time.RFC3339), client, ip)
			e, err := n.Normalize(&schemas.Log{Tenant: "acme", Source: schemas.SourceStream, IngestedAt: at, Raw: []byte(raw)})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		return all
	}
	seen := func(client int) map[string]string {
		t.Helper()
		rows, err := reader.Presence(t.Context(), "acme", fmt.Sprintf("app:c%d", client), time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]string{}
		for _, p := range rows {
			if p.Attribute == schemas.AttributeASN || p.Attribute == schemas.AttributeCountry {
				values[p.Attribute] += fmt.Sprintf("%s:%d ", p.Value, p.Count)
			}
		}
		return values
	}
	check := func(step string, client int, asn, country string) {
		t.Helper()
		if diff := cmp.Diff(map[string]string{"asn": asn, "country": country}, seen(client)); diff != "" {
			t.Errorf("%s: presence of client %d (-want +got):\n%s", step, client, diff)
		}
	}
	stop := b.run("")
	defer stop()
	recounted := func() {
		t.Helper()
		b.pass(2 * time.Minute)
		b.waitClean()
	}

	b.insert(events(older, 1)...)
	got, err := reader.Event(t.Context(), "acme", fmt.Sprintf("900%053d", 10))
	if err != nil || got.ASN != 64500 || got.ASOrg != "Example Cloud" || got.Country != "NL" || got.Network != "192.0.2.0/24" {
		t.Errorf("stored %+v, %v; want what the file tells", got, err)
	}
	check("before the recount", 1, "64500:2 ", "NL:2 ")
	recounted()
	check("recounted", 1, "64500:2 ", "NL:2 ")

	b.insert(events(newer, 1)...)
	b.insert(events(newer, 2)...)
	b.insert(events(older, 2)...) // the losing copy comes last
	for _, client := range []int{1, 2} {
		check("of newer files", client, "64501:1 ", "BE:1 ")
	}
	recounted()
	for _, client := range []int{1, 2} {
		check("of newer files, recounted", client, "64501:1 ", "BE:1 ")
	}
}

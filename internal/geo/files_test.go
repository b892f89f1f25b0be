package geo

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/internal/geo/geotest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

var today = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// log is a logger and what it wrote.
func log() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, nil)), &b
}

func open(t *testing.T, paths ...string) (*Files, *bytes.Buffer) {
	t.Helper()
	logger, said := log()
	f, err := Open(Config{Paths: paths, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	return f, said
}

func place(f *Files, addr string) schemas.Place { return f.Place(netip.MustParseAddr(addr)) }

// one writes a file that knows one network.
func one(t *testing.T, path string, built time.Time, record geotest.Record) {
	t.Helper()
	geotest.Write(t, path, geotest.Options{Built: built}, map[string]geotest.Record{"192.0.2.0/24": record})
}

func TestEveryMakersFieldsAreRead(t *testing.T) {
	t.Parallel()
	names := geotest.Record{"en": "Netherlands", "de": "Niederlande"}
	example := schemas.Place{ASN: 64500, ASOrg: "Example Cloud"}
	for name, tt := range map[string]struct {
		record geotest.Record
		want   schemas.Place
	}{
		"GeoLite2-City": {
			geotest.Record{"city": geotest.Record{"names": names}, "country": geotest.Record{"geoname_id": uint32(1), "iso_code": "NL", "names": names}, "registered_country": geotest.Record{"iso_code": "US"}},
			schemas.Place{Country: "NL"},
		},
		"GeoLite2-ASN":        {geotest.Record{"autonomous_system_number": uint32(64500), "autonomous_system_organization": "Example Cloud"}, example},
		"GeoIP2-ISP":          {geotest.Record{"autonomous_system_number": uint32(64500), "autonomous_system_organization": "Example Cloud", "isp": "no", "organization": "no"}, example},
		"GeoIP2-Enterprise":   {geotest.Record{"country": geotest.Record{"iso_code": "NL"}, "traits": geotest.Record{"autonomous_system_number": uint32(64500), "autonomous_system_organization": "Example Cloud"}}, schemas.Place{Country: "NL", ASN: 64500, ASOrg: "Example Cloud"}},
		"IPinfo Lite":         {geotest.Record{"country": "Netherlands", "country_code": "NL", "continent": "Europe", "asn": "AS64500", "as_name": "Example Cloud", "as_domain": "example.com"}, schemas.Place{Country: "NL", ASN: 64500, ASOrg: "Example Cloud"}},
		"IPinfo country, ASN": {geotest.Record{"country": "NL", "country_name": "Netherlands", "asn": "AS64500", "as_name": "Example Cloud"}, schemas.Place{Country: "NL", ASN: 64500, ASOrg: "Example Cloud"}},
		"IPinfo ASN":          {geotest.Record{"asn": "AS64500", "name": "Example Cloud", "type": "hosting", "route": "192.0.2.0/24"}, example},
		"ip-location-db":      {geotest.Record{"country_code": "nl"}, schemas.Place{Country: "NL"}},
		"IPLocate":            {geotest.Record{"asn": uint32(64500), "org": "Example Cloud", "name": "EXAMPLE-AS"}, example},
		"the highest number":  {geotest.Record{"asn": "as4294967295"}, schemas.Place{ASN: 1<<32 - 1}},
		"a number too high":   {geotest.Record{"country_code": "NL", "asn": "AS4294967296", "as_name": "no"}, schemas.Place{Country: "NL"}},
		"a name for a code":   {geotest.Record{"country": "Netherlands", "asn": "AS1"}, schemas.Place{ASN: 1}},
		"other types":         {geotest.Record{"country": geotest.Record{"iso_code": geotest.Record{}}, "country_code": uint32(31), "asn": uint32(64500), "name": geotest.Record{"en": "no"}, "as_name": "Example Cloud"}, example},
		"a name without end":  {geotest.Record{"asn": uint32(64500), "as_name": strings.Repeat("x", 201), "name": "Example Cloud"}, example},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "a.mmdb")
			one(t, path, today, tt.record)
			f, _ := open(t, path)
			for range 2 { // the second comes of the cache
				if diff := cmp.Diff(tt.want, place(f, "192.0.2.7"), cmpopts.IgnoreFields(schemas.Place{}, "Edition")); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestSeveralFilesAreAskedInTheirOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.mmdb"), filepath.Join(dir, "second.mmdb")
	geotest.Write(t, first, geotest.Options{IPVersion: 4, Built: today}, map[string]geotest.Record{
		"192.0.2.0/24": {"asn": "AS1"}, "203.0.113.0/24": {"country_code": "NL"},
	})
	geotest.Write(t, second, geotest.Options{Built: today}, map[string]geotest.Record{
		"192.0.2.0/24":    {"country_code": "DE", "asn": "AS2", "as_name": "two"},
		"203.0.113.0/25":  {"country_code": "DE", "asn": "AS2", "as_name": "two"},
		"2001:db8:1::/48": {"country_code": "FR"},
	})
	f, said := open(t, first, second)
	for addr, want := range map[string]schemas.Place{
		"192.0.2.1":       {Country: "DE", ASN: 1}, // and not the organization of 2
		"203.0.113.1":     {Country: "NL", ASN: 2, ASOrg: "two"},
		"203.0.113.200":   {Country: "NL"},
		"::ffff:c000:201": {Country: "DE", ASN: 1},
		"2001:db8:1::1":   {Country: "FR"},
		"2001:db8:2::1":   {},
		"198.51.100.1":    {},
	} {
		if diff := cmp.Diff(want, place(f, addr), cmpopts.IgnoreFields(schemas.Place{}, "Edition")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", addr, diff)
		}
	}
	if got := f.Place(netip.Addr{}); got != (schemas.Place{Edition: place(f, "192.0.2.1").Edition}) || got.Edition == 0 {
		t.Errorf("no address: %+v, want an edition alone", got)
	}
	if strings.Contains(said.String(), "cannot be read") {
		t.Errorf("logged: %s", said)
	}
}

func TestOpenNamesEachFileThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole := geotest.Bytes(t, geotest.Options{}, map[string]geotest.Record{"192.0.2.0/24": {"asn": "AS1"}})
	good := in("good.mmdb", whole)
	bad := map[string]string{
		filepath.Join(dir, "missing.mmdb"):      "no such file",
		in("empty.mmdb", nil):                   "",
		in("text.mmdb", []byte("no database")):  "",
		in("half.mmdb", whole[:len(whole)/2]):   "",
		in("tail.mmdb", whole[len(whole)*3/4:]): "",
		in("domains.mmdb", geotest.Bytes(t, geotest.Options{Type: "Domains"}, map[string]geotest.Record{"192.0.2.0/24": {"domain": "example.com"}})): "Domains tells neither a country nor an autonomous system",
		dir: "",
	}
	paths := []string{good}
	for path := range bad {
		paths = append(paths, path)
	}
	f, err := Open(Config{Paths: paths})
	if err == nil {
		t.Fatalf("opened: %+v", f)
	}
	lines := strings.Split(err.Error(), "\n")
	for path, reason := range bad {
		named := false
		for _, line := range lines {
			named = named || strings.Contains(line, path+":") && strings.Contains(line, reason)
		}
		if !named {
			t.Errorf("no line names %s and %q: %v", path, reason, err)
		}
	}
	if strings.Contains(err.Error(), good) || len(lines) != len(bad) {
		t.Errorf("want a line for each of %d files: %v", len(bad), err)
	}
}

func TestAReplacedFileIsUsedAndABrokenOneIsNot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.mmdb")
	one(t, path, today, geotest.Record{"asn": "AS1"})
	f, said := open(t, path)
	told := func(want uint32, words string) {
		t.Helper()
		said.Reset()
		f.look()
		if got := place(f, "192.0.2.1").ASN; got != want {
			t.Errorf("AS%d, want AS%d", got, want)
		}
		if got := said.String(); words == "" && got != "" || !strings.Contains(got, words) {
			t.Errorf("logged %q, want %q", got, words)
		}
	}
	put := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil { // in place, as cp does
			t.Fatal(err)
		}
	}
	told(1, "")
	one(t, path, today, geotest.Record{"asn": "AS2"})
	told(2, "is in use")
	told(2, "")
	whole := geotest.Bytes(t, geotest.Options{Built: today}, map[string]geotest.Record{"192.0.2.0/24": {"asn": "AS3", "as_name": "three"}})
	put(whole[:len(whole)-40])
	told(2, "cannot be used, the old one stays")
	told(2, "") // said once
	put(whole)
	told(3, "is in use")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	told(3, "no such file")
	told(3, "")
	one(t, path, today, geotest.Record{"asn": "AS4"})
	told(4, "is in use")
}

func TestANewerFileOrOneMoreIsAHigherEdition(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.mmdb"), filepath.Join(dir, "b.mmdb")
	one(t, a, today, geotest.Record{"asn": "AS1"})
	one(t, b, time.Unix(0, 0), geotest.Record{"country": "NL"})
	f, _ := open(t, a)
	number := func(f *Files) uint16 { return place(f, "192.0.2.1").Edition }
	before := number(f)
	if both, _ := open(t, a, b); number(both) <= before {
		t.Errorf("edition %d with one more file, want it higher than %d", number(both), before)
	}
	one(t, a, today.AddDate(0, 0, 1), geotest.Record{"asn": "AS1"})
	f.look()
	if number(f) != before+1 {
		t.Errorf("edition %d a day later, want %d", number(f), before+1)
	}
	one(t, a, today.AddDate(200, 0, 0), geotest.Record{"asn": "AS1"})
	f.look()
	if number(f) != 1<<16-1 {
		t.Errorf("edition %d in 200 years, want the highest there is", number(f))
	}
}

// TestLookUpsGoOnWhileFilesAreReplaced claims that a look-up sees one file or
// the other, whole.
func TestLookUpsGoOnWhileFilesAreReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.mmdb")
	versions := []geotest.Record{{"asn": "AS1", "as_name": "one", "country": "NL"}, {"asn": "AS2", "as_name": "two", "country": "DE"}}
	one(t, path, today, versions[0])
	f, err := Open(Config{Paths: []string{path}, Every: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	seen := make([]map[schemas.Place]bool, 4)
	for i := range seen {
		all.Go(func() {
			seen[i] = map[schemas.Place]bool{}
			for ctx.Err() == nil {
				seen[i][place(f, "192.0.2.7")] = true
			}
		})
	}
	for i := range 20 {
		want := uint32(1 + i%2)
		one(t, path, today.AddDate(0, 0, i%2), versions[i%2])
		for deadline := time.Now().Add(10 * time.Second); place(f, "192.0.2.7").ASN != want; {
			if time.Now().After(deadline) {
				t.Fatalf("file %d is not in use", i)
			}
		}
	}
	stop()
	all.Wait()
	first := place(f, "192.0.2.7").Edition - 1
	want := map[schemas.Place]bool{
		{Country: "NL", ASN: 1, ASOrg: "one", Edition: first}:     true,
		{Country: "DE", ASN: 2, ASOrg: "two", Edition: first + 1}: true,
	}
	for _, got := range seen {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestAFileBrokenInsideTellsOnce damages what only a look-up reads.
func TestAFileBrokenInsideTellsOnce(t *testing.T) {
	t.Parallel()
	content := geotest.Bytes(t, geotest.Options{}, map[string]geotest.Record{
		"192.0.2.0/24": {"asn": "AS1"}, "203.0.113.0/24": {"asn": "AS2", "as_name": "a name to be found"},
	})
	at := bytes.Index(content, []byte("a name to be found"))
	if at < 1 {
		t.Fatal("the name is not in the file")
	}
	content[at-1] = 0x5f // a string of more bytes than the file has left
	content[at], content[at+1] = 0xff, 0xff
	path := filepath.Join(t.TempDir(), "a.mmdb")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, said := open(t, path)
	for range 3 {
		if got := place(f, "203.0.113.1"); got.ASN != 0 {
			t.Errorf("got %+v of a record that cannot be read", got)
		}
	}
	if got := place(f, "192.0.2.1"); got.ASN != 1 {
		t.Errorf("got %+v of a record that can be read", got)
	}
	if n := strings.Count(said.String(), "a part of an .mmdb file cannot be read"); n != 1 {
		t.Errorf("said %d times, want once: %s", n, said)
	}
}

func FuzzFilesNeitherPanicNorLie(f *testing.F) {
	whole := geotest.Bytes(f, geotest.Options{Built: today}, map[string]geotest.Record{
		"192.0.2.0/24": {"country": geotest.Record{"iso_code": "NL"}, "asn": "AS1", "as_name": "one"}, "2001:db8::/32": {"country_code": "DE", "asn": uint32(7)},
	})
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	path := filepath.Join(f.TempDir(), "a.mmdb")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := Open(Config{Paths: []string{path}})
		if (err == nil) != (files != nil) {
			t.Fatalf("%v, %v: want files or an error", files, err)
		}
		if err != nil {
			return
		}
		for _, addr := range []string{"192.0.2.1", "2001:db8::1", "203.0.113.1"} {
			p := place(files, addr)
			if p.Country != "" && len(p.Country) != 2 || p.ASN == 0 && p.ASOrg != "" || p.Edition == 0 {
				t.Errorf("%s: %+v", addr, p)
			}
		}
	})
}

func BenchmarkPlace(b *testing.B) {
	dir := b.TempDir()
	countries, systems := map[string]geotest.Record{}, map[string]geotest.Record{}
	var addrs []netip.Addr
	for i := range 20_000 {
		addr := netip.AddrFrom4([4]byte{byte(1 + i%200), byte(i / 200), byte(i), 0})
		network := netip.PrefixFrom(addr, 24).Masked().String()
		countries[network] = geotest.Record{"country": geotest.Record{"iso_code": []string{"NL", "DE", "US"}[i%3], "names": geotest.Record{"en": "A name"}}}
		systems[network] = geotest.Record{"autonomous_system_number": uint32(i%5000 + 1), "autonomous_system_organization": "Example Cloud"}
		addrs = append(addrs, addr.Next())
	}
	paths := []string{filepath.Join(dir, "country.mmdb"), filepath.Join(dir, "asn.mmdb")}
	geotest.Write(b, paths[0], geotest.Options{}, countries)
	geotest.Write(b, paths[1], geotest.Options{}, systems)
	f, err := Open(Config{Paths: paths})
	if err != nil {
		b.Fatal(err)
	}
	for name, some := range map[string][]netip.Addr{"networks=100": addrs[:100], "networks=20000": addrs} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				f.Place(some[i%len(some)])
				i++
			}
		})
	}
}

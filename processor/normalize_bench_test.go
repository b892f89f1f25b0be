package processor

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/geo"
	"github.com/m2mwatch/m2mwatch/internal/geo/geotest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// seccft is a token issued, 1.3 KB as the newest schema has it.
func benchSeccft() string {
	return `{"log_id":"` + stampedID + `","data":{"date":"2025-06-07T08:09:10.123Z","type":"seccft","description":"Client Credentials for Access Token",` +
		`"connection_id":"","client_id":"q0QKtXuhdSibs1jUeXk3mmCwXoAafGnO","client_name":"invoice-sync","ip":"203.0.113.77","client_ip":"203.0.113.77",` +
		`"user_agent":"Go-http-client/2.0","hostname":"acme-production.eu.auth0.com","user_id":"","user_name":"","organization_id":"org_mPdwToiiHHOtz0SH",` +
		`"organization_name":"acme","audience":"https://billing.acme.example/api","scope":"read:invoices write:invoices read:customers",` +
		`"details":{"access_token_jti":"7Hq0pVZk2mXW1c9sTfR4bYdL","actions":{"executions":["` + strings.Repeat("Zx", 60) + `"]},"device_id":"v0:4d2a6b00-8f0a-11ef-9a3c-7f1a0c0b9d55",` +
		`"requested_scope":["read:invoices","write:invoices","read:customers"]},"security_context":{"ja3":"e7d705a3286e19ea42f587b344ee6865","ja4":"t13d1516h2_8daaf6152771_b186095e22b6"},` +
		`"references":{"correlation_id":"6f0c2e0a-3b1d-4c5e-9f8a-0b7d6c5e4f3a","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"},"auth0_client":{"name":"go-auth0","version":"1.20.0","env":{"go":"1.26"}},` +
		`"location_info":{"country_code":"DE","country_name":"Germany","city_name":"Berlin","latitude":52.5,"longitude":13.4,"time_zone":"Europe/Berlin","continent_code":"EU"},` +
		`"$event_schema":{"version":"1.0.0"},"log_id":"` + stampedID + `","tenant_name":"acme","environment_name":"prod-eu-1","isMobile":false}}`
}

// sapi is a call of the Management API, 4 KB with its scopes and bodies.
func benchSapi() string {
	var scopes []string
	for i := range 60 {
		scopes = append(scopes, fmt.Sprintf(`"update:resource_%02d"`, i))
	}
	body := strings.Repeat(`{"name":"x","grants":["client_credentials"],"callbacks":[],"jwt":{"lifetime":36000}},`, 12)
	return `{"log_id":"` + stampedID + `","data":{"date":"2025-06-07T08:09:10.123Z","type":"sapi","description":"Update a client","client_id":"q0QKtXuhdSibs1jUeXk3mmCwXoAafGnO",` +
		`"client_name":"","ip":"203.0.113.77","user_agent":"terraform-provider-auth0","user_id":"","log_id":"` + stampedID + `","details":{"request":{"method":"patch",` +
		`"path":"/api/v2/clients/q0QKtXuhdSibs1jUeXk3mmCwXoAafGnO","query":{},"userAgent":"terraform","body":[` + body + `{}],"channel":"api","ip":"203.0.113.77",` +
		`"auth":{"user":{},"strategy":"jwt","credentials":{"jti":"949869e066205b5076e6df203fdd7b9b","scopes":[` + strings.Join(scopes, ",") + `]}}},` +
		`"response":{"statusCode":200,"body":[` + body + `{}]}}}}`
}

// benchPlaces are two files that know the address of the benchmarks' logs, and
// 20,000 other networks.
func benchPlaces(b *testing.B) Places {
	b.Helper()
	countries := map[string]geotest.Record{"203.0.113.0/24": {"country": geotest.Record{"iso_code": "DE", "names": geotest.Record{"en": "Germany"}}}}
	systems := map[string]geotest.Record{"203.0.113.0/24": {"autonomous_system_number": uint32(64500), "autonomous_system_organization": "Example Cloud"}}
	for i := range 20_000 {
		network := fmt.Sprintf("%d.%d.%d.0/24", 1+i%100, i/100, i%256)
		countries[network] = geotest.Record{"country": geotest.Record{"iso_code": []string{"NL", "US"}[i%2]}}
		systems[network] = geotest.Record{"autonomous_system_number": uint32(1 + i%5000), "autonomous_system_organization": "Example Transit"}
	}
	paths := []string{filepath.Join(b.TempDir(), "country.mmdb"), filepath.Join(b.TempDir(), "asn.mmdb")}
	geotest.Write(b, paths[0], geotest.Options{}, countries)
	geotest.Write(b, paths[1], geotest.Options{}, systems)
	files, err := geo.Open(geo.Config{Paths: paths})
	if err != nil {
		b.Fatal(err)
	}
	return files
}

func BenchmarkNormalize(b *testing.B) {
	files := benchPlaces(b)
	for _, bb := range []struct {
		name, raw string
		places    Places
	}{{"seccft", benchSeccft(), nil}, {"seccft+mmdb", benchSeccft(), files}, {"sapi", benchSapi(), nil}, {"sapi+mmdb", benchSapi(), files}} {
		b.Run(fmt.Sprintf("%s/bytes=%d", bb.name, len(bb.raw)), func(b *testing.B) {
			n := NewNormalizer(schemas.EventTypes(), bb.places)
			log := streamLog(bb.raw)
			b.SetBytes(int64(len(bb.raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := n.Normalize(&log); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBatch is all that the processor itself does per record: group
// framing, decoding, normalizing, dropping copies, matching.
func BenchmarkBatch(b *testing.B) {
	const records = 10_000
	r := newRig()
	r.cfg.Now = func() time.Time { return dated.Add(time.Hour) }
	p, err := New(r.cfg)
	if err != nil {
		b.Fatal(err)
	}
	var messages []*fakeMessage
	for m := range records / 100 {
		group := schemas.AppendGroupHeader(nil, "acme", schemas.SourceStream, dated)
		for i := range 100 {
			raw := strings.ReplaceAll(benchSeccft(), stampedID, logIDOf(100*m+i))
			group = schemas.AppendGroupLog(group, []byte(raw), false)
		}
		messages = append(messages, &fakeMessage{data: group})
	}
	batch := new(batch)
	b.ReportAllocs()
	for b.Loop() {
		for _, m := range messages {
			p.addMessage(batch, m)
		}
		batch.dropLosers(p.index)
		for i := range batch.events {
			batch.matches = p.cfg.Matcher.Match(batch.matches, &batch.events[i])
		}
		if len(batch.events) != records {
			b.Fatalf("%d events", len(batch.events))
		}
		batch.reset()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
}

// BenchmarkNormalizeCustom reads one use of a token, as deploy/nginx tells it.
func BenchmarkNormalizeCustom(b *testing.B) {
	raw := customEvent("token.used", `{"jti":"949869e066205b5076e6df203fdd7b9b","client_id":"q0QKtXuhdSibs1jUeXk3mmCwXoAafGnO","user_id":"q0QKtXuhdSibs1jUeXk3mmCwXoAafGnO@clients",
		"audience":["https://billing.acme.example/api"],"scope":"read:invoices write:invoices","ip":"203.0.113.77","method":"GET","path":"/invoices","status":200,"user_agent":"okhttp/4.9.3"}`)
	n := NewNormalizer(schemas.EventTypes(), nil)
	log := customLog(raw)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Normalize(&log); err != nil {
			b.Fatal(err)
		}
	}
}

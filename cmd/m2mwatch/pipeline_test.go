package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// epoch is a day long past: nothing in these tests depends on the clock.
var epoch = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// bare takes the envelope off a record.
func bare(raw string) string {
	_, inner, _ := strings.Cut(raw, `"data":`)
	return strings.TrimSuffix(inner, "}")
}

func TestEveryBodyShapeReachesTheStore(t *testing.T) {
	i := startUp(t, filepath.Join(t.TempDir(), "data"))
	want := map[string]bool{}
	n := 0
	two := func() (a, b string) {
		records := make([]string, 2)
		for k := range records {
			n++
			id, raw := record(n, epoch.Add(time.Duration(n)*time.Second), "seccft", "client-a", "192.0.2")
			want[id] = true
			records[k] = raw
		}
		return records[0], records[1]
	}
	for _, shape := range []struct {
		name string
		body func(a, b string) []byte
	}{
		{"JSON lines", func(a, b string) []byte { return []byte(a + "\n" + b + "\n") }},
		{"JSON lines, CRLF", func(a, b string) []byte { return []byte(a + "\r\n\r\n" + b) }},
		{"JSON array", func(a, b string) []byte { return []byte("[" + a + ", " + b + "]") }},
		{"JSON object", func(a, b string) []byte { return []byte(`{"logs":[` + a + "," + b + "]}") }},
		{"bare events", func(a, b string) []byte { return []byte(bare(a) + "\n" + bare(b)) }},
		{"byte order mark", func(a, b string) []byte { return []byte("\xef\xbb\xbf[" + a + "," + b + "]") }},
		{"gzip", func(a, b string) []byte { return gzipped([]byte(a + "\n" + b)) }},
		{"junk between", func(a, b string) []byte { return []byte(a + "\nnot JSON\n" + b) }},
		{"broken element", func(a, b string) []byte { return []byte("[" + a + `,{"a":},` + b + "]") }},
	} {
		wantDead := 0
		if shape.name == "junk between" || shape.name == "broken element" {
			wantDead = 1
		}
		status, accepted, dead := i.post(shape.body(two()))
		if status != http.StatusOK || accepted != 2+wantDead || dead != wantDead {
			t.Errorf("%s: got %d, accepted %d, dead %d", shape.name, status, accepted, dead)
		}
	}
	a, b := two()
	pretty := strings.NewReplacer(`{"log_id"`, "{\n  \"log_id\"", `"data":{`, "\"data\": {\n    ", "}}", "}\n}").Replace(a)
	for name, body := range map[string]io.Reader{
		"one envelope over several lines": strings.NewReader(pretty),
		"chunked, of unknown length":      io.MultiReader(strings.NewReader(b[:20]), strings.NewReader(b[20:])),
	} {
		if status, accepted, dead := i.postReader(body); status != http.StatusOK || accepted != 1 || dead != 0 {
			t.Errorf("%s: got %d, accepted %d, dead %d", name, status, accepted, dead)
		}
	}
	if status, _, _ := i.post([]byte(`{"specversion":"1.0","type":"user.created","source":"urn:auth0:acme","id":"evt_1","data":{}}`)); status != http.StatusBadRequest {
		t.Errorf("an Event Streams CloudEvent: got %d", status)
	}
	if status, accepted, _ := i.post([]byte("[]")); status != http.StatusOK || accepted != 0 {
		t.Errorf("empty batch: got %d, accepted %d", status, accepted)
	}
	i.settle()
	i.checkOnce(want)
	i.interrupt()
}

func TestRepeatsCountOnceAcrossRestartsAndInAnyOrder(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string]bool{}
	var records []string
	for n := range 500 {
		id, raw := record(n, epoch.Add(time.Duration(n)*time.Minute), "seccft", fmt.Sprint("client-", n%7), "192.0.2")
		want[id] = true
		records = append(records, raw)
	}
	for range 2 { // two lives of the program
		i := startUp(t, data)
		for range 3 { // each log three times in each
			random.Shuffle(len(records), func(a, b int) { records[a], records[b] = records[b], records[a] })
			for batch := 0; batch < len(records); batch += 50 {
				if status, _, _ := i.post(lines(records[batch : batch+50]...)); status != http.StatusOK {
					t.Fatalf("got %d", status)
				}
			}
		}
		i.settle()
		i.checkOnce(want)
		i.interrupt()
	}
}

func TestHundredThousandEventsAreCountedToTheLast(t *testing.T) {
	i := startUp(t, filepath.Join(t.TempDir(), "data"))
	const total, batch = 100_000, 500
	want := make(map[string]bool, total)
	byType := map[string]int{}
	types := []string{"seccft", "seccft", "seccft", "feccft", "sapi", "s", "never_heard_of"}
	for n := 0; n < total; n += batch {
		records := make([]string, batch)
		for k := range records {
			kind := types[(n+k)%len(types)]
			id, raw := record(n+k, epoch.Add(time.Duration(n+k)*25*time.Second), kind, fmt.Sprint("client-", k%97), "198.51.100")
			want[id] = true
			byType[kind]++
			records[k] = raw
		}
		body := lines(records...)
		for range 1 + n/batch%2 { // every other batch twice
			if status, accepted, dead := i.post(body); status != http.StatusOK || accepted != batch || dead != 0 {
				t.Fatalf("batch %d: got %d, accepted %d, dead %d", n/batch, status, accepted, dead)
			}
		}
	}
	i.settle()
	for kind, n := range i.counts() {
		if byType[kind] != n {
			t.Errorf("type %s: counted %d, want %d", kind, n, byType[kind])
		}
	}
	i.checkOnce(want)
	i.interrupt()
}

func TestAwkwardEventsAreKept(t *testing.T) {
	i := startUp(t, filepath.Join(t.TempDir(), "data"))
	at := epoch
	id := func(n int) string { l, _ := record(n, at, "", "", ""); return l }
	bodies := []string{
		`{"log_id":"` + id(1) + `","data":{"date":"2026-03-02 09:00:00.123456789","type":"feccft","client_id":null,"ip":"xxxx","scope":null,"details":"text"}}`,
		`{"log_id":"` + id(2) + `","data":{"date":"2026-03-02T09:00:00Z","type":"seccft","client_id":"c","audience":["a","b"],"scope":["r:a","r:b"],"isMobile":false,"details":null}}`,
		`{"log_id":"` + id(3) + `","data":{"type":"a_new_type_of_next_year","details":{"response":"text","n":1743012420759}}}`,
		`{"log_id":"` + id(4) + `","data":{"date":"2026-03-02T09:00:00.5Z","type":"fp","user_id":42,"user_name":"\u0000\ud83d\ude00","details":{"error":{"payload":{"status":401}}}}}`,
	}
	if status, accepted, dead := i.post(lines(bodies...)); status != http.StatusOK || accepted != 4 || dead != 0 {
		t.Fatalf("got %d, accepted %d, dead %d", status, accepted, dead)
	}
	if status, accepted, _ := i.post([]byte(`{"data":{"type":"seccft","date":"2026-03-02T09:00:00Z"}}`)); status != http.StatusOK || accepted != 1 {
		t.Fatalf("without log_id: got %d, accepted %d", status, accepted)
	}
	i.settle()
	i.checkOnce(map[string]bool{id(1): true, id(2): true, id(3): true, id(4): true})
	var status struct{ Dead int }
	i.mustGet("/v1/status", &status)
	if status.Dead != 1 {
		t.Errorf("dead %d, want the one without log_id", status.Dead)
	}
	for n, body := range bodies {
		var event struct{ Raw json.RawMessage }
		i.mustGet("/v1/events/acme/"+id(n+1), &event)
		if string(event.Raw) != body {
			t.Errorf("raw\ngot  %s\nwant %s", event.Raw, body)
		}
	}
	i.interrupt()
}

func TestAddressInUseIsToldWithItsFlag(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	out, err := exec.Command(programPath(t), "up", "--data", filepath.Join(t.TempDir(), "data"), "--listen", ln.Addr().String()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "choose another address with --listen") {
		t.Errorf("got %v: %s", err, out)
	}
}

func TestWebhookListenerServesNothingElse(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	i := startUp(t, data, "M2MWATCH_WEBHOOK_LISTEN=127.0.0.1:0")
	i.webhook = "http://" + i.hook + "/v1/logs/acme"
	if status, _, _ := i.post([]byte("[]")); status != http.StatusOK {
		t.Errorf("webhook: got %d", status)
	}
	for url, want := range map[string]int{
		"http://" + i.hook + "/v1/events": http.StatusNotFound,
		"http://" + i.hook + "/livez":     http.StatusNotFound,
		"http://" + i.hook + "/metrics":   http.StatusNotFound,
		i.api + "/v1/logs/acme":           http.StatusUnauthorized,
		i.api + "/v1/events":              http.StatusUnauthorized,
		i.api + "/metrics":                http.StatusUnauthorized,
		i.api + "/livez":                  http.StatusOK,
		i.api + "/readyz":                 http.StatusOK,
	} {
		response, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("GET %s: got %d, want %d", url, response.StatusCode, want)
		}
	}
	i.interrupt()
}

package ingest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

const (
	logA = `{"log_id":"90020250101000000000000000000000000001","data":{"date":"2025-01-01T00:00:00.000Z","type":"seccft","description":"a \"quoted\" [text], with {braces}","client_id":"a","scope":"read:data","log_id":"90020250101000000000000000000000000001"}}`
	logB = `{"data":{"date":"2025-01-01 00:00:01.5","type":"feccft","client_id":null,"details":{"list":[{"x":1},{"y":[]}]},"log_id":"2"},"log_id":"2"}`
	logC = `{"log_id":"3","data":{"type":"sapi","description":"","ip":"xxxx","log_id":"3"}}`
	bare = `{"date":"2025-01-01T00:00:00Z","type":"seccft","log_id":"4","client_id":"b"}`
)

// got is a Record without what only its Raw says.
type got struct {
	Raw    string
	Broken bool
}

func good(raws ...string) []got {
	var out []got
	for _, raw := range raws {
		out = append(out, got{Raw: raw})
	}
	return out
}

func broken(raw string) got { return got{Raw: raw, Broken: true} }

// splitAll returns the records of a body and the error it ended with; nil
// stands for its end.
func splitAll(r io.Reader, o SplitOptions) ([]got, error) {
	s := NewSplitter(r, o)
	defer s.Close()
	var out []got
	for {
		rec, err := s.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, got{Raw: string(rec.Raw), Broken: rec.Broken != ""})
	}
}

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(s))
	z.Close()
	return b.String()
}

const pretty = `{
  "log_id": "5",
  "data": {
    "type": "seccft",
    "executions": [
      {
        "id": 1
      },
      {
        "id": 2
      }
    ],
    "log_id": "5"
  }
}`

var shapes = []struct {
	name string
	body string
	want []got
}{
	{"empty", "", nil},
	{"white space", " \r\n\t\n", nil},
	{"empty array", "[]", nil},
	{"empty array with space", " [ \n ] \n", nil},
	{"empty logs", `{"logs":[]}`, nil},
	{"empty logs with space", " { \"logs\" : [ ] } \n", nil},
	{"one envelope", logA, good(logA)},
	{"one envelope over several lines", pretty, good(pretty)},
	{"two envelopes over several lines", pretty + "\n" + pretty + "\n", good(pretty, pretty)},
	{"one bare event", bare, good(bare)},
	{"lines", logA + "\n" + logB + "\n" + logC, good(logA, logB, logC)},
	{"lines with a newline at the end", logA + "\n" + logB + "\n", good(logA, logB)},
	{"lines with CRLF", logA + "\r\n" + logB + "\r\n", good(logA, logB)},
	{"lines with blank lines", "\n\n" + logA + "\n\n \n" + logB + "\n\n", good(logA, logB)},
	{"lines with commas", logA + ",\n" + logB + ",\n", good(logA, logB)},
	{"objects without separator", logA + logB, good(logA, logB)},
	{"bare lines", bare + "\n" + bare, good(bare, bare)},
	{"array", "[" + logA + "," + logB + "," + logC + "]", good(logA, logB, logC)},
	{"array with space", " [ " + logA + " ,\r\n " + logB + "\n]\n", good(logA, logB)},
	{"array with a comma at the end", "[" + logA + "," + logB + ",]", good(logA, logB)},
	{"array of bare events", "[" + bare + "," + bare + "]", good(bare, bare)},
	{"array over several lines", "[\n" + pretty + ",\n" + pretty + "\n]", good(pretty, pretty)},
	{"logs", `{"logs":[` + logA + "," + logB + "]}", good(logA, logB)},
	{"logs with space", "{\n \"logs\" : [\n" + logA + ",\n" + logB + "\n ]\n}\n", good(logA, logB)},
	{"several arrays", "[" + logA + "]\n[" + logB + "]", good(logA, logB)},
	{"several logs", `{"logs":[` + logA + "]}\n" + `{"logs":[` + logB + "]}", good(logA, logB)},
	{"byte order mark", "\xef\xbb\xbf" + logA, good(logA)},
	{"byte order mark before an array", "\xef\xbb\xbf[" + logA + "]", good(logA)},
	{"gzip", zipped(logA + "\n" + logB), good(logA, logB)},
	{"gzip in members", zipped(logA+"\n"+logB[:20]) + zipped(logB[20:]), good(logA, logB)},
	{"gzip with byte order mark", zipped("\xef\xbb\xbf[" + logA + "]"), good(logA)},
	{"gzip of nothing", zipped(""), nil},
	{"names that occur twice", `{"a":1,"a":2}`, good(`{"a":1,"a":2}`)},
	{"lone surrogate", `{"client_id":"\ud800"}`, good(`{"client_id":"\ud800"}`)},
	{"invalid UTF-8", "{\"client_id\":\"\xff\"}", good("{\"client_id\":\"\xff\"}")},
	{"empty object", "{}", good("{}")},

	{"junk line between", logA + "\nnot json\n" + logB, append(append(good(logA), broken("not json")), good(logB)...)},
	{"junk first", "not json\n" + logA, append([]got{broken("not json")}, good(logA)...)},
	{"junk lines side by side", "x\ny\n" + logA, append([]got{broken("x"), broken("y")}, good(logA)...)},
	{"other values as lines", "1\n\"s\"\nnull\n" + logA, append([]got{broken("1"), broken(`"s"`), broken("null")}, good(logA)...)},
	{"line cut short", logA[:60] + "\n" + logB + "\n" + logC, append([]got{broken(logA[:60])}, good(logB, logC)...)},
	{"line cut short inside an array", `{"log_id":"1","scope":["a",` + "\n" + logB + "\n" + logC, append([]got{broken(`{"log_id":"1","scope":["a",`)}, good(logB, logC)...)},
	{"line cut short inside a string", `{"log_id":"1","d":"abc` + "\n" + logB + "\n" + logC, append([]got{broken(`{"log_id":"1","d":"abc`)}, good(logB, logC)...)},
	{"line with a brace too many", logA + "}\n" + logB, append(append(good(logA), broken("}")), good(logB)...)},
	{"last line cut short", logA + "\n" + logB[:50], append(good(logA), broken(logB[:50]))},
	{"pretty object broken", strings.Replace(pretty, `"type"`, `type`, 1) + "\n" + logA, append([]got{broken(strings.Replace(pretty, `"type"`, `type`, 1))}, good(logA)...)},
	{"log line before", "[ERROR] no\n" + logA + "\n" + logB, append([]got{broken("ERROR"), broken("no")}, good(logA, logB)...)},
	{"bracket never closed", "[INFO no\n" + logA + "\n" + logB, append(append([]got{broken("INFO no")}, good(logA, logB)...), broken("["))},

	{"broken element", "[" + logA + `,{"log_id":"x",nope},` + logB + "]", append(append(good(logA), broken(`{"log_id":"x",nope}`)), good(logB)...)},
	{"junk element", "[" + logA + ",junk," + logB + "]", append(append(good(logA), broken("junk")), good(logB)...)},
	{"other values as elements", "[" + logA + `,1,"s",null,[2],` + logB + "]", append(append(good(logA), broken("1"), broken(`"s"`), broken("null"), broken("[2]")), good(logB)...)},
	{"element cut short", "[" + logA[:60] + "," + logB + "," + logC + "]", append([]got{broken(logA[:60])}, good(logB, logC)...)},
	{"element with a quote too many", "[" + logA + `,{"log_id":"x","d":"a"b"},` + logC + "," + logA + "]", append(append(good(logA), broken(`{"log_id":"x","d":"a"b"}`)), good(logC, logA)...)},
	{"bare element with a quote too many", "[" + bare + `,{"date":"x","d":"a"b"},` + bare + "]", append(append(good(bare), broken(`{"date":"x","d":"a"b"}`)), good(bare)...)},
	{"element without its brace", "[" + logA + `,{"log_id":"x","data":{"a":1},` + logC + "]", append(append(good(logA), broken(`{"log_id":"x","data":{"a":1}`)), good(logC)...)},
	{"element with a brace too many", "[" + logA + "}," + logB + "]", append(append(good(logA), broken("}")), good(logB)...)},
	{"elements without comma", "[" + logA + "\n" + logB + "]", good(logA, logB)},
	{"array without its end", "[" + logA + "," + logB, append(good(logA, logB), broken("["))},
	{"array cut short", "[" + logA + "," + logB[:50], append(good(logA), broken(logB[:50]))},
	{"broken element in logs", `{"logs":[` + logA + `,{"log_id":"x",nope},` + logB + "]}", append(append(good(logA), broken(`{"log_id":"x",nope}`)), good(logB)...)},
	{"element cut short in logs", `{"logs":[` + logB[:60] + "," + logB + "]}", append([]got{broken(logB[:60])}, good(logB)...)},
	{"no JSON at all", "<html>no</html>", []got{broken("<html>no</html>")}},
	{"a form", "a=b&c=d", []got{broken("a=b&c=d")}},
	{"nested too deep", strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000) + "\n" + logA, append([]got{broken(strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000))}, good(logA)...)},
}

func TestSplitterFindsEveryShape(t *testing.T) {
	for _, test := range shapes {
		t.Run(test.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"whole":   strings.NewReader(test.body),
				"by byte": iotest.OneByteReader(strings.NewReader(test.body)),
				"halves":  iotest.HalfReader(strings.NewReader(test.body)),
				"EOF":     iotest.DataErrReader(strings.NewReader(test.body)),
			} {
				out, err := splitAll(r, SplitOptions{})
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if diff := cmp.Diff(test.want, out); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

func TestSplitterRefusesCloudEvents(t *testing.T) {
	event := `{"id":"evt_1","source":"urn:auth0:acme","specversion":"1.0","type":"user.created","data":{"object":{}}}`
	for _, body := range []string{event, "[" + event + "]", logA + "\n" + event, zipped(event)} {
		if _, err := splitAll(strings.NewReader(body), SplitOptions{}); !errors.Is(err, ErrCloudEvent) {
			t.Errorf("%.60q: %v, want ErrCloudEvent", body, err)
		}
	}
	for _, body := range []string{
		`{"log_id":"1","data":{"specversion":"1.0"}}`,
		`{"specversion":"1.0","log_id":"1","type":"seccft"}`,
		`{"data":{"description":"\"specversion\""}}`,
	} {
		out, err := splitAll(strings.NewReader(body), SplitOptions{})
		if diff := cmp.Diff(good(body), out); diff != "" || err != nil {
			t.Errorf("%s: %v %s", body, err, diff)
		}
	}
}

func TestSplitterReturnsNothingThatAnErrorCutShort(t *testing.T) {
	gone := errors.New("connection reset")
	long := strings.Repeat(logA+"\n", 500)
	for name, r := range map[string]io.Reader{
		"connection": io.MultiReader(strings.NewReader(logA+"\n"+logB[:40]), iotest.ErrReader(gone)),
		"between":    io.MultiReader(strings.NewReader(logA+"\n"), iotest.ErrReader(gone)),
		"gzip":       strings.NewReader(zipped(long)[:len(zipped(long))-40]),
		"checksum":   strings.NewReader(zipped(long)[:len(zipped(long))-4] + "zzzz"),
		"two bytes":  strings.NewReader("\x1f\x8b"),
		"header":     strings.NewReader("\x1f\x8bnot gzip"),
		"member":     strings.NewReader(zipped(logA) + "junk that is no member"),
	} {
		out, err := splitAll(r, SplitOptions{})
		if !errors.Is(err, ErrBody) {
			t.Errorf("%s: %v, want ErrBody", name, err)
		}
		for _, rec := range out {
			if rec != (got{Raw: logA}) {
				t.Errorf("%s: got %+v, which was cut short", name, rec)
			}
		}
	}
}

func TestSplitterMarksOversizeAndKeepsItWhole(t *testing.T) {
	big := `{"log_id":"big","data":"` + strings.Repeat("x", 700_000) + `"}`
	junk := strings.Repeat("j", 700_000)
	for _, body := range []string{
		logA + "\n" + big + "\n" + junk + "\n" + logB,
		"[" + logA + "," + big + "," + junk + "," + logB + "]",
		`{"logs":[` + logA + "," + big + "," + junk + "," + logB + "]}",
	} {
		s := NewSplitter(strings.NewReader(body), SplitOptions{MaxRecord: 100_000})
		var sizes []string
		for {
			rec, err := s.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, fmt.Sprintf("%d %v %v", len(rec.Raw), rec.Oversize, rec.Broken != ""))
		}
		s.Close()
		want := []string{
			fmt.Sprintf("%d false false", len(logA)), fmt.Sprintf("%d true false", len(big)),
			"700000 true true", fmt.Sprintf("%d false false", len(logB)),
		}
		if diff := cmp.Diff(want, sizes); diff != "" {
			t.Errorf("%.20s (-want +got):\n%s", body, diff)
		}
	}
}

// meter is a memory that counts.
type meter struct {
	now, most int
	large     int
	larges    int
}

func (m *meter) reserve(n int, large bool) error {
	if large {
		m.large++
		m.larges++
		return nil
	}
	m.now += n
	m.most = max(m.most, m.now)
	return nil
}

func (m *meter) release(n int, large bool) {
	if large {
		m.large--
		return
	}
	m.now -= n
}

func TestSplitterAsksForMemoryAndReturnsIt(t *testing.T) {
	big := func(n int) string { return `{"log_id":"` + strings.Repeat("x", n) + `"}` + "\n" }
	m := &meter{}
	body := logA + "\n" + big(200_000) + logB + "\n" + big(3_000_000) + logC + "\n" + big(2_000_000) + strings.Repeat(logA+"\n", 3000)
	out, err := splitAll(strings.NewReader(body), SplitOptions{MaxRecord: 500_000, mem: m})
	if err != nil || len(out) != 3006 {
		t.Fatalf("%d records, %v", len(out), err)
	}
	if m.now != 0 || m.large != 0 {
		t.Errorf("%d bytes and %d large places not returned", m.now, m.large)
	}
	if m.most > 500_000 || m.larges == 0 {
		t.Errorf("reserved %d bytes at most, %d large places", m.most, m.larges)
	}
}

func TestSplitterBoundsWhatABombHolds(t *testing.T) {
	var bomb bytes.Buffer
	z, _ := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	zeros := bytes.Repeat([]byte(" "), 1<<20)
	for range 8 {
		z.Write(zeros)
	}
	z.Close()
	for name, body := range map[string]string{
		"zeros":         bomb.String(),
		"empty members": strings.Repeat(zipped(""), 200_000),
		"plain":         strings.Repeat("[", 8<<20),
	} {
		m := &meter{}
		_, err := splitAll(strings.NewReader(body), SplitOptions{MaxBody: 4 << 20, MaxRecord: 1 << 20, mem: m})
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", name, err)
		}
		if m.most > 1<<20 {
			t.Errorf("%s: held %d bytes", name, m.most)
		}
	}
	exact := strings.Repeat(" ", 4<<20-len(logA)) + logA
	if out, err := splitAll(strings.NewReader(exact), SplitOptions{MaxBody: 4 << 20}); err != nil || len(out) != 1 {
		t.Errorf("a body of exactly the cap: %d records, %v", len(out), err)
	}
}

// Hostile bodies that would cost quadratic work if each neighbour were tried.
func TestSplitterIsLinearInHostileBodies(t *testing.T) {
	for name, piece := range map[string]string{
		"nested markers": `{"log_id":[1,`,
		"open lines":     "{\"a\":[\n",
		"open strings":   `{"log_id":"a,`,
		"braces":         `{`,
		"quotes":         `,{"`,
	} {
		body := strings.Repeat(piece, 2<<20/len(piece))
		for _, open := range []string{"", "["} {
			out, err := splitAll(strings.NewReader(open+body), SplitOptions{})
			if err != nil || len(out) == 0 {
				t.Errorf("%s after %q: %d pieces, %v", name, open, len(out), err)
			}
		}
	}
}

func TestMatchLogsAsksForMoreAtEveryPrefix(t *testing.T) {
	const whole = `{ "logs" : [`
	for i := range len(whole) {
		if n, more := matchLogs([]byte(whole[:i])); n != 0 || !more {
			t.Errorf("%q: %d, %v", whole[:i], n, more)
		}
	}
	if n, _ := matchLogs([]byte(whole + "1]}")); n != len(whole) {
		t.Errorf("got %d, want %d", n, len(whole))
	}
}

// squeeze leaves out what holds records together.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n,[]}", r) {
			return -1
		}
		return r
	}, s)
}

// FuzzSplit checks for any body that there is no panic, that no piece overlaps
// another and nothing but structure is left out, and that good records are
// good; and for records made of the fuzzed text that each shape returns them.
func FuzzSplit(f *testing.F) {
	const most = 4096 // bytes, so that each run is short
	for _, test := range shapes {
		if len(test.body) > most {
			continue
		}
		f.Add([]byte(test.body), uint8(3), false)
		f.Add([]byte(test.body), uint8(200), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, chunk uint8, zip bool) {
		if len(body) > most {
			return
		}
		checkPieces(t, body, int(chunk)+1)
		records := recordsOf(body)
		for _, joined := range []string{
			strings.Join(records, "\n"), strings.Join(records, "\r\n") + "\r\n",
			"[" + strings.Join(records, ",") + "]", `{"logs": [` + strings.Join(records, " ,\n") + "]}",
			strings.Join(records, ""),
		} {
			if zip {
				joined = zipped(joined)
			}
			out, err := splitAll(&chunks{strings.NewReader(joined), int(chunk) + 1}, SplitOptions{MaxRecord: 100})
			if diff := cmp.Diff(good(records...), out); diff != "" || err != nil {
				t.Fatalf("%q: %v %s", joined, err, diff)
			}
		}
	})
}

func checkPieces(t *testing.T, body []byte, chunk int) {
	t.Helper()
	if len(body) > 1 && body[0] == 0x1f && body[1] == 0x8b {
		return
	}
	s := NewSplitter(&chunks{bytes.NewReader(body), chunk}, SplitOptions{MaxRecord: 64})
	defer s.Close()
	text, done := bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), 0
	for {
		rec, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, ErrCloudEvent) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if string(rec.Raw) == "[" && rec.Broken != "" {
			continue
		}
		valid := jsontext.Value(rec.Raw).IsValid(s.opts...) && rec.Raw[0] == '{'
		if valid != (rec.Broken == "") {
			t.Fatalf("%q: broken %q", rec.Raw, rec.Broken)
		}
		end := len(bytes.TrimRight(text[:int(s.w.total)-len(s.w.bytes())], " \t\r\n"))
		start := end - len(rec.Raw)
		if start < done || !bytes.Equal(text[start:end], rec.Raw) {
			t.Fatalf("%q does not stand before %d, behind %d", rec.Raw, end, done)
		}
		if !isStructure(text[done:start]) {
			t.Fatalf("%q is in no piece", text[done:start])
		}
		done = end
	}
	if !isStructure(text[done:]) {
		t.Fatalf("%q is in no piece", text[done:])
	}
}

// isStructure reports whether left only holds records together.
func isStructure(left []byte) bool {
	return strings.ReplaceAll(squeeze(string(left)), `{"logs":`, "") == ""
}

// recordsOf makes records of any text.
func recordsOf(text []byte) []string {
	var out []string
	for i, part := range bytes.Split(text, []byte("\n")) {
		quoted, _ := jsontext.AppendQuote(nil, part)
		out = append(out, fmt.Sprintf(`{"log_id":"%d","data":{"v":%s,"w":[{}, %s]}}`, i, quoted, quoted))
		if i == 20 {
			break
		}
	}
	return out
}

// chunks reads n bytes at a time.
type chunks struct {
	r io.Reader
	n int
}

func (c *chunks) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }

func record1300() string {
	return `{"log_id":"90020250101000000000000000000000000001","data":{"date":"2025-01-01T00:00:00.000Z","type":"seccft","description":"Client Credentials for Access Token","connection_id":"","client_id":"qoQKtXuhdSibs1jUeXk3mmCwXoAafGnO","client_name":"jwt.io (Test Application)","ip":"203.0.113.7","client_ip":"203.0.113.7","user_agent":"Go-http-client/2.0","hostname":"acme.eu.auth0.com","user_id":"","user_name":"","audience":"https://api.acme.example/v1/","scope":"read:orders write:orders read:invoices","$event_schema":{"version":"1.0.0"},"details":{"access_token_jti":"Zl0Lk3ZkY9tq8eQp1sVw2x","actions":{"executions":["9w2f1L9KqKq1Q2c0ZxkqTTEyMzQ1Njc4OTA","9w2f1L9KqKq1Q2c0ZxkqTTEyMzQ1Njc4OTB"]},"prompts":[],"elapsedTime":12,"stats":{"loginsCount":113}},"security_context":{"ja3":"d41d8cd98f00b204e9800998ecf8427e","ja4":"t13d1516h2_8daaf6152771_b186095e22b6"},"references":{"correlation_id":"3f0a8a1c-2b51-4f0a-9d5a-2a2d9c0d8a11","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"},"environment_name":"prod-eu-1","tenant_name":"acme","location_info":{"country_code":"DE","country_name":"Germany","city_name":"Berlin","latitude":52.52,"longitude":13.405,"time_zone":"Europe/Berlin","continent_code":"EU","subdivision_code":"BE","subdivision_name":"Land Berlin"},"isMobile":false,"log_id":"90020250101000000000000000000000000001"}}`
}

func BenchmarkSplit(b *testing.B) {
	records := make([]string, 100)
	for i := range records {
		records[i] = record1300()
	}
	for name, body := range map[string]string{
		"lines": strings.Join(records, "\n"),
		"array": "[" + strings.Join(records, ",") + "]",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			pools := new(splitPools)
			for b.Loop() {
				s := newSplitter(strings.NewReader(body), SplitOptions{}, pools)
				n := 0
				for {
					if _, err := s.Next(); err != nil {
						break
					}
					n++
				}
				s.Close()
				if n != 100 {
					b.Fatal(n)
				}
			}
		})
	}
}

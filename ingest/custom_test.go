package ingest

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	customA = `{"specversion":"1.0","id":"1","source":"/billing","type":"token.used","time":"2026-03-02T09:00:00Z","data":{"jti":"j1","client_id":"abc"}}`
	customB = `{"time":"2026-03-02T10:00:00.5+01:00","type":"com.example.order","source":"urn:orders","id":"\u0031","specversion":"1.0"}`
)

// custom posts custom events to globex, which has a secret for them.
func (f *fixture) custom(t *testing.T, body string, header ...string) reply {
	t.Helper()
	return f.post(t, "/v1/custom/globex", "Bearer "+customSecret, strings.NewReader(body), header...)
}

func TestCustomTakesEventsInEveryForm(t *testing.T) {
	f := newFixture(t, nil)
	for _, test := range []struct {
		name, body, contentType string
		want                    []string
	}{
		{"one", customA, "application/cloudevents+json", []string{customA}},
		{"a batch", "[" + customA + ",\n " + customB + "]", "application/cloudevents-batch+json; charset=utf-8", []string{customA, customB}},
		{"an array", "[" + customA + "]", "application/json", []string{customA}},
		{"lines", customA + "\n" + customB + "\n", "application/x-ndjson", []string{customA, customB}},
		{"gzip", zipped(customA + "\n" + customB), "", []string{customA, customB}},
		{"an empty batch", "[]", "application/cloudevents-batch+json", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			f.pub.groups = nil
			f.custom(t, test.body, "Content-Type", test.contentType).
				want(t, 200, fmt.Sprintf(`{"accepted":%d,"dead":0}`, len(test.want)))
			diff(t, "stored", test.want, f.pub.raws(t))
		})
	}
	for _, log := range f.pub.logs(t) {
		if log.Tenant != "globex" || log.Source != schemas.SourceCustom || log.IngestedAt.IsZero() {
			t.Errorf("log %+v", log)
		}
	}
}

func TestCustomRefusesABodyWithABadEventAndStoresNothingOfIt(t *testing.T) {
	f := newFixture(t, func(c *Config, p *memoryPublisher) { p.max, c.Limits.Memory = 8192, 4<<20 })
	replaced := func(from, to string) string {
		if !strings.Contains(customA, from) {
			t.Fatalf("%s is not in %s", from, customA)
		}
		return strings.Replace(customA, from, to, 1)
	}
	for _, test := range []struct{ name, event, want string }{
		{"no time", replaced(`"time":"2026-03-02T09:00:00Z",`, ""), "time is missing"},
		{"a time that is none", replaced("T09:00:00Z", ""), "want RFC 3339"},
		{"a number as time", replaced(`"2026-03-02T09:00:00Z"`, "1772442000"), "time is not a string"},
		{"no id", replaced(`"id":"1",`, ""), "id is missing"},
		{"an empty id", replaced(`"id":"1"`, `"id":""`), "id is missing"},
		{"an id twice", replaced(`"id":"1"`, `"id":"1","\u0069d":"2"`), "id is there twice"},
		{"an id of no text", replaced(`"id":"1"`, `"id":1`), "id is not a string"},
		{"an id that readers differ in", replaced(`"id":"1"`, `"id":"\ud800"`), "id is not valid UTF-8"},
		{"no source", replaced(`"source":"/billing",`, ""), "source is missing"},
		{"no type", replaced(`"type":"token.used",`, ""), "type is missing"},
		{"names in capitals", replaced(`"type"`, `"Type"`), "type is missing"},
		{"an old version", replaced(`"1.0"`, `"0.3"`), "specversion"},
		{"a log", logA, "specversion is missing"},
		{"no token", replaced(`"jti":"j1",`, ""), "data.jti is missing"},
		{"a token of no text", replaced(`"j1"`, "17"), "data.jti is missing"},
		{"a long token", replaced(`"j1"`, `"`+strings.Repeat("j", 257)+`"`), "data.jti is longer"},
		{"no data", replaced(`,"data":{"jti":"j1","client_id":"abc"}`, ""), "data.jti is missing"},
		{"data twice", replaced(`"data"`, `"data":{"jti":"j2"},"data"`), "data is there twice"},
		{"no JSON", "junk", "not JSON"},
		{"a text", `"text"`, "not a JSON object"},
		{"too large for a message", replaced(`"abc"`, `"`+strings.Repeat("x", 9000)+`"`), "more than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := strings.Repeat(customA+",", 100) // more than a group
			f.custom(t, "["+before+test.event+","+customB+"]").want(t, 400, "invalid_event", "events[100]", test.want, "Nothing of the body was stored")
		})
	}
	f.custom(t, "["+customA+","+customB).want(t, 400, "events[2]", "not closed")
	if logs, dead := f.pub.logs(t), f.pub.deadLogs(); len(logs)+len(dead) != 0 {
		t.Errorf("stored %d logs, %d dead", len(logs), len(dead))
	}
	if n := f.in.budget.inUse(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
	f.custom(t, "["+strings.Repeat(customA+",", 100)+customB+"]").want(t, 200, `{"accepted":101,"dead":0}`)
	if n := len(f.pub.raws(t)); n != 101 {
		t.Errorf("stored %d events, want 101", n)
	}
}

// TestCustomTakesWhatCallersMayWrite: a caller of an API must not be able to
// keep its own use of a token from being told.
func TestCustomTakesWhatCallersMayWrite(t *testing.T) {
	f := newFixture(t, nil)
	for _, data := range []string{`{"jti":"j","user_agent":"` + "\xff\xfe" + `"}`, `{"jti":"j","user_agent":"\ud800"}`, `{"jti":"a","path":"/","path":"/","jti":"b"}`} {
		f.custom(t, `{"specversion":"1.0","id":"1","source":"s","type":"token.used","time":"2026-03-02T09:00:00Z","data":`+data+`}`).want(t, 200)
	}
}

func TestCustomRefusesBinaryMode(t *testing.T) {
	f := newFixture(t, nil)
	f.custom(t, `{"jti":"j1"}`, "Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "1").want(t, 400, "binary_mode", "structured")
	f.custom(t, customA, "Content-Type", "application/cloudevents+json", "Ce-Specversion", "1.0").want(t, 200) // repeated, which is allowed
}

func TestCustomSecretsOpenOnlyCustom(t *testing.T) {
	f := newFixture(t, nil)
	for _, test := range []struct {
		path, secret string
		status       int
	}{
		{"/v1/custom/globex", customSecret, 200},
		{"/v1/custom/globex", "another", 401}, // the log stream's
		{"/v1/custom/globex", "", 401},
		{"/v1/custom/acme", secret, 200}, // which has no other
		{"/v1/custom/acme", customSecret, 401},
		{"/v1/custom/acme", "", 401},
		{"/v1/custom/mute", "", 401},
		{"/v1/custom/nobody", secret, 401},
	} {
		r := f.post(t, test.path, test.secret, strings.NewReader(customA))
		if r.Status != test.status {
			t.Errorf("%s with %q: %d, want %d", test.path, test.secret, r.Status, test.status)
		}
	}
	f.post(t, "/v1/logs/globex", customSecret, strings.NewReader(logA)).want(t, http.StatusUnauthorized)
}

func TestCustomBodiesAreBounded(t *testing.T) {
	f := newFixture(t, func(c *Config, _ *memoryPublisher) { c.Limits.Memory = 8 << 20 })
	many := strings.Repeat(customA+"\n", 1<<20/len(customA)+1)
	f.custom(t, many).want(t, 413, "too_large", "1048576")
	f.custom(t, zipped(many)).want(t, 413, "too_large", "1048576")
	f.custom(t, many[:len(many)/2/len(customA+"\n")*len(customA+"\n")]).want(t, 200)
	if n := f.in.budget.inUse(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
}

func TestCustomAnswers503WhileNothingCanBeStored(t *testing.T) {
	f := newFixture(t, nil)
	f.pub.setFail(func([]byte) error { return schemas.ErrFull })
	f.custom(t, customA).want(t, 503, "full")
	f.pub.setFail(nil)
	f.custom(t, customA).want(t, 200)
}

func TestCustomEventsAreMasked(t *testing.T) {
	f := newFixture(t, nil)
	f.custom(t, strings.Replace(customA, `"client_id"`, `"access_token":"s3cret","client_id"`, 1)).want(t, 200)
	logs := f.pub.logs(t)
	if len(logs) != 1 || !logs[0].Masked || strings.Contains(string(logs[0].Raw), "s3cret") || !strings.Contains(string(logs[0].Raw), `"access_token":"***"`) {
		t.Errorf("logs %+v", logs)
	}
}

// FuzzCustom claims that an event is either refused with one reason, or has a
// key, a time, and, where it tells of a use, a token; and that what was looked
// at before does not matter.
func FuzzCustom(f *testing.F) {
	for _, seed := range []string{customA, customB, logA, `{}`, `{"data":{"jti":[{"jti":1}]}}`, `{"id":"1","id":"2"}`, `{"specversion":"1.0","id":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	used := new(cloudEvents)
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := NewSplitter(bytes.NewReader(raw), SplitOptions{CloudEvents: true})
		defer s.Close()
		rec, err := s.Next()
		if err != nil || rec.Broken != "" {
			return
		}
		fresh := new(cloudEvents)
		err = used.check(rec.Raw)
		if again := fresh.check(rec.Raw); (err == nil) != (again == nil) || err != nil && err.Error() != again.Error() {
			t.Fatalf("%v, then %v", err, again)
		}
		if err != nil {
			if err.Error() == "" {
				t.Error("no reason")
			}
			return
		}
		e := fresh.event
		if e.Check() != nil || e.At().Location() != time.UTC || len(e.LogID()) > 64 {
			t.Errorf("event %+v was taken", e)
		}
		if e.Type == schemas.TokenUsed && fresh.jti == "" {
			t.Error("a use of no token was taken")
		}
	})
}

func BenchmarkCheckCustom(b *testing.B) {
	c := new(cloudEvents)
	raw := []byte(customA)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := c.check(raw); err != nil {
			b.Fatal(err)
		}
	}
}

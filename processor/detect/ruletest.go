package detect

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Test is one of a rule's own tests: these logs, and how many findings of the
// rule come of them.
type Test struct {
	Name   string
	Line   int
	Expect uint64
	events []testEvents
	now    time.Duration // when something else of the tenant is last seen
	ticks  bool          // there is a now

	declared map[string]schemas.Expect // what is normal, by identity
}

// testEvents are Count logs, Every apart, the first At from the test's moment.
type testEvents struct {
	at    time.Duration
	every time.Duration
	count uint64
	log   map[string]any
	place schemas.Place // of their address, which no log tells

	late   time.Duration // by how much they come behind their date
	source schemas.Source
}

const maxTestEvents = 100_000

// TestLog is one log of a test: raw, what is known of its address beside it, by
// which way it came, and how long behind its date.
type TestLog struct {
	Raw    []byte
	Place  schemas.Place
	Source schemas.Source
	Late   time.Duration
}

// Logs returns the logs of a test, in the order of the file, with its moment 0s
// at the given time.
func (t Test) Logs(at time.Time) []TestLog {
	var logs []TestLog
	for _, e := range t.events {
		for i := range e.count {
			logs = append(logs, TestLog{e.raw(at.Add(e.at+time.Duration(i)*e.every).UTC(), len(logs)), e.place, e.source, e.late})
		}
	}
	if t.ticks {
		other := testEvents{log: map[string]any{"type": "slo"}} // of nobody that a rule is about
		logs = append(logs, TestLog{other.raw(at.Add(t.now).UTC(), len(logs)), schemas.Place{}, schemas.SourceStream, 0})
	}
	return logs
}

func (e testEvents) raw(at time.Time, n int) []byte {
	logID := fmt.Sprintf("900%s%03d%039d", at.Format("20060102150405"), at.Nanosecond()/1e6, n)
	data := map[string]any{"date": at.Format("2006-01-02T15:04:05.000Z"), "log_id": logID}
	for name, v := range e.log {
		put(data, strings.Split(name, "."), v)
	}
	raw, err := json.Marshal(map[string]any{"log_id": logID, "data": data})
	if err != nil { // maps, lists, text and numbers always marshal
		panic(err)
	}
	return raw
}

// put sets a value under a path of names.
func put(m map[string]any, path []string, v any) {
	for len(path) > 1 {
		next, ok := m[path[0]].(map[string]any)
		if !ok {
			next = map[string]any{}
			m[path[0]] = next
		}
		m, path = next, path[1:]
	}
	m[path[0]] = v
}

// parseTests reads x-tests. A rule without one that fires and one that stays
// quiet does not load: it could be wrong in either way and nobody would know.
func parseTests(d *document) []Test {
	n := d.need("x-tests")
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		d.on(n, "x-tests: want a list, found %s", kindName(n))
		return nil
	}
	var tests []Test
	fires, quiet := false, false
	for _, item := range n.Content {
		doc := newDocument(d.reporter, item, "x-tests")
		if doc == nil {
			continue
		}
		t := doc.test()
		tests = append(tests, t)
		fires, quiet = fires || t.Expect > 0, quiet || t.Expect == 0
	}
	if !fires || !quiet {
		d.on(n, "x-tests: want one test that fires and one that stays quiet")
	}
	return tests
}

func (d *document) test() Test {
	t := Test{Name: d.needText("name"), Line: d.node.Line, Expect: d.uint("expect")}
	if n := d.need("events"); n != nil {
		if n.Kind != yaml.SequenceNode {
			d.on(n, "events: want a list, found %s", kindName(n))
		} else {
			t.events = d.testEvents(n)
		}
	}
	if n := d.take("now"); n != nil {
		t.now, t.ticks = d.offset("now", n), true
	}
	t.declared = d.declarations()
	d.rest("a test")
	return t
}

// declarations reads what a test declares of identities, in the words of
// machines.yaml.
func (d *document) declarations() map[string]schemas.Expect {
	if d.vals["declared"] == nil {
		return nil
	}
	all := map[string]schemas.Expect{}
	of := d.child("declared")
	if of == nil {
		return nil
	}
	for _, identity := range of.order {
		at := of.keys[identity]
		x := of.child(identity)
		if x == nil {
			continue
		}
		e := schemas.Expect{
			Networks: x.texts("networks"), Clouds: x.texts("clouds"), Runtimes: x.texts("runtimes"),
			Cadence: x.scalar("cadence", x.take("cadence")), Expires: x.scalar("expires", x.take("expires")),
		}
		if err := e.Validate(); err != nil {
			of.on(at, "declared: %v", err)
		}
		x.rest("what is declared of an identity")
		all[identity] = e
	}
	return all
}

// Declared is what the test declares, of identities of a tenant.
func (t Test) Declared(tenant string) Expectations {
	var list []schemas.Expectation
	for identity, e := range t.declared {
		list = append(list, schemas.Expectation{Tenant: tenant, Identity: identity, Expect: e})
	}
	return NewExpectations(list)
}

func (d *document) testEvents(n *yaml.Node) []testEvents {
	var list []testEvents
	total := uint64(0)
	for _, item := range n.Content {
		e := newDocument(d.reporter, item, "events")
		if e == nil {
			continue
		}
		events := e.someEvents()
		total += events.count
		list = append(list, events)
	}
	if total > maxTestEvents {
		d.on(n, "events: more than %d", maxTestEvents)
		return nil
	}
	return list
}

func (d *document) someEvents() testEvents {
	e := testEvents{count: 1}
	if n := d.need("at"); n != nil {
		e.at = d.offset("at", n)
	}
	if d.vals["count"] != nil {
		e.count = d.uint("count")
		e.every = d.duration("every")
	}
	if n := d.need("log"); n != nil {
		e.log = d.logOf(n)
	}
	e.place = d.place()
	e.source = schemas.SourceStream
	if n := d.take("source"); n != nil {
		var err error
		if e.source, err = schemas.ParseSource(d.scalar("source", n)); err != nil {
			d.on(n, "%v", err)
		}
	}
	if d.vals["late"] != nil {
		e.late = d.duration("late")
	}
	d.rest("the events of a test")
	return e
}

// place reads what no log tells and normalizing adds: asn, as_org and country.
func (d *document) place() (p schemas.Place) {
	if d.vals["asn"] != nil {
		p.ASN = uint32(d.uint("asn"))
	}
	p.ASOrg = d.scalar("as_org", d.take("as_org"))
	p.Country = d.scalar("country", d.take("country"))
	return p
}

// offset reads a signed time span: -6d, 0s, 2m.
func (d *document) offset(key string, n *yaml.Node) time.Duration {
	text := d.scalar(key, n)
	if text == "0s" {
		return 0
	}
	span, negative := strings.CutPrefix(text, "-")
	t, ok := parseDuration(span)
	if !ok {
		d.on(n, "%s: want a time span like -6d, 0s or 2m", key)
	}
	if negative {
		return -t
	}
	return t
}

// logOf reads the fields of a log, by their dotted names.
func (d *document) logOf(n *yaml.Node) map[string]any {
	l := newDocument(d.reporter, n, "log")
	if l == nil {
		return nil
	}
	fields := map[string]any{}
	for name, v := range l.vals {
		if !fieldName.MatchString(name) || v.Kind != yaml.ScalarNode {
			l.on(l.keys[name], "log: want plain values under names joined by dots")
			continue
		}
		var value any
		if err := v.Decode(&value); err != nil {
			l.on(v, "log: %v", err)
			continue
		}
		switch f := value.(type) {
		case time.Time:
			value = v.Value
		case float64:
			if math.IsNaN(f) || math.IsInf(f, 0) {
				l.on(v, "log: no log holds the number %s", v.Value)
			}
		}
		fields[name] = value
	}
	return fields
}

package detect

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// document is a YAML mapping that is being read. Every key is taken once; what
// is left at the end was not understood.
type document struct {
	reporter
	node  *yaml.Node
	order []string
	keys  map[string]*yaml.Node
	vals  map[string]*yaml.Node // of the keys that nobody has taken
}

// documents reads the YAML documents of a file. It stops at the first error of
// syntax, behind which nothing can be told.
func documents(r reporter, data []byte) []*yaml.Node {
	var docs []*yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			r.at(syntaxErrorLine(err), "not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
			return docs
		}
		if len(n.Content) == 1 && n.Content[0].Tag != "!!null" {
			docs = append(docs, n.Content[0])
		}
	}
}

var errorLine = regexp.MustCompile(`line (\d+)`)

func syntaxErrorLine(err error) int {
	m := errorLine.FindStringSubmatch(err.Error())
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// newDocument reads a mapping; it reports and returns nil where n is none.
func newDocument(r reporter, n *yaml.Node, what string) *document {
	if n.Kind != yaml.MappingNode {
		r.on(n, "%s: want a mapping, found %s", what, kindName(n))
		return nil
	}
	d := &document{reporter: r, node: n, keys: map[string]*yaml.Node{}, vals: map[string]*yaml.Node{}}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge":
			r.on(key, "%s: want a plain key, found %s", what, kindName(key))
		case d.keys[key.Value] != nil:
			r.on(key, "%s: stands twice", clip(key.Value))
		default:
			d.order = append(d.order, key.Value)
			d.keys[key.Value], d.vals[key.Value] = key, n.Content[i+1]
		}
	}
	return d
}

// take returns the value of a key, nil where it is not there.
func (d *document) take(key string) *yaml.Node {
	v := d.vals[key]
	delete(d.vals, key)
	return v
}

// need is take for what must be there.
func (d *document) need(key string) *yaml.Node {
	v := d.take(key)
	if v == nil {
		d.on(d.node, "%s: missing", key)
	}
	return v
}

// rest reports every key that was not taken.
func (d *document) rest(what string) {
	for key := range d.vals {
		d.on(d.keys[key], "%s: not understood in %s", clip(key), what)
	}
}

// ignore takes keys that say nothing to the machine.
func (d *document) ignore(keys ...string) {
	for _, key := range keys {
		d.take(key)
	}
}

// needText reads a scalar that must be there and not be empty.
func (d *document) needText(key string) string {
	n := d.need(key)
	s := d.scalar(key, n)
	if s == "" && n != nil && n.Kind == yaml.ScalarNode {
		d.on(n, "%s: empty", key)
	}
	return s
}

func (d *document) scalar(key string, n *yaml.Node) string {
	if n == nil {
		return ""
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.on(n, "%s: want text, found %s", key, kindName(n))
		return ""
	}
	return n.Value
}

// texts reads a list of scalars, or one scalar.
func (d *document) texts(key string) []string {
	n := d.take(key)
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return []string{d.scalar(key, n)}
	}
	var list []string
	for _, item := range n.Content {
		list = append(list, d.scalar(key, item))
	}
	return list
}

// child reads a mapping under a key; nil where it is not there or is none.
func (d *document) child(key string) *document {
	n := d.take(key)
	if n == nil {
		return nil
	}
	return newDocument(d.reporter, n, key)
}

func (d *document) duration(key string) time.Duration {
	n := d.need(key)
	if n == nil {
		return 0
	}
	t, ok := parseDuration(d.scalar(key, n))
	if !ok {
		d.on(n, "%s: want a time span like 30s, 15m, 24h or 7d, at most %d days", key, maxDays)
	}
	return t
}

func (d *document) uint(key string) uint64 {
	n := d.need(key)
	if n == nil {
		return 0
	}
	v, err := strconv.ParseUint(d.scalar(key, n), 10, 32)
	if err != nil {
		d.on(n, "%s: want a whole number", key)
	}
	return v
}

// ratio reads a share, above 0 and up to 1.
func (d *document) ratio(key string) float64 {
	n := d.need(key)
	if n == nil {
		return 0
	}
	v, err := strconv.ParseFloat(d.scalar(key, n), 64)
	if err != nil || !(v > 0 && v <= 1) {
		d.on(n, "%s: want a number above 0 and up to 1", key)
	}
	return v
}

const maxDays = 366

var durationPattern = regexp.MustCompile(`^([0-9]{1,9})([smhd])$`)

// parseDuration reads a Sigma time span: a whole number and its unit.
func parseDuration(s string) (time.Duration, bool) {
	m := durationPattern.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, false
	}
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[m[2]]
	if n == 0 || n > int64(maxDays*24*time.Hour/unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias, which rules do not use"
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "nothing"
		}
		return "text"
	}
	return "something else"
}

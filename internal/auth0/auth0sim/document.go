package auth0sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// document is a JSON object as the Management API takes and gives it. Numbers
// are json.Number where they came from outside, so that none loses a digit.
type document map[string]any

// readJSON reads one JSON value, an object or not.
func readJSON(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read JSON: something follows the value")
	}
	return asDocuments(v), nil
}

// asDocuments makes the objects in a value documents.
func asDocuments(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = asDocuments(member)
		}
		return document(v)
	case []any:
		for i := range v {
			v[i] = asDocuments(v[i])
		}
	}
	return v
}

// clone copies a document with all that is in it.
func (d document) clone() document {
	if d == nil {
		return nil
	}
	return cloneValue(d).(document)
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case document:
		c := make(document, len(v))
		for name, member := range v {
			c[name] = cloneValue(member)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = cloneValue(v[i])
		}
		return c
	}
	return v
}

// text, flag and child read a member that may be missing or of another type.
func (d document) text(name string) string {
	s, _ := d[name].(string)
	return s
}

func (d document) flag(name string) bool {
	b, _ := d[name].(bool)
	return b
}

func (d document) child(name string) document {
	c, _ := d[name].(document)
	return c
}

// whole reads a whole number, or fallback where there is none.
func (d document) whole(name string, fallback int) int {
	switch v := d[name].(type) {
	case int:
		return v
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
	}
	return fallback
}

// texts reads an array of strings.
func (d document) texts(name string) []string {
	list, _ := d[name].([]any)
	texts := make([]string, 0, len(list))
	for _, v := range list {
		if s, ok := v.(string); ok {
			texts = append(texts, s)
		}
	}
	return texts
}

// documents reads an array of objects.
func (d document) documents(name string) []document {
	list, _ := d[name].([]any)
	docs := make([]document, 0, len(list))
	for _, v := range list {
		if m, ok := v.(document); ok {
			docs = append(docs, m)
		}
	}
	return docs
}

// set writes the members of changes; null removes one. A document that is not
// there is left so.
func (d document) set(changes document) {
	if d == nil {
		return
	}
	for name, v := range changes {
		if v == nil {
			delete(d, name)
		} else {
			d[name] = v
		}
	}
}

// setDefaults writes the members that are missing.
func (d document) setDefaults(defaults document) {
	if d == nil {
		return
	}
	for name, v := range defaults {
		if _, ok := d[name]; !ok {
			d[name] = cloneValue(v)
		}
	}
}

// mergeFirstLevel merges changes into the object that d has under a name: its
// own members are replaced whole, and null removes one.
func (d document) mergeFirstLevel(name string, changes document) {
	merged := d.child(name)
	if merged == nil {
		merged = make(document)
		d[name] = merged
	}
	merged.set(changes)
}

// only leaves the named members, without the rest.
func (d document) only(names ...string) document {
	c := make(document, len(names))
	for _, name := range names {
		if v, ok := d[name]; ok {
			c[name] = v
		}
	}
	return c
}

// without copies the first level but for the named members.
func (d document) without(names ...string) document {
	c := maps.Clone(d)
	for _, name := range names {
		delete(c, name)
	}
	return c
}

// anyList makes an array of what a slice holds.
func anyList[T any](list []T) []any {
	values := make([]any, 0, len(list))
	for _, v := range list {
		values = append(values, v)
	}
	return values
}

func (d document) names() []string { return slices.Sorted(maps.Keys(d)) }

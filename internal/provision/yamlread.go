package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readYAML reads one document into a struct, strictly: a key that the struct does
// not have, one that comes twice and a value of another kind are problems, each
// with its line, and all of them are in the error. A field named Line gets the line
// of its object. What is left out stays nil; an empty list is not.
//
// parsed is false where it is no YAML: nothing is read then.
func readYAML(text []byte, into any) (parsed bool, err error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	if err := d.Decode(&document); errors.Is(err, io.EOF) {
		return false, errors.New("there is nothing in it")
	} else if err != nil {
		return false, err
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return false, errors.New("want one YAML document, not several")
	}
	r := &yamlReader{}
	r.read(document.Content[0], reflect.ValueOf(into).Elem(), "")
	return true, errors.Join(r.problems...)
}

// maxYAMLNodes bounds what aliases can make of a short file.
const maxYAMLNodes = 2_000_000

type yamlReader struct {
	problems []error
	nodes    int
}

func (r *yamlReader) wrong(n *yaml.Node, at, format string, args ...any) {
	if at != "" {
		format, args = "%s: "+format, append([]any{at}, args...)
	}
	r.problems = append(r.problems, fmt.Errorf("line %d: "+format, append([]any{n.Line}, args...)...))
}

// target is what an alias stands for; nil where there is too much of it.
func (r *yamlReader) target(n *yaml.Node, at string) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if r.nodes++; r.nodes > maxYAMLNodes {
		if r.nodes == maxYAMLNodes+1 {
			r.wrong(n, at, "there is too much of it")
		}
		return nil
	}
	return n
}

// read reads a node into v, the value of the key at.
func (r *yamlReader) read(n *yaml.Node, v reflect.Value, at string) {
	if n = r.target(n, at); n == nil {
		return
	}
	if n.Tag == "!!null" {
		r.wrong(n, at, "it is empty: leave the key out to leave the thing as it is")
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.read(n, v.Elem(), at)
	case reflect.Struct:
		r.readStruct(n, v, at)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			r.wrong(n, at, "want a list")
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			r.read(item, v.Index(i), at)
		}
	case reflect.Map:
		if n.Kind != yaml.MappingNode {
			r.wrong(n, at, "want an object")
			return
		}
		v.Set(reflect.ValueOf(r.plain(n, at)))
	default:
		r.readScalar(n, v, at)
	}
}

func (r *yamlReader) readScalar(n *yaml.Node, v reflect.Value, at string) {
	switch v.Kind() {
	case reflect.String:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!timestamp" {
			r.wrong(n, at, "want a text; a number or true is one in quotes")
			return
		}
		v.SetString(n.Value)
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
			r.wrong(n, at, "want true or false")
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil {
			r.wrong(n, at, "want a whole number")
			return
		}
		v.SetInt(int64(i))
	default:
		panic("yamlread: a field of kind " + v.Kind().String()) // a mistake in the struct
	}
}

func (r *yamlReader) readStruct(n *yaml.Node, v reflect.Value, at string) {
	if n.Kind != yaml.MappingNode {
		r.wrong(n, at, "want an object")
		return
	}
	if line := v.FieldByName("Line"); line.IsValid() {
		line.SetInt(int64(n.Line))
	}
	fields, names := yamlFields(v.Type())
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		name := key.Value
		field, known := fields[name]
		switch {
		case !known:
			r.wrong(key, at, "there is no key %q; there are %s", name, strings.Join(names, ", "))
		case seen[name]:
			r.wrong(key, at, "the key %q comes twice", name)
		default:
			r.read(n.Content[i+1], v.Field(field), name)
			if takenForLeftOut(v.Type().Field(field), v.Field(field)) && n.Content[i+1].Kind == yaml.ScalarNode && n.Content[i+1].Tag == "!!str" {
				r.wrong(n.Content[i+1], name, "it is empty: leave the key out, or give it a value")
			}
		}
		seen[name] = true
	}
}

// takenForLeftOut reports whether a text is empty that may be left out: nobody could
// tell the two apart. Where an empty one says something the field is a pointer, and
// where it may not be left out an empty one is refused as missing.
func takenForLeftOut(field reflect.StructField, v reflect.Value) bool {
	return v.Kind() == reflect.String && v.Len() == 0 && strings.HasSuffix(field.Tag.Get("yaml"), ",omitempty")
}

// yamlFields are the fields of a struct by their keys, and the keys in their order.
func yamlFields(t reflect.Type) (fields map[string]int, names []string) {
	fields = make(map[string]int)
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			fields[name], names = i, append(names, name)
		}
	}
	return fields, names
}

// plain is what JSON would make of a node, with exact numbers.
func (r *yamlReader) plain(n *yaml.Node, at string) any {
	if n = r.target(n, at); n == nil {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		object := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			if _, twice := object[name]; twice {
				r.wrong(n.Content[i], at, "the key %q comes twice", name)
			}
			object[name] = r.plain(n.Content[i+1], at)
		}
		return object
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			list = append(list, r.plain(item, at))
		}
		return list
	}
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		if !json.Valid([]byte(n.Value)) {
			r.wrong(n, at, "%s is no number in JSON: quote it, or write it as one", n.Value)
		}
		return json.Number(n.Value)
	}
	return n.Value
}

// plainNode is the opposite of plain.
func plainNode(value any) *yaml.Node {
	scalar := func(tag, text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text} }
	switch value := value.(type) {
	case nil:
		return scalar("!!null", "null")
	case bool:
		return scalar("!!bool", strconv.FormatBool(value))
	case json.Number:
		if strings.ContainsAny(value.String(), ".eE") {
			return scalar("!!float", value.String())
		}
		return scalar("!!int", value.String())
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range value {
			n.Content = append(n.Content, plainNode(item))
		}
		return n
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		names := make([]string, 0, len(value))
		for name := range value {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			n.Content = append(n.Content, textNode(name), plainNode(value[name]))
		}
		return n
	case string:
		return textNode(value)
	}
	panic(fmt.Sprintf("yamlread: a value of type %T", value)) // readExactly makes no other
}

// textNode is a text, in quotes where it would be read as something else.
func textNode(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	return n
}

package detect_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/processor/detect"
)

// A file with a hole in it, or with something of another kind where a shipped
// rule has what belongs there, is refused or read: it never ends the program.
func TestParseOutlivesAHoleAnywhere(t *testing.T) {
	entries, err := os.ReadDir("../rules")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Run(e.Name(), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile("../rules/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			refused := 0
			for what, text := range holes(t, data) {
				if parses(t, what, text) {
					refused++
				}
			}
			if refused == 0 {
				t.Error("no hole was refused")
			}
		})
	}
}

// parses reports whether the text was refused; a panic is told with what made it.
func parses(t *testing.T, what, text string) (refused bool) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("%s: %v", what, r)
		}
	}()
	set, err := parse(text)
	var problems detect.Problems
	if err != nil && (!errors.As(err, &problems) || len(problems) == 0) || (set == nil) == (err == nil) {
		t.Errorf("%s: set %v and error %v, want a set or problems", what, set, err)
	}
	return err != nil
}

// holes yields texts of a file's documents in which one node is missing or is
// another.
func holes(t *testing.T, data []byte) func(yield func(what, text string) bool) {
	t.Helper()
	var docs []*yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		if dec.Decode(&n) != nil {
			break
		}
		docs = append(docs, &n)
	}
	if len(docs) == 0 {
		t.Fatal("no document")
	}
	text := func() string {
		var b bytes.Buffer
		enc := yaml.NewEncoder(&b)
		for _, d := range docs {
			if err := enc.Encode(d); err != nil {
				t.Fatal(err)
			}
		}
		return b.String()
	}
	return func(yield func(what, text string) bool) {
		var walk func(path string, n *yaml.Node) bool
		walk = func(path string, n *yaml.Node) bool {
			was := *n
			for _, other := range []yaml.Node{
				{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"},
				{Kind: yaml.ScalarNode, Tag: "!!str", Value: "x"},
				{Kind: yaml.ScalarNode, Tag: "!!int", Value: "0"},
				{Kind: yaml.SequenceNode},
				{Kind: yaml.MappingNode},
				{Kind: yaml.SequenceNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}},
			} {
				*n = other
				if !yield(fmt.Sprintf("%s is %s %s", path, other.Tag, other.Value), text()) {
					return false
				}
			}
			*n = was
			step := 1
			if n.Kind == yaml.MappingNode {
				step = 2
			}
			for i := 0; i < len(was.Content); i += step {
				child := was.Content[i+step-1]
				at := fmt.Sprintf("%s/%d", path, i)
				if step == 2 {
					at = path + "/" + was.Content[i].Value
				}
				n.Content = slices.Delete(slices.Clone(was.Content), i, i+step)
				if n.Kind != yaml.DocumentNode && !yield(at+" is missing", text()) {
					return false
				}
				n.Content = was.Content
				if !walk(at, child) {
					return false
				}
				if n.Kind == yaml.SequenceNode {
					break // the first item stands for the others
				}
			}
			return true
		}
		for i, d := range docs {
			for _, n := range d.Content {
				if !walk(fmt.Sprint(i), n) {
					return
				}
			}
		}
	}
}

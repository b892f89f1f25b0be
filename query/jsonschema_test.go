package query_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/query"
)

// described is the part of the API's description that answers are made of.
type described struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct {
				Schema struct {
					Ref string `json:"$ref"`
				} `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]json.RawMessage `json:"schemas"`
	} `json:"components"`
}

const componentRef = "#/components/schemas/"

// answers are the names of the components that some answer's body is.
func (d *described) answers() []string {
	names := map[string]bool{}
	for _, path := range d.Paths {
		for _, operation := range path {
			for _, response := range operation.Responses {
				for _, content := range response.Content {
					if name, ok := strings.CutPrefix(content.Schema.Ref, componentRef); ok {
						names[name] = true
					}
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

var refName = regexp.MustCompile(`"` + componentRef + `(\w+)"`)

// needs adds the components that a component refers to, itself included.
func (d *described) needs(name string, into map[string]json.RawMessage) {
	if _, done := into[name]; done {
		return
	}
	text := d.Components.Schemas[name]
	into[name] = refName.ReplaceAll(text, []byte(`"#/$$defs/$1"`))
	for _, ref := range refName.FindAllSubmatch(text, -1) {
		d.needs(string(ref[1]), into)
	}
}

// schema is the JSON schema of an answer, which needs no other file.
func (d *described) schema(t *testing.T, name string) []byte {
	t.Helper()
	defs := map[string]json.RawMessage{}
	d.needs(name, defs)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   name,
		"$ref":    "#/$defs/" + name,
		"$defs":   defs,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var wordStart = regexp.MustCompile(`([a-z])([A-Z])`)

func TestJSONSchemasOfAnswersAreCurrent(t *testing.T) {
	srv := api(t, &store{}, query.Config{})
	var d described
	if err := json.Unmarshal([]byte(get(t, srv, "/v1/openapi.json").body), &d); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join("..", "schemas", "jsonschema")
	want := []string{"group.json", "machines.json"} // describe no answer
	for _, name := range d.answers() {
		if d.Components.Schemas[name] == nil {
			t.Fatalf("an answer is described as %q, which is no component", name)
		}
		file := strings.ToLower(wordStart.ReplaceAllString(name, "${1}_${2}")) + ".json"
		compareFile(t, filepath.Join(dir, file), d.schema(t, name))
		want = append(want, file)
	}
	if len(want) < 7 {
		t.Errorf("answers are described by %v, too few to be all", want)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains(want, f.Name()) {
			t.Errorf("%s describes nothing that is answered", f.Name())
		}
	}
}

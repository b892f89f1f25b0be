package provision

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestAFileTellsAllOfItsProblemsWithTheirLines(t *testing.T) {
	_, err := ReadMachines([]byte(`version: 2
applications:
  - key: a b
    naem: x
    name: <x>
    owner: 7
    expires: soon
    grants:
      - audience: https://a/
        scopes: read
      - scopes: [x, x]
        organizations: [acme]
  - key: b
    client_id: one
    adopt: two
    name: y
    name: z
users:
  - key: c
    roles:
    blocked: "no"
    app_metadata: {owner: x, "a.b": 1, big: 0x10}
  - key: c
    email: nobody
    permissions: [{audience: https://a/}]
roles:
  - description: x
coffee: true
`))
	want := []string{
		`line 4: applications: there is no key "naem"; there are key, client_id,`,
		"line 6: owner: want a text; a number or true is one in quotes",
		"line 10: scopes: want a list",
		`line 17: applications: the key "name" comes twice`,
		"line 20: roles: it is empty: leave the key out",
		"line 21: blocked: want true or false",
		"line 22: app_metadata: 0x10 is no number in JSON",
		`line 28: there is no key "coffee"`,
		"line 1: version: want 1",
		`line 3: application: key "a b": want`,
		"line 3: expires: \"soon\"",
		"line 3: name: want a text without < and >",
		"line 11: audience: it is missing",
		"line 11: scopes: x is there twice",
		"line 11: organizations: they need organization_usage",
		"line 13: want client_id or adopt, not both",
		"line 19: want an email address or a user name",
		`line 19: app_metadata: "a.b": a name has no dot`, // of its user
		"line 23: user with the key c is there already, in line 19",
		"line 23: email: \"nobody\" is no address",
		"line 25: scopes: they are missing",
		"line 27: role: name: it is missing",
	}
	if err == nil {
		t.Fatal("it is taken")
	}
	lines := strings.Split(err.Error(), "\n")
	for _, w := range want {
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, w) }) {
			t.Errorf("it does not say %q", w)
		}
	}
	if t.Failed() {
		t.Logf("it says\n%v", err)
	}
}

func TestAFileIsOneYAMLDocument(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "there is nothing in it",
		"- 1":                         "want an object",
		"a: [":                        "line 1",
		"version: 1\n---\nversion: 1": "want one YAML document",
		"version: 1":                  "want applications, users or roles",
		"version: 1\nroles: &r\n  - name: x\nusers: *r": `line 3: user: key ""`,
	} {
		if _, err := ReadMachines([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || text == "a: [" && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want …%s…", text, err, want)
		}
	}
	bomb := "version: 1\nusers:\n  - key: x\n    email: a@b\n    app_metadata:\n      a: &a [1,1,1,1,1,1,1,1,1,1]\n"
	for c := 'b'; c < 'k'; c++ {
		last := string(c - 1)
		bomb += "      " + string(c) + ": &" + string(c) + " [*" + strings.Repeat(last+",*", 9) + last + "]\n"
	}
	if _, err := ReadMachines([]byte(bomb)); err == nil || !strings.Contains(err.Error(), "too much of it") {
		t.Errorf("a bomb of aliases: %v", err)
	}
}

// schemaOf is what the tests read of a JSON schema.
type schemaOf struct {
	Ref        string              `json:"$ref"`
	Defs       map[string]schemaOf `json:"$defs"`
	Type       string              `json:"type"`
	Properties map[string]schemaOf `json:"properties"`
	Required   []string            `json:"required"`
	Additional *bool               `json:"additionalProperties"`
	Items      *schemaOf           `json:"items"`
	Enum       []any               `json:"enum"`
	Const      any                 `json:"const"`
	Pattern    string              `json:"pattern"`
	MinLength  int                 `json:"minLength"`
	MaxLength  int                 `json:"maxLength"`
	Unique     bool                `json:"uniqueItems"`
	Names      *schemaOf           `json:"propertyNames"`
}

func machinesSchema(t *testing.T) *schemaOf {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "schemas", "jsonschema", "machines.json"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"$schema": true, "title": true, "description": true}
	for field := range reflect.TypeFor[schemaOf]().Fields() {
		known[field.Tag.Get("json")] = true
	}
	var words func(v any, names bool)
	words = func(v any, names bool) {
		for name, inner := range asObject(v) {
			if !names && !known[name] {
				t.Errorf("the schema uses %s, which this test does not understand", name)
			}
			words(inner, !names && (name == "properties" || name == "$defs"))
		}
	}
	var raw any
	var s schemaOf
	if err := json.Unmarshal(text, &raw); err != nil {
		t.Fatal(err)
	}
	words(raw, false)
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

func asObject(v any) map[string]any {
	object, _ := v.(map[string]any)
	return object
}

func (s *schemaOf) resolve(root *schemaOf) *schemaOf {
	if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
		def := root.Defs[name]
		return &def
	}
	return s
}

// valid tells what of a value is not as the schema says.
func (s *schemaOf) valid(root *schemaOf, at string, v any) (problems []string) {
	s = s.resolve(root)
	wrong := func(what string) { problems = append(problems, at+": "+what) }
	if s.Const != nil && s.Const != v || s.Enum != nil && !slices.Contains(s.Enum, v) {
		wrong("another value")
	}
	switch v := v.(type) {
	case string:
		if s.Type != "string" || len([]rune(v)) < s.MinLength || s.MaxLength > 0 && len([]rune(v)) > s.MaxLength || !regexp.MustCompile(s.Pattern).MatchString(v) {
			wrong("the text " + v)
		}
	case bool:
		if s.Type != "boolean" {
			wrong("a flag")
		}
	case float64:
		if s.Type != "integer" {
			wrong("a number")
		}
	case []any:
		if s.Type != "array" {
			wrong("a list")
			return problems
		}
		for _, item := range v {
			problems = append(problems, s.Items.valid(root, at, item)...)
		}
	case map[string]any:
		if s.Type != "object" {
			wrong("an object")
			return problems
		}
		for _, name := range s.Required {
			if _, there := v[name]; !there {
				wrong(name + " is missing")
			}
		}
		for name, inner := range v {
			property, there := s.Properties[name]
			switch {
			case there:
				problems = append(problems, property.valid(root, at+"."+name, inner)...)
			case s.Additional != nil && !*s.Additional:
				wrong("there is no " + name)
			case s.Names != nil && !regexp.MustCompile(s.Names.Pattern).MatchString(name):
				wrong("the name " + name)
			}
		}
	}
	return problems
}

// validMachines reads a file as an editor does, by its schema.
func validMachines(t *testing.T, text []byte) []string {
	t.Helper()
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	s := machinesSchema(t)
	return s.valid(s, "machines", tree)
}

func TestTheSchemaDescribesTheGoTypes(t *testing.T) {
	root := machinesSchema(t)
	var compare func(at string, s *schemaOf, typ reflect.Type)
	compare = func(at string, s *schemaOf, typ reflect.Type) {
		s = s.resolve(root)
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		kinds := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Slice: "array", reflect.Struct: "object", reflect.Map: "object"}
		if s.Type != kinds[typ.Kind()] {
			t.Errorf("%s is a %s in the schema, a %s in Go", at, s.Type, typ)
			return
		}
		switch typ.Kind() {
		case reflect.Slice:
			compare(at, s.Items, typ.Elem())
		case reflect.Struct:
			fields, names := yamlFields(typ)
			if diff := cmp.Diff(slices.Sorted(slices.Values(names)), sortedNames(s.Properties)); diff != "" || s.Additional == nil || *s.Additional {
				t.Errorf("%s: keys in Go (-) and in the schema (+), which has to allow no others:\n%s", at, diff)
				return
			}
			for _, name := range names {
				property := s.Properties[name]
				compare(at+"."+name, &property, typ.Field(fields[name]).Type)
			}
		}
	}
	compare("machines", root, reflect.TypeFor[Machines]())
	if got := root.Defs["application"].Properties["key"].Pattern; got != keyForm.String() {
		t.Errorf("a key is described by %s, want %s", got, keyForm)
	}
	for text, want := range map[string]string{
		"version: 1\nusers:\n  - email: a@b\n":           "machines.users: key is missing",
		"version: 2\nroles: []\n":                        "machines.version: another value",
		"version: 1\nroles:\n  - {name: x, nom: y}\n":    "machines.roles: there is no nom",
		"version: 1\nusers:\n  - {key: a, blocked: 7}\n": "machines.users.blocked: a number",
	} {
		if got := validMachines(t, []byte(text)); !slices.Contains(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// An empty text takes a description, an owner, a purpose or an expiry away; of
// anything else it is a mistake, to an editor and to a plan: where it names what is
// meant, another would be taken.
func TestAnEmptyTextIsAMistakeButWhereItTakesSomethingAway(t *testing.T) {
	root := machinesSchema(t)
	empties := []string{"description", "owner", "purpose", "expires"}
	looked := 0
	for _, c := range []struct {
		typ  reflect.Type
		file string // with KEY for the rest of the object
	}{
		{reflect.TypeFor[Machines](), "{version: 1, roles: [], KEY}"},
		{reflect.TypeFor[WantedApp](), "{version: 1, applications: [{key: a, KEY}]}"},
		{reflect.TypeFor[WantedGrant](), "{version: 1, applications: [{key: a, grants: [{audience: b, KEY}]}]}"},
		{reflect.TypeFor[WantedUser](), "{version: 1, users: [{key: a, email: a@b, KEY}]}"},
		{reflect.TypeFor[WantedScopes](), "{version: 1, roles: [{name: a, permissions: [{audience: b, scopes: [], KEY}]}]}"},
		{reflect.TypeFor[WantedRole](), "{version: 1, roles: [{name: a, KEY}]}"},
		{reflect.TypeFor[WantedExpect](), "{version: 1, applications: [{key: a, expect: {KEY}}]}"},
	} {
		fields, names := yamlFields(c.typ)
		for _, name := range names {
			typ := c.typ.Field(fields[name]).Type
			if typ.Kind() == reflect.Pointer {
				typ = typ.Elem()
			}
			if typ.Kind() != reflect.String {
				continue
			}
			looked++
			text := c.file
			if given := regexp.MustCompile(`\b` + name + `: \w[@\w]*, KEY`); given.MatchString(text) {
				text = given.ReplaceAllString(text, "KEY") // no key twice
			}
			if name == "key" || name == "audience" {
				text = strings.Replace(text, "key: a, email", "email", 1)
				text = strings.Replace(text, "audience: b, ", "", 1)
			}
			text = strings.Replace(text, "KEY", name+`: ""`, 1)
			_, err := ReadMachines([]byte(text))
			taken := slices.Contains(empties, name) && c.typ != reflect.TypeFor[WantedExpect]()
			if taken != (err == nil) || err != nil && (!strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "twice")) {
				t.Errorf("%s: %v", text, err)
			}
			var tree any
			if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
				t.Fatal(err)
			}
			raw, _ := json.Marshal(tree)
			_ = json.Unmarshal(raw, &tree)
			if problems := root.valid(root, "machines", tree); taken != (len(problems) == 0) {
				t.Errorf("by the schema: %s: %q", text, problems)
			}
		}
	}
	if looked < 20 {
		t.Errorf("%d texts were looked at", looked)
	}
}

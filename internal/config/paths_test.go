package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	yamlv3 "go.yaml.in/yaml/v3"
)

// isPath tells a key that has a path, or a list of them, by its last word.
func isPath(key string) bool {
	last := key[strings.LastIndex(key, ".")+1:]
	return strings.HasSuffix(last, "_file") || strings.HasSuffix(last, "_files") || slices.Contains([]string{"data", "event_types", "library", "mmdb", "dirs"}, last)
}

// pathsOf are the values of all fields that isPath tells, by their key.
func pathsOf(v reflect.Value, key string, found map[string]string) {
	switch v.Kind() {
	case reflect.Struct:
		for field, value := range v.Fields() {
			if field.IsExported() {
				pathsOf(value, strings.TrimPrefix(key+"."+field.Tag.Get("koanf"), "."), found)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			pathsOf(v.Index(i), key, found)
		}
	case reflect.String:
		if isPath(key) {
			found[key] = v.String()
		}
	}
}

// relative sets whatever key of a type has a path, nil where none has.
func relative(t reflect.Type, key string) any {
	switch t.Kind() {
	case reflect.Struct:
		settings := map[string]any{}
		for field := range t.Fields() {
			name := field.Tag.Get("koanf")
			if value := relative(field.Type, name); field.IsExported() && value != nil {
				settings[name] = value
			}
		}
		if len(settings) > 0 {
			return settings
		}
	case reflect.Slice:
		if value := relative(t.Elem(), key); value != nil {
			return []any{value}
		}
	case reflect.String:
		if isPath(key) {
			return "rel"
		}
	}
	return nil
}

// TestEveryPathOfTheFileIsFoundFromIt sets whatever key has a path, so that one
// that is added is not forgotten.
func TestEveryPathOfTheFileIsFoundFromIt(t *testing.T) {
	t.Chdir(t.TempDir())
	text, err := yamlv3.Marshal(relative(reflect.TypeFor[Config](), ""))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "m2mwatch.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	load := func(from Origin) map[string]string {
		c, _ := Inspect(from) // none of the files is there
		found := map[string]string{}
		pathsOf(reflect.ValueOf(*c), "", found)
		return found
	}
	got := load(Origin{File: file})
	want := map[string]string{}
	for key := range got {
		want[key] = filepath.Join(folder, "rel")
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) < 22 {
		t.Errorf("%d paths, by a file elsewhere (-want +got):\n%s", len(got), diff)
	}

	got = load(Origin{File: file, Environ: []string{"M2MWATCH_NATS_CREDS_FILE=other", "M2MWATCH_ENRICH_MMDB=[other]"}, Flags: map[string]any{"data": "other"}})
	for _, key := range []string{"nats.creds_file", "enrich.mmdb", "data"} {
		want[key] = "other"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("by environment and flags (-want +got):\n%s", diff)
	}
	if got := load(Origin{})["data"]; got != Default().Data {
		t.Errorf("the default is %s", got)
	}
}

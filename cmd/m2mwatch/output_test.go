package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestEachCommandWithJSONHasItOnOneLine(t *testing.T) {
	seen := 0
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.Flags().Lookup("json") == nil {
			return
		}
		seen++
		if c.Flags().Lookup("json-compact") == nil {
			t.Errorf("%s has --json alone", commandName(c))
		}
	}
	walk(newRoot(&invocation{}))
	if seen < 10 {
		t.Errorf("%d commands have --json", seen)
	}
}

func TestCompactJSONIsTheSameOnOneLine(t *testing.T) {
	o := &operator{t: t}
	long, _ := o.must("scopes", "users", "--json")
	short, _ := o.must("scopes", "users", "--json-compact")
	if strings.Count(short, "\n") != 1 || !strings.HasSuffix(short, "\n") {
		t.Errorf("printed on %d lines", strings.Count(short, "\n"))
	}
	var a, b any
	if err := json.Unmarshal([]byte(long), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(short), &b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("printed\n%s\nand\n%s", long, short)
	}
	if table, _ := o.must("scopes", "users", "--json-compact=false"); strings.HasPrefix(table, "[") {
		t.Error("--json-compact=false printed JSON")
	}
	o.fails(exitError, "[csv json] were all set", "users", "list", "--json-compact", "--csv")
}

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
)

// TestEngineVersionIsTheSameEverywhere: make fetches what the lock pins, into
// the folder in which the program looks.
func TestEngineVersionIsTheSameEverywhere(t *testing.T) {
	for file, want := range map[string]string{
		"../../Makefile":          "\nENGINE        := " + clickhouse.LibraryVersion + "\n",
		"../../package.json":      `"@chdb/lib-linux-x64-gnu": "` + clickhouse.LibraryVersion + `"`,
		"../../package-lock.json": `"version": "` + clickhouse.LibraryVersion + `"`,
	} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), want) {
			t.Errorf("%s does not name version %s", file, clickhouse.LibraryVersion)
		}
	}
}

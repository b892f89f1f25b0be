package clickhouse_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
)

func TestMissingLibraryErrorNamesTheCommandAndThePath(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	_, err := clickhouse.FindLibrary("")
	want := filepath.Join(cache, "m2mwatch", "engine", clickhouse.LibraryVersion, "libchdb.so")
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "`make engine`") {
		t.Errorf("error %v; want the path %s and the command", err, want)
	}
}

func TestLibraryIsFoundInTheCacheOrWhereItIsSaid(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	cached := filepath.Join(cache, "m2mwatch", "engine", clickhouse.LibraryVersion, "libchdb.so")
	explicit := filepath.Join(t.TempDir(), "engine.so")
	for _, path := range []string{cached, explicit} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for asked, want := range map[string]string{"": cached, explicit: explicit} {
		if got, err := clickhouse.FindLibrary(asked); err != nil || got != want {
			t.Errorf("FindLibrary(%q) = %q, %v; want %q", asked, got, err, want)
		}
	}
}

func TestWithoutHomeTheLibraryHasToBeNamed(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if _, err := clickhouse.FindLibrary(""); err == nil || !strings.Contains(err.Error(), "name its path") {
		t.Errorf("error %v; want that its path is to be named", err)
	}
}

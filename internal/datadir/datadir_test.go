package datadir

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, path string, p Purpose) *Dir {
	t.Helper()
	d, err := Open(path, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestSecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	d := open(t, path, Live)
	if !d.New {
		t.Error("a new folder does not say so")
	}
	if _, err := Open(path, Live); !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v, want ErrLocked", err)
	}
	d.Close()
	if again := open(t, path, Live); again.New {
		t.Error("an old folder says it is new")
	}
}

func TestFoldersThatAreNotOursAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, content, want string }{
		"other files":  {"holiday.jpg", "x", "not empty"},
		"newer format": {"FORMAT", "m2mwatch-data 2 live\n", "format 2"},
		"no format":    {"FORMAT", "something else\n", "not a data directory"},
		"demo's":       {"FORMAT", "m2mwatch-data 1 demo\n", "made for demo"},
	} {
		path := t.TempDir()
		if err := os.WriteFile(filepath.Join(path, c.file), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, Live); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestAPITokenIsMadeOnceAndKeptAsAHash(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "data"), Live)
	hash, made, err := d.APIToken()
	if err != nil || made == "" || hash != sha256.Sum256([]byte(made)) {
		t.Fatalf("first call: %q, %v", made, err)
	}
	again, none, err := d.APIToken()
	if err != nil || none != "" || again != hash {
		t.Fatalf("second call: %q, %v", none, err)
	}
	b, err := os.ReadFile(filepath.Join(d.Path(), "api-token"))
	if err != nil || strings.Contains(string(b), made) {
		t.Errorf("the token itself is on disk (%v)", err)
	}
	if info, _ := os.Stat(filepath.Join(d.Path(), "api-token")); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

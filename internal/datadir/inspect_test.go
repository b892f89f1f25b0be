package datadir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInspectTellsAndChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	s, err := Inspect(path)
	if err != nil || s.Exists {
		t.Fatalf("a folder that is not there: %+v, %v", s, err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("looking made the folder")
	}
	d := open(t, path, Demo)
	if s, err = Inspect(path); err != nil || !s.Held || s.Purpose != Demo || s.Mode.Perm() != 0o700 || s.UID != os.Getuid() {
		t.Errorf("a folder in use: %+v, %v", s, err)
	}
	d.Close()
	if s, err = Inspect(path); err != nil || s.Held {
		t.Errorf("a folder that was left: %+v, %v", s, err)
	}
	open(t, path, Demo) // looking has let go of the lock
}

func TestInspectRefusesWhatOpenRefuses(t *testing.T) {
	path := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(path, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(ProbePrefix+"1", "x")
	if _, err := Inspect(path); err != nil {
		t.Errorf("a probe that was left over: %v", err)
	}
	write("FORMAT", "m2mwatch-data 2 live\n")
	if _, err := Inspect(path); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("a newer format: %v", err)
	}
	if _, err := Inspect(filepath.Join(path, "FORMAT")); err == nil || !strings.Contains(err.Error(), "no directory") {
		t.Errorf("a file: %v", err)
	}
}

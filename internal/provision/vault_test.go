package provision

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAReservedFileHoldsTheSecretAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	r, err := Reserve(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Reserve(path); err == nil {
		t.Error("a file that is there was reserved")
	}
	if err := r.Fill([]byte("s3cret\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := Reserve(path); err == nil {
		t.Error("a file with a secret was reserved")
	}
	text, err := os.ReadFile(path)
	if info, statErr := os.Stat(path); err != nil || statErr != nil || string(text) != "s3cret\n" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q of mode %v, %v, %v", text, info.Mode(), err, statErr)
	}
	other := filepath.Join(t.TempDir(), "other")
	if r, err = Reserve(other); err != nil {
		t.Fatal(err)
	}
	r.Remove()
	if _, err := os.Lstat(other); err == nil {
		t.Error("a file that was given up is there")
	}
}

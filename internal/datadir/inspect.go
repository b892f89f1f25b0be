package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ProbePrefix begins the names of files that are written into a folder to see
// how it takes them, and removed at once. One that a kill left over does not
// make the folder somebody else's.
const ProbePrefix = "doctor-probe-"

// State is what Inspect finds at a path.
type State struct {
	Path    string // absolute
	Exists  bool
	Mode    fs.FileMode
	UID     int     // of the owner, -1 where the system has none
	Purpose Purpose // "" while the folder has no FORMAT
	Held    bool    // another process owns the folder
}

// Inspect looks at a data directory and changes nothing in it. Its error is
// what Open would refuse the folder for, but the lock and the purpose, which
// are in the State. Where the folder has a lock it is taken for a moment: ask
// the instance first whether it runs, or one that starts right now may be
// refused.
func Inspect(path string) (State, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return State{Path: path}, fmt.Errorf("data directory %s: %w", path, err)
	}
	s := State{Path: abs, UID: -1}
	info, err := os.Stat(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("look at data directory: %w", err)
	}
	s.Exists, s.Mode = true, info.Mode()
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		s.UID = int(owner.Uid)
	}
	if !info.IsDir() {
		return s, fmt.Errorf("%s is no directory", abs)
	}
	d := &Dir{path: abs}
	if err := d.checkOurs(); err != nil {
		return s, err
	}
	if s.Held, err = held(filepath.Join(abs, "lock")); err != nil {
		return s, err
	}
	s.Purpose, err = d.readFormat()
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return s, err
}

// held tells whether a process has the lock, where there is one.
func held(path string) (bool, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	f, err := lock(path)
	if errors.Is(err, ErrLocked) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, f.Close()
}

// leftOver tells what a start or a look that was killed leaves in a folder.
func leftOver(name string) bool {
	return name == "lock" || name == "FORMAT.new" || strings.HasPrefix(name, ProbePrefix)
}

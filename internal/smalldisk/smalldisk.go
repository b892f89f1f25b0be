// Package smalldisk gives tests a disk of their own that can be full.
package smalldisk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Disk is a file system in memory, mounted for one test.
type Disk struct {
	tb  testing.TB
	dir string
}

// Mount mounts a disk of some MiB on a folder, which is made where it is
// missing. Where mounting is not permitted the test is skipped, or fails where
// M2MWATCH_REQUIRE_SERVERS=1.
func Mount(tb testing.TB, dir string, mib int) *Disk {
	tb.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := mount(dir, mib); err != nil {
		if os.Getenv("M2MWATCH_REQUIRE_SERVERS") == "1" {
			tb.Fatalf("mount a small disk, which needs root: %v", err)
		}
		tb.Skipf("SKIPPED, NOT TESTED: mount a small disk, which needs root: %v", err)
	}
	tb.Cleanup(func() {
		if err := unmount(dir); err != nil {
			tb.Errorf("unmount the small disk: %v", err)
		}
	})
	return &Disk{tb: tb, dir: dir}
}

func (d *Disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// Fill leaves no byte free. What is removed afterwards makes room again, until
// the next Fill.
func (d *Disk) Fill() {
	d.tb.Helper()
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.tb.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		_, err := f.Write(bytes.Repeat([]byte{1}, size))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			size /= 4
		case err != nil:
			d.tb.Fatal(err)
		}
	}
}

// Free makes room again.
func (d *Disk) Free() {
	d.tb.Helper()
	if err := os.Remove(d.ballast()); err != nil {
		d.tb.Fatal(err)
	}
}

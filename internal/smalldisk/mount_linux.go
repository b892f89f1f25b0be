package smalldisk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func mount(dir string, mib int) error {
	return unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", mib))
}

// unmount takes the folder away at once; the memory goes when the last process
// has closed its files.
func unmount(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }

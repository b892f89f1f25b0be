//go:build !linux

package smalldisk

import "errors"

var errNotHere = errors.New("there are small disks on Linux only")

func mount(string, int) error { return errNotHere }

func unmount(string) error { return errNotHere }

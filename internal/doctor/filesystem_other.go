//go:build !linux

package doctor

import "golang.org/x/sys/unix"

func fileSystemName(unix.Statfs_t) string { return "" }

package doctor

import (
	"io/fs"
	"syscall"
)

// uidOf is the owner of a file, -1 where the system does not tell.
func uidOf(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

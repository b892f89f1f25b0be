package clickhouse

import (
	"errors"
	"fmt"
	"io/fs"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	readAccess = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	// allAccess is what there is to be refused since kernel 5.19; before it,
	// nothing may be moved between folders under confinement, and dropping a
	// table does that.
	allAccess = readAccess | unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
	neededVersion = 2
)

// machine is what the kernel tells about itself and the machine. Not all of
// /proc: for a privileged user that would be the environment of every process.
func machine() []string {
	return []string{
		"/sys", "/proc/self", "/proc/sys", "/proc/pressure", "/proc/cpuinfo",
		"/proc/loadavg", "/proc/meminfo", "/proc/stat", "/proc/uptime",
	}
}

// confine leaves this thread, and those that it will start, the folder and what
// the kernel tells about the machine; of all other files nothing. The caller
// keeps the goroutine on its thread.
func confine(dir string) error {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 || version < neededVersion {
		return fmt.Errorf("confine the engine to its folder: this kernel has no Landlock of version %d", neededVersion)
	}
	rules, err := newRules()
	if err != nil {
		return err
	}
	defer unix.Close(rules)
	if err := allow(rules, dir, allAccess); err != nil {
		return err
	}
	for _, path := range machine() {
		if err := allow(rules, path, readAccess); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("confine the engine to its folder: %w", err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(rules), 0, 0); errno != 0 {
		return fmt.Errorf("confine the engine to its folder: %w", errno)
	}
	return nil
}

// newRules makes a set of rules that refuses everything.
func newRules() (int, error) {
	attributes := unix.LandlockRulesetAttr{Handled_access_fs: allAccess}
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET,
		uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes.Handled_access_fs), 0)
	if errno != 0 {
		return 0, fmt.Errorf("confine the engine to its folder: %w", errno)
	}
	return int(rules), nil
}

// allow adds a file, or a folder with all under it. What it opens stays open: a
// rule is for an inode, and /proc makes new ones of what nobody holds.
func allow(rules int, path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("confine the engine to its folder: %s: %w", path, err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("confine the engine to its folder: %s: %w", path, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= unix.LANDLOCK_ACCESS_FS_READ_FILE
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("confine the engine to its folder: %s: %w", path, errno)
	}
	return nil
}

package provision

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// PasswordFolder keeps the passwords of users who are imported, a file of mode
// 0600 each. One whose name ends in .part is of a user who may not be made yet, or
// not have all that it should: a run that was cut short leaves it, and the next one
// goes on with it.
type PasswordFolder struct {
	dir  string
	lock *os.File
}

// folderTenant is the file that says whose passwords are in a folder.
const folderTenant = ".tenant"

// OpenPasswordFolder makes the folder where there is none. One process at a time
// has it: two would take each other's files for those of a run that was cut short.
// So would imports into two tenants, since ids do not tell those apart: a folder is
// of one tenant, its domain.
func OpenPasswordFolder(dir, tenant string) (*PasswordFolder, error) {
	if err := MakeDir(dir); err != nil {
		return nil, fmt.Errorf("make the folder for passwords: %w", err)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock the folder for passwords: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("lock %s (another import may have it): %w", dir, err)
	}
	p := &PasswordFolder{dir, lock}
	if err := p.belongTo(tenant); err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

func (p *PasswordFolder) belongTo(tenant string) error {
	path := filepath.Join(p.dir, folderTenant)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look whose passwords are in %s: %w", p.dir, err)
	}
	switch is := strings.TrimSpace(string(text)); is {
	case tenant:
		return nil
	case "": // or a run was killed before it was written
		_ = os.Remove(path)
		return WriteSecret(path, []byte(tenant+"\n"))
	default:
		return fmt.Errorf("%s has passwords of users of %s: name another folder for those of %s", p.dir, is, tenant)
	}
}

// Close lets another process have the folder.
func (p *PasswordFolder) Close() error { return p.lock.Close() }

// maxLoginInName bounds what of a login is in a file's name, which 255 bytes bound.
const maxLoginInName = 100

// entry is the file of a user.
func (p *PasswordFolder) entry(login, id string) passwordEntry {
	if len(login) > maxLoginInName {
		login = login[:maxLoginInName]
	}
	if len(id) > maxLoginInName {
		id = id[:maxLoginInName]
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.+@", r) {
			return r
		}
		return '_'
	}, login+"."+id)
	return passwordEntry{filepath.Join(p.dir, strings.TrimLeft(name, ".")+".password")}
}

// passwordEntry is one user's file, by the name that it has when all is done.
type passwordEntry struct{ path string }

func (e passwordEntry) part() string { return e.path + ".part" }

// left is what there is: done, the password of a run that was cut short, or "".
func (e passwordEntry) left() (password string, done bool, err error) {
	if _, err := os.Lstat(e.path); err == nil {
		return "", true, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", false, err
	}
	password, err = LeftPassword(e.part())
	return password, false, err
}

// begin writes a new password; it is on disk when there is no error.
func (e passwordEntry) begin() (string, error) {
	password := NewPassword()
	return password, WriteSecret(e.part(), []byte(password+"\n"))
}

// finish says that the user is made and has all that it should. A crash before
// that is on disk has the next run look at the user once more.
func (e passwordEntry) finish() error { return os.Rename(e.part(), e.path) }

// giveUp removes a password that nobody has.
func (e passwordEntry) giveUp() { _ = os.Remove(e.part()) }

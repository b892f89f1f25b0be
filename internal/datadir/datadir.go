// Package datadir is the one folder that a process owns: what lies where in
// it, the lock against a second process, and the version of its format.
//
//	FORMAT      "m2mwatch-data 1" and the purpose, "live" or "demo"
//	lock        held while a process owns the folder
//	api.sock    the API for commands on this machine, mode 0600
//	api-token   hash of the API token made at the first start, mode 0600
//	nats/       JetStream files of the embedded broker
//	clickhouse/ files of the embedded store
//	acme/       certificates of ACME and their keys, mode 0700
package datadir

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Format is the version of the folder that this program reads and writes.
const Format = 1

const formatWord = "m2mwatch-data"

// Purpose keeps the demo's simulated tenant and real ones apart.
type Purpose string

// The purposes.
const (
	Live Purpose = "live"
	Demo Purpose = "demo"
)

// ErrLocked is wrapped by Open when another process owns the folder.
var ErrLocked = errors.New("another process owns the data directory")

// Dir is an open data directory.
type Dir struct {
	path string
	lock *os.File
	// New says that this start made the folder.
	New bool
}

// Open makes the folder where it is missing, locks it and checks its format.
func Open(path string, purpose Purpose) (*Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	d := &Dir{path: abs}
	if err := d.checkOurs(); err != nil {
		return nil, err
	}
	if d.lock, err = lock(filepath.Join(abs, "lock")); err != nil {
		return nil, err
	}
	if err := d.checkFormat(purpose); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// lock takes the lock without waiting. The kernel lets go of it when the
// process ends, however it ends.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s; stop it, or choose another folder with --data", ErrLocked, filepath.Dir(path))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// checkFormat reads FORMAT, or writes it into a folder that has none.
func (d *Dir) checkFormat(purpose Purpose) error {
	found, err := d.readFormat()
	if errors.Is(err, fs.ErrNotExist) {
		d.New = true
		return writeSynced(filepath.Join(d.path, "FORMAT"), fmt.Appendf(nil, "%s %d %s\n", formatWord, Format, purpose))
	}
	if err != nil {
		return err
	}
	if found != purpose {
		return fmt.Errorf("data directory %s was made for %s, not for %s: choose another with --data", d.path, found, purpose)
	}
	return nil
}

// readFormat returns what the folder was made for. Its error wraps
// fs.ErrNotExist where there is no FORMAT.
func (d *Dir) readFormat() (Purpose, error) {
	b, err := os.ReadFile(filepath.Join(d.path, "FORMAT"))
	if err != nil {
		return "", fmt.Errorf("read data directory's format: %w", err)
	}
	var (
		word, purpose string
		version       int
	)
	if _, err := fmt.Sscan(string(b), &word, &version, &purpose); err != nil || word != formatWord {
		return "", fmt.Errorf("%s is not a data directory of m2mwatch: its FORMAT file reads %q", d.path, string(b))
	}
	if version != Format {
		return "", fmt.Errorf("data directory %s has format %d, this program reads %d: use the release that wrote it", d.path, version, Format)
	}
	return Purpose(purpose), nil
}

// checkOurs refuses a folder that holds other things, before anything is put
// into it: a slip in --data must not fill somebody's home.
func (d *Dir) checkOurs() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("read data directory: %w", err)
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "FORMAT" }) {
		return nil // checkFormat reads it under the lock
	}
	for _, e := range entries {
		if !leftOver(e.Name()) {
			return fmt.Errorf("%s is not empty and not a data directory of m2mwatch: choose another with --data", d.path)
		}
	}
	return nil
}

// writeSynced writes a file by way of a temporary one, so that a crash leaves
// the whole file or none. After it returned the file is there even where the
// power fails.
func writeSynced(path string, content []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir puts the names in a folder on disk.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// Path of the folder, absolute.
func (d *Dir) Path() string { return d.path }

// NATS is the folder of the embedded broker.
func (d *Dir) NATS() string { return filepath.Join(d.path, "nats") }

// ClickHouse is the folder of the embedded store.
func (d *Dir) ClickHouse() string { return filepath.Join(d.path, "clickhouse") }

// ACME is the folder of certificates that an ACME server gave.
func (d *Dir) ACME() string { return ACME(d.path) }

// ACME is the folder for certificates of the data directory at path.
func ACME(path string) string { return filepath.Join(path, "acme") }

// Socket is where the API listens for commands on this machine.
func (d *Dir) Socket() string { return Socket(d.path) }

// Socket is where the process that owns a data directory listens.
func Socket(path string) string { return filepath.Join(path, "api.sock") }

// Close gives the folder up.
func (d *Dir) Close() error { return d.lock.Close() }

// APIToken returns the hash of the folder's API token, and the token itself
// when this call made it: it is kept as a hash only, so it must be shown now.
func (d *Dir) APIToken() (hash [sha256.Size]byte, made string, err error) {
	path := filepath.Join(d.path, "api-token")
	hash, ok, err := d.APITokenHash()
	if ok || err != nil {
		return hash, "", err
	}
	made, err = newToken()
	if err != nil {
		return hash, "", err
	}
	hash = sha256.Sum256([]byte(made))
	return hash, made, writeSynced(path, []byte(hex.EncodeToString(hash[:])+"\n"))
}

// APITokenHash returns the hash of the folder's API token; ok is false where
// none has been made.
func (d *Dir) APITokenHash() (hash [sha256.Size]byte, ok bool, err error) {
	path := filepath.Join(d.path, "api-token")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return hash, false, nil
	}
	if err != nil {
		return hash, false, fmt.Errorf("read API token: %w", err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(raw) != sha256.Size {
		return hash, false, fmt.Errorf("%s is damaged: delete it to have a new token made at the next start", path)
	}
	return [sha256.Size]byte(raw), true, nil
}

// newToken makes a token of 43 base-62 characters, 256 bits.
func newToken() (string, error) {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("make API token: %w", err)
	}
	return "m2m_" + new(big.Int).SetBytes(b[:]).Text(62), nil
}

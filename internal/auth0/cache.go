package auth0

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tokenCache keeps tokens in a directory, so that a command which is run often
// does not ask for one each time: they are counted, and limited. The zero value
// keeps nothing.
type tokenCache struct{ dir string }

// path is the file of a request's tokens. Whatever a token depends on is in its
// name, under a hash.
func (c tokenCache) path(domain string, r *TokenRequest) string {
	scopes := slices.Sorted(slices.Values(r.Scopes))
	key := []string{domain, r.Credentials.ClientID, r.Audience, strings.Join(scopes, " "), r.Organization}
	sum := sha256.Sum256([]byte(strings.Join(key, "\x00")))
	return filepath.Join(c.dir, hex.EncodeToString(sum[:16])+".json")
}

// load returns the token that is kept, or the zero Token. A file that others can
// read or that is broken is not believed.
func (c tokenCache) load(path string) Token {
	if c.dir == "" {
		return Token{}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return Token{}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || !ours(info) {
		return Token{}
	}
	var t Token
	if json.NewDecoder(f).Decode(&t) != nil {
		return Token{}
	}
	return t
}

// ours reports whether a file belongs to the user who runs this.
func ours(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// leftOver is after what time a file that was not renamed has been left behind by
// a run that died.
const leftOver = time.Hour

// sweep removes what runs that died have left behind.
func (c tokenCache) sweep(now time.Time) {
	files, _ := filepath.Glob(filepath.Join(c.dir, "new-*"))
	for _, file := range files {
		if info, err := os.Lstat(file); err == nil && now.Sub(info.ModTime()) > leftOver {
			_ = os.Remove(file)
		}
	}
}

// save keeps a token for the next run.
func (c tokenCache) save(path string, t Token) error {
	if c.dir == "" {
		return nil
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("keep the token: %w", err)
	}
	c.sweep(time.Now())
	data, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("keep the token: %w", err)
	}
	f, err := os.CreateTemp(c.dir, "new-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("keep the token: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("keep the token: %w", err)
	}
	return nil
}

// drop forgets a token, if it still is the one that is kept.
func (c tokenCache) drop(path string, t Token) error {
	if c.dir == "" || c.load(path).AccessToken != t.AccessToken {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the token: %w", err)
	}
	return nil
}

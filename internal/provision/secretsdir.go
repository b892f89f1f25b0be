package provision

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// SecretsDir is a folder for the passwords and client secrets of what apply makes.
// Each is on disk, under the name of the request that asks for the identity, before
// Auth0 knows it, and gets its own name when it is known to be in use. So whatever
// is cut short, the secret of what was made is here, and what has its own name is
// good.
//
// One process uses a folder at a time, and for one tenant alone. Its methods may be
// called concurrently.
type SecretsDir struct {
	dir  string
	lock *os.File

	mu    sync.Mutex          // guards what follows
	known map[string]*pending // by kind and key
}

const (
	secretsLock  = ".m2mwatch"
	pendingMark  = ".pending-"
	pendingBytes = 48 // of a client secret, 64 characters
)

// OpenSecretsDir makes the folder where there is none, and takes it for this
// process.
func OpenSecretsDir(dir, tenant string) (*SecretsDir, error) {
	if err := MakeDir(dir); err != nil {
		return nil, fmt.Errorf("open the folder for secrets: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, secretsLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the folder for secrets: %w", err)
	}
	s := &SecretsDir{dir: dir, lock: f, known: map[string]*pending{}}
	if err := s.claim(tenant); err != nil {
		f.Close()
		return nil, err
	}
	if err := s.load(); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

// claim locks the folder, and wants it to be of the tenant.
func (s *SecretsDir) claim(tenant string) error {
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("another apply uses the folder for secrets %s: wait for it, or choose another folder", s.dir)
		}
		return fmt.Errorf("lock %s: %w", s.lock.Name(), err)
	}
	text, err := os.ReadFile(s.lock.Name())
	if err != nil {
		return fmt.Errorf("open the folder for secrets: %w", err)
	}
	switch of := strings.TrimSpace(string(text)); of {
	case tenant:
		return nil
	case "":
		_, err := s.lock.WriteAt([]byte(tenant+"\n"), 0)
		if err = errors.Join(err, s.lock.Sync(), syncDir(s.dir)); err != nil {
			return fmt.Errorf("write %s: %w", s.lock.Name(), err)
		}
		return nil
	default:
		return fmt.Errorf("the folder for secrets %s is of the tenant %s: choose another for %s", s.dir, of, tenant)
	}
}

// Close lets another process have the folder.
func (s *SecretsDir) Close() error { return s.lock.Close() }

// pending is a secret that may be in use, or will be.
type pending struct {
	kind, key string
	request   string // by which what was made with it is known at the tenant
	secret    string
	path      string
}

// String keeps the secret out of every text.
func (p pending) String() string { return "secret of " + p.kind + " " + p.key }

// GoString keeps it out of %#v.
func (p pending) GoString() string { return p.String() }

// stem is how the names of an identity's files begin.
func stem(kind, key string) string {
	if kind == KindApplication {
		kind = "app"
	}
	return kind + "-" + key
}

// final is the file of a secret that is in use.
func (s *SecretsDir) final(kind, key string) string {
	ending := ".password"
	if kind == KindApplication {
		ending = ".secret"
	}
	return filepath.Join(s.dir, stem(kind, key)+ending)
}

// free wants that there is no secret in use under the name of what is to be made.
func (s *SecretsDir) free(kind, key string) error {
	path := s.final(kind, key)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s %s is to be made, and %s is there already: move it away", kind, key, path)
	}
	return nil
}

// pending is the secret with which an identity is made: that of an apply that was
// cut short, or a new one, which is on disk then.
func (s *SecretsDir) pending(kind, key string) (*pending, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.known[kind+" "+key]; p != nil {
		return p, nil
	}
	p := &pending{kind: kind, key: key, request: rand.Text(), secret: NewPassword()}
	if kind == KindApplication {
		b := make([]byte, pendingBytes)
		_, _ = rand.Read(b) // never fails: see crypto/rand
		p.secret = base64.RawURLEncoding.EncodeToString(b)
	}
	p.path = filepath.Join(s.dir, stem(kind, key)+pendingMark+p.request)
	if err := WriteSecret(p.path, []byte(p.secret+"\n")); err != nil {
		return nil, err
	}
	s.known[kind+" "+key] = p
	return p, nil
}

// all are the secrets of which it is not known whether they are in use.
func (s *SecretsDir) all() []*pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.known))
}

// load reads the secrets that an apply which was cut short has left. What was not
// written to its end was never used.
func (s *SecretsDir) load() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("read the folder for secrets: %w", err)
	}
	for _, e := range entries {
		name, request, ok := strings.Cut(e.Name(), pendingMark)
		kind, key, _ := strings.Cut(name, "-")
		if !ok || key == "" || request == "" {
			continue
		}
		if kind == "app" {
			kind = KindApplication
		}
		path := filepath.Join(s.dir, e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read a secret: %w", err)
		}
		secret, whole := strings.CutSuffix(string(text), "\n")
		if !whole || secret == "" {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove half a secret: %w", err)
			}
			continue
		}
		s.known[kind+" "+key] = &pending{kind: kind, key: key, request: request, secret: secret, path: path}
	}
	return nil
}

// keep gives the file of a secret that is in use its own name. It never takes the
// place of another.
func (s *SecretsDir) keep(p *pending) error {
	final := s.final(p.kind, p.key)
	if err := os.Link(p.path, final); err != nil {
		text, failed := os.ReadFile(final)
		if !errors.Is(err, fs.ErrExist) || failed != nil || !bytes.Equal(bytes.TrimSpace(text), []byte(p.secret)) {
			return fmt.Errorf("the secret of %s %s is in %s and gets no other name: %w", p.kind, p.key, p.path, err)
		}
	}
	if err := syncDir(s.dir); err != nil {
		return fmt.Errorf("the secret of %s %s: %w", p.kind, p.key, err)
	}
	return s.drop(p)
}

// drop removes a secret that nothing uses, or the name that it had.
func (s *SecretsDir) drop(p *pending) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, p.kind+" "+p.key)
	return os.Remove(p.path)
}

// forget removes the secret of what was made and taken away again.
func (s *SecretsDir) forget(kind, key string) error { return os.Remove(s.final(kind, key)) }

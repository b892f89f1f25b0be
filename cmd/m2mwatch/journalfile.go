package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// journalFile keeps recorded calls where there was no instance to take them: JSON
// lines, appended under a lock and synced.
type journalFile struct{ path string }

// journalPath is the journal of whoever runs the program. It is not in the data
// directory, which an operator's machine need not have.
func journalPath() (string, error) {
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("there is no place to record changes: set XDG_STATE_HOME, or M2MWATCH_URL to a running instance: %w", err)
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "m2mwatch", "provision-log.jsonl"), nil
}

// open returns the file, locked until it is closed.
func (j journalFile) open(flags int) (*os.File, error) {
	f, err := os.OpenFile(j.path, flags|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", j.path, err)
	}
	return f, nil
}

// append keeps calls, and returns when they are synced.
func (j journalFile) append(calls []schemas.ProvisionCall) (err error) {
	if err := os.MkdirAll(filepath.Dir(j.path), 0o700); err != nil {
		return fmt.Errorf("make the journal's folder: %w", err)
	}
	f, err := j.open(os.O_CREATE | os.O_APPEND)
	if err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var lines bytes.Buffer
	if torn, err := endsTorn(f); err != nil {
		return fmt.Errorf("read the journal: %w", err)
	} else if torn {
		lines.WriteByte('\n') // a crash cut the line before; this one must not be lost with it
	}
	encoder := json.NewEncoder(&lines)
	for i := range calls {
		if err := encoder.Encode(&calls[i]); err != nil {
			return fmt.Errorf("write the journal: %w", err)
		}
	}
	if _, err := f.Write(lines.Bytes()); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return errors.Join(f.Sync(), syncFolder(filepath.Dir(j.path)))
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// endsTorn tells whether the last line has no end.
func endsTorn(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	last := make([]byte, 1)
	_, err = f.ReadAt(last, info.Size()-1)
	return last[0] != '\n', err
}

// take hands what is kept to somebody who returns when it is on disk there, and
// forgets it then. A crash between leaves it to be taken again, which does no harm.
// It tells how many calls it was; torn lines are dropped, whose calls were not made.
// A call that is refused for what it is, as one made by a wrong clock, must not hold
// up all others: it is set aside beside the file.
func (j journalFile) take(record func([]schemas.ProvisionCall) error) (n int, err error) {
	f, err := j.open(0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open the journal: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	calls, err := readCalls(f)
	if err != nil || len(calls) == 0 {
		return 0, err
	}
	refused, err := recordEach(calls, record)
	if err != nil {
		return 0, err
	}
	if len(refused) > 0 {
		if err := j.aside().append(refused); err != nil {
			return 0, err
		}
	}
	return len(calls) - len(refused), errors.Join(f.Truncate(0), f.Sync())
}

// aside keeps calls that nobody takes.
func (j journalFile) aside() journalFile {
	return journalFile{strings.TrimSuffix(j.path, ".jsonl") + ".refused.jsonl"}
}

// recordEach records calls, one by one where they are refused together, and returns
// those that are refused.
func recordEach(calls []schemas.ProvisionCall, record func([]schemas.ProvisionCall) error) (refused []schemas.ProvisionCall, err error) {
	if err := record(calls); !isRefusal(err) {
		return nil, err
	}
	for i := range calls {
		err := record(calls[i : i+1])
		switch {
		case isRefusal(err):
			refused = append(refused, calls[i])
		case err != nil:
			return nil, err
		}
	}
	return refused, nil
}

// isRefusal tells an error that the same calls would always get.
func isRefusal(err error) bool {
	problem, ok := errors.AsType[*apiclient.Error](err)
	return ok && problem.Status == http.StatusUnprocessableEntity || errors.Is(err, schemas.ErrRefused)
}

func readCalls(r io.Reader) ([]schemas.ProvisionCall, error) {
	var calls []schemas.ProvisionCall
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c schemas.ProvisionCall
		if json.Unmarshal(lines.Bytes(), &c) == nil && c.ID != "" {
			calls = append(calls, c)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	return calls, nil
}

package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"
)

// API is what provisioning needs of a tenant's Management API. A path is made of
// unescaped segments; answers are raw, so that nothing of them is lost.
//
// An error wraps ErrNotFound, ErrConflict or ErrMaybeDone where that is what it
// means. Calls of which nothing was done (too many requests) and those that may be
// done twice are repeated by the API; Post and Patch are not, once sent.
type API interface {
	Get(ctx context.Context, path []string, query url.Values) (json.RawMessage, error)
	Post(ctx context.Context, path []string, body any) (json.RawMessage, error)
	Patch(ctx context.Context, path []string, body any) (json.RawMessage, error)
	Delete(ctx context.Context, path []string, body any) error
	// List goes through all pages; key is the member that holds the elements.
	List(ctx context.Context, path []string, key string, query url.Values) iter.Seq2[json.RawMessage, error]
}

var (
	// ErrNotFound is wrapped where what is named is not there.
	ErrNotFound = errors.New("it is not there")
	// ErrConflict is wrapped where what was to be made is there already.
	ErrConflict = errors.New("it is there already")
	// ErrMaybeDone is wrapped where an answer was lost: it may have been done.
	ErrMaybeDone = errors.New("it may have been done")
)

// tries bounds how often something is done whose answer is lost each time.
const tries = 3

// create makes something that must not be made twice. After a lost answer find
// looks for it; it is made again only where find says ErrNotFound.
func create(ctx context.Context, api API, path []string, body any, find func() (json.RawMessage, error)) (json.RawMessage, error) {
	var lost error
	for range tries {
		raw, err := api.Post(ctx, path, body)
		switch {
		case err == nil:
			return raw, nil
		case errors.Is(err, ErrMaybeDone):
			lost = err
		case lost == nil:
			return nil, err
		case !errors.Is(err, ErrConflict):
			return nil, errors.Join(lost, err) // the lost one may have been done all the same
		}
		raw, err = find()
		if err == nil {
			return raw, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("%w; and it cannot be looked for: %w", lost, err)
		}
	}
	return nil, lost
}

// settle does what may be done twice without harm, and looks at what is missing
// of it then. Only after a lost answer is it done again.
func settle(do func() error, missing func() ([]string, error)) error {
	for attempt := 1; ; attempt++ {
		err := do()
		if err != nil && !errors.Is(err, ErrMaybeDone) {
			return err
		}
		left, looked := missing()
		switch {
		case looked != nil:
			return errors.Join(err, fmt.Errorf("look whether it was done: %w", looked))
		case len(left) == 0:
			return nil
		case err == nil:
			return fmt.Errorf("it was answered as done and is not so: %s", strings.Join(left, ", "))
		case attempt == tries:
			return err
		}
	}
}

// remove deletes what path names and looks whether it is gone, also where no
// answer came: a deletion may have been done all the same.
func remove(ctx context.Context, api API, what string, path []string) error {
	err := api.Delete(ctx, path, nil)
	_, looked := api.Get(ctx, path, nil)
	switch {
	case errors.Is(err, ErrNotFound): // some deletions tell
		return err
	case errors.Is(looked, ErrNotFound):
		return nil
	case looked != nil && err != nil:
		return fmt.Errorf("%s may be gone or not: %w; and it cannot be looked at: %w", what, err, looked)
	case looked != nil:
		return fmt.Errorf("look whether %s is gone: %w", what, looked)
	case err != nil:
		return fmt.Errorf("%s is still there: %w", what, err)
	}
	return fmt.Errorf("%s is still there, though its deletion was answered as done", what)
}

// perCheckpoint is the most that a list answers at once.
const perCheckpoint = "100"

// collectFrom reads all of a list that has checkpoints (from, take), however long
// it is: by pages no more than 1,000 can be had.
func collectFrom(ctx context.Context, api API, path []string, key string) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	query := url.Values{"take": {perCheckpoint}}
	for {
		raw, err := api.Get(ctx, path, query)
		if err != nil {
			return nil, err
		}
		var answer map[string]json.RawMessage
		var some []json.RawMessage
		var next string
		if err := json.Unmarshal(raw, &answer); err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		if err := json.Unmarshal(answer[key], &some); err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		if answer["next"] != nil {
			if err := json.Unmarshal(answer["next"], &next); err != nil {
				return nil, fmt.Errorf("read %s: next: %w", key, err)
			}
		}
		if all = append(all, some...); next == "" {
			return all, nil
		}
		query.Set("from", next)
	}
}

// collect reads all that a list has.
func collect(ctx context.Context, api API, path []string, key string, query url.Values) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	for raw, err := range api.List(ctx, path, key, query) {
		if err != nil {
			return nil, err
		}
		all = append(all, raw)
	}
	return all, nil
}

// decode reads documents of one kind.
func decode[T any](raws []json.RawMessage) ([]T, error) {
	all := make([]T, 0, len(raws))
	for _, raw := range raws {
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
		all = append(all, v)
	}
	return all, nil
}

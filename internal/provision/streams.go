package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Streams makes, changes and takes away log streams.
type Streams struct{ API API }

// NewStream says what webhook to make.
type NewStream struct {
	Name          string
	Endpoint      string // https
	Authorization string // sent as it is
	Format        string // JSONLINES, JSONARRAY, JSONOBJECT
	ContentType   string
	Categories    []string // none: all
	// Priority is Auth0's: a few logs about attacks alone, whatever the categories.
	Priority bool
	// StartFrom is RFC 3339; "" for now.
	StartFrom string
}

func (n *NewStream) body() map[string]any {
	body := map[string]any{
		"name": n.Name, "type": StreamWebhook, "filters": filtersOf(n.Categories),
		"sink": map[string]any{
			"httpEndpoint": n.Endpoint, "httpAuthorization": n.Authorization, "httpContentFormat": n.Format, "httpContentType": n.ContentType,
		},
	}
	if n.Priority {
		body["isPriority"] = true
		delete(body, "filters")
	}
	if n.StartFrom != "" {
		body["startFrom"] = n.StartFrom
	}
	return body
}

// Create makes a webhook, and looks whether it is as it should be. One of the same
// name that delivers to the same address is an error, so that it is known after a
// lost answer; nothing else makes it unique, so it is never made again. Where the
// error comes after it was made, the stream is returned beside it.
func (s *Streams) Create(ctx context.Context, n NewStream) (Stream, error) {
	if err := s.Absent(ctx, n.Name, n.Endpoint); err != nil {
		return Stream{}, err
	}
	body := n.body()
	raw, err := s.API.Post(ctx, []string{"log-streams"}, body)
	switch {
	case errors.Is(err, ErrMaybeDone):
		is, missing := s.find(ctx, n.Name, n.Endpoint)
		if missing != nil {
			return Stream{}, fmt.Errorf("%w; and it is not found now: %w", err, missing)
		}
		raw = is.answered
	case errors.Is(err, ErrConflict):
		return Stream{}, fmt.Errorf("the tenant has as many log streams as its plan allows: delete one of them, or ask Auth0 for more: %w", err)
	case err != nil:
		return Stream{}, err
	}
	made, err := readStream(raw)
	if err != nil {
		return made, err
	}
	delete(body, "startFrom") // it is not answered
	is, twin, err := s.made(ctx, made, n)
	switch {
	case err != nil:
		return made, fmt.Errorf("log stream %s is made, and cannot be looked at: %w", made.ID, err)
	case twin != "":
		return is, fmt.Errorf("log stream %s is made, and %s of the same name and address was at the same time: delete one of them", is.ID, twin)
	}
	different, err := is.differs(body)
	if err == nil && len(different) > 0 {
		err = fmt.Errorf("log stream %s is made, and not as it was asked for: %s", is.ID, strings.Join(different, ", "))
	}
	return is, err
}

// made is a stream as it is now, and the id of another like it, "" where there is
// none: two may have been made at once.
func (s *Streams) made(ctx context.Context, made Stream, n NewStream) (is Stream, twin string, err error) {
	all, err := s.List(ctx)
	if err != nil {
		return made, "", err
	}
	for _, stream := range all {
		switch {
		case stream.ID == made.ID:
			is = stream
		case stream.Name == n.Name && stream.sink["httpEndpoint"] == n.Endpoint:
			twin = stream.ID
		}
	}
	if is.ID == "" {
		return made, "", ErrNotFound
	}
	return is, twin, nil
}

// Absent fails where a stream of that name delivers to that address.
func (s *Streams) Absent(ctx context.Context, name, endpoint string) error {
	is, err := s.find(ctx, name, endpoint)
	switch {
	case err == nil:
		return fmt.Errorf("log stream %s (%s), which delivers to that address: %w", name, is.ID, ErrConflict)
	case errors.Is(err, ErrNotFound):
		return nil
	}
	return err
}

// find is the stream of that name that delivers to that address.
func (s *Streams) find(ctx context.Context, name, endpoint string) (Stream, error) {
	all, err := s.List(ctx)
	if err != nil {
		return Stream{}, err
	}
	for _, stream := range all {
		if stream.Name == name && stream.sink["httpEndpoint"] == endpoint {
			return stream, nil
		}
	}
	return Stream{}, fmt.Errorf("log stream %s: %w", name, ErrNotFound)
}

// differs names what of a stream is not as it was asked for. What Auth0 adds to a
// sink is no difference.
func (s *Stream) differs(want map[string]any) ([]string, error) {
	rest := maps.Clone(want)
	sink, _ := rest["sink"].(map[string]any)
	delete(rest, "sink")
	different, err := differences(s.answered, rest)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(sink)) {
		if !equal(s.sink[name], sink[name]) {
			different = append(different, "sink."+name)
		}
	}
	return different, nil
}

// List reads all of them, which come at once: the API documents no pages of them.
func (s *Streams) List(ctx context.Context) ([]Stream, error) {
	answer, err := s.API.Get(ctx, []string{"log-streams"}, nil)
	if err != nil {
		return nil, err
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(answer, &raws); err != nil {
		return nil, fmt.Errorf("read the log streams: %w", err)
	}
	var streams []Stream
	for _, raw := range raws {
		stream, err := readStream(raw)
		if err != nil {
			return nil, err
		}
		streams = append(streams, stream)
	}
	return streams, nil
}

// Get reads one.
func (s *Streams) Get(ctx context.Context, id string) (Stream, error) {
	raw, err := s.API.Get(ctx, []string{"log-streams", id}, nil)
	if err != nil {
		return Stream{}, fmt.Errorf("log stream %s: %w", id, err)
	}
	return readStream(raw)
}

// SetStatus pauses a stream or sets it to work again.
func (s *Streams) SetStatus(ctx context.Context, id, status string) (Stream, error) {
	return s.patch(ctx, id, map[string]any{"status": status})
}

// StreamChange says what of a webhook to change: what is "" or nil stays.
type StreamChange struct {
	Name, Endpoint, Authorization, Format, ContentType string
	Categories                                         *[]string // none of them: all
}

// Update changes a webhook. Its sink goes as a whole, since the API replaces it.
func (s *Streams) Update(ctx context.Context, id string, c StreamChange) (Stream, error) {
	is, err := s.Get(ctx, id)
	if err != nil {
		return is, err
	}
	if is.Type != StreamWebhook {
		return is, fmt.Errorf("log stream %s is of type %s: m2mwatch changes webhooks alone", id, is.Type)
	}
	sink := maps.Clone(is.sink)
	maps.DeleteFunc(sink, func(_ string, value any) bool { return value == nil })
	for name, value := range map[string]string{
		"httpEndpoint": c.Endpoint, "httpAuthorization": c.Authorization, "httpContentFormat": c.Format, "httpContentType": c.ContentType,
	} {
		if value != "" {
			sink[name] = value
		}
	}
	changes := map[string]any{"sink": sink}
	if c.Name != "" {
		changes["name"] = c.Name
	}
	if c.Categories != nil {
		changes["filters"] = filtersOf(*c.Categories)
	}
	return s.patch(ctx, id, changes)
}

func (s *Streams) patch(ctx context.Context, id string, changes map[string]any) (Stream, error) {
	var is Stream
	err := settle(func() error {
		_, err := s.API.Patch(ctx, []string{"log-streams", id}, changes)
		return err
	}, func() (left []string, err error) {
		if is, err = s.Get(ctx, id); err != nil {
			return nil, err
		}
		return is.differs(changes)
	})
	if err != nil {
		return is, fmt.Errorf("change log stream %s: %w", id, err)
	}
	return is, nil
}

const streamBackupFormat = "m2mwatch log stream backup 1"

// StreamBackup is what a log stream was, without what opens its sink.
type StreamBackup struct {
	Format string          `json:"format"`
	Tenant string          `json:"tenant"`
	At     time.Time       `json:"at"`
	Stream json.RawMessage `json:"log_stream"`
}

// Delete deletes a stream when keep has kept what it was, and looks whether it is
// gone. What it had not delivered yet comes by no other one, unless that starts
// early enough. Without keep nothing is kept.
func (s *Streams) Delete(ctx context.Context, id string, keep func(*StreamBackup) error) error {
	is, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	if keep != nil {
		if err := keep(&StreamBackup{Format: streamBackupFormat, Stream: is.Raw}); err != nil {
			return fmt.Errorf("log stream %s is not deleted: %w", id, err)
		}
	}
	return remove(ctx, s.API, "log stream "+id, []string{"log-streams", id})
}

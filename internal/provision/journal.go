package provision

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Journal keeps each call that changes a tenant.
type Journal interface {
	// Begin returns when c is where a crash does not lose it. After an error the
	// call is not made.
	Begin(ctx context.Context, c schemas.ProvisionCall) error
	// End tells how c ended. It does not wait until that is kept: a call that is
	// known as begun says enough.
	End(c schemas.ProvisionCall)
}

// journaled records what changes the tenant before it does.
type journaled struct {
	api     API
	journal Journal
	of      schemas.ProvisionCall // what all calls have in common
	now     func() time.Time
}

// Journaled is api whose changes are recorded in journal before they are made. of
// has what they have in common: Domain, ClientID, Operator, Command.
func Journaled(api API, journal Journal, of schemas.ProvisionCall, now func() time.Time) API {
	return &journaled{api, journal, of, now}
}

// Get implements API.
func (j *journaled) Get(ctx context.Context, path []string, query url.Values) (json.RawMessage, error) {
	return j.api.Get(ctx, path, query)
}

// List implements API.
func (j *journaled) List(ctx context.Context, path []string, key string, query url.Values) iter.Seq2[json.RawMessage, error] {
	return j.api.List(ctx, path, key, query)
}

// Post implements API.
func (j *journaled) Post(ctx context.Context, path []string, body any) (raw json.RawMessage, err error) {
	err = j.change(ctx, http.MethodPost, path, func() (string, error) {
		raw, err = j.api.Post(ctx, path, body)
		return madeID(raw), err
	})
	return raw, err
}

// Patch implements API.
func (j *journaled) Patch(ctx context.Context, path []string, body any) (raw json.RawMessage, err error) {
	err = j.change(ctx, http.MethodPatch, path, func() (string, error) {
		raw, err = j.api.Patch(ctx, path, body)
		return "", err
	})
	return raw, err
}

// Delete implements API.
func (j *journaled) Delete(ctx context.Context, path []string, body any) error {
	return j.change(ctx, http.MethodDelete, path, func() (string, error) { return "", j.api.Delete(ctx, path, body) })
}

func (j *journaled) change(ctx context.Context, method string, path []string, do func() (made string, err error)) error {
	c := j.of
	c.ID, c.At = strings.ToLower(rand.Text()), j.now().UTC().Truncate(time.Millisecond)
	c.Method, c.Path, c.Outcome = method, escaped(path), schemas.ProvisionBegun
	if err := j.journal.Begin(ctx, c); err != nil {
		return fmt.Errorf("record the change before it is made (nothing was changed): %w", err)
	}
	made, err := do()
	c.Outcome, c.Made = outcomeOf(ctx, err), made
	j.journal.End(c)
	return err
}

func outcomeOf(ctx context.Context, err error) schemas.ProvisionOutcome {
	switch {
	case err == nil:
		return schemas.ProvisionDone
	case errors.Is(err, ErrMaybeDone) || ctx.Err() != nil:
		return schemas.ProvisionUnknown
	}
	return schemas.ProvisionRefused
}

// escaped is a path as the tenant's own logs have it.
func escaped(path []string) string {
	var b strings.Builder
	b.WriteString("/api/v2")
	for _, segment := range path {
		b.WriteString("/" + url.PathEscape(segment))
	}
	return b.String()
}

// madeID is the id of what an answer says was made; "" where it has none.
func madeID(raw json.RawMessage) string {
	var made struct {
		ClientID string `json:"client_id"`
		UserID   string `json:"user_id"`
		ID       string `json:"id"`
	}
	if json.Unmarshal(raw, &made) != nil {
		return ""
	}
	for _, id := range []string{made.ID, made.UserID, made.ClientID} { // a grant has an id beside the client's
		if id != "" {
			return id
		}
	}
	return ""
}

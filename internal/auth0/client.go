package auth0

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"github.com/auth0/go-auth0/management"
)

const userAgent = "m2mwatch"

// Client calls one tenant. Its methods may be called concurrently.
type Client struct {
	cfg    Config
	base   string // scheme and host
	api    *management.Management
	http   http.Client // over the same transport
	source *tokenSource
	pacer  *pacer
}

// New makes a Client. Nothing is sent yet.
func New(c Config) (*Client, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	client := &Client{cfg: c, base: scheme(c.Domain) + "://" + c.Domain, pacer: newPacer(c.Now)}
	client.source = newTokenSource(client, TokenRequest{Credentials: c.Credentials, Audience: c.Audience}, tokenCache{c.CacheDir})
	client.source.accept = c.Accept
	client.http.Transport = &transport{client, client.source}
	options := []management.Option{
		management.WithClient(&http.Client{Transport: client.http.Transport}),
		management.WithStaticToken("replaced by the transport"),
		management.WithNoRetries(),
		management.WithNoAuth0ClientInfo(),
		management.WithUserAgent(userAgent),
	}
	if scheme(c.Domain) == "http" {
		options = append(options, management.WithInsecure())
	}
	api, err := management.New(c.Domain, options...)
	if err != nil {
		return nil, fmt.Errorf("domain %q: %w", clip(c.Domain), err)
	}
	client.api = api
	return client, nil
}

// Domain is the tenant's.
func (c *Client) Domain() string { return c.cfg.Domain }

// Audience is the Management API's identifier.
func (c *Client) Audience() string { return c.cfg.Audience }

// Scopes are those that the Management API's token has.
func (c *Client) Scopes(ctx context.Context) ([]string, error) {
	t, err := c.source.token(ctx)
	return t.Scopes, err
}

// Renew forgets the Management API's token, one that is kept between runs too: the
// next call asks for another. A token has the scopes of when it was issued.
func (c *Client) Renew(ctx context.Context) error {
	t, err := c.source.token(ctx)
	if err != nil {
		return err
	}
	return c.source.drop(ctx, t)
}

// Token is RequestToken unless one that was issued before is still good: one that
// Config.CacheDir keeps. A user's are not kept, as a wrong password would get them.
func (c *Client) Token(ctx context.Context, r TokenRequest) (Token, error) {
	if r.User != nil {
		return c.RequestToken(ctx, r)
	}
	return newTokenSource(c, r, tokenCache{c.cfg.CacheDir}).token(ctx)
}

// Path names a resource by its unescaped segments: {"users", "auth0|x", "roles"}.
type Path []string

// Get returns a resource as it was answered: raw, so that nothing of it is lost.
func (c *Client) Get(ctx context.Context, path Path, query url.Values) (json.RawMessage, error) {
	raw, _, err := c.call(ctx, http.MethodGet, path, query, nil)
	return raw, err
}

// Post creates, and returns what was made.
func (c *Client) Post(ctx context.Context, path Path, body any) (json.RawMessage, error) {
	raw, _, err := c.call(ctx, http.MethodPost, path, nil, body)
	return raw, err
}

// Patch changes what body names. A null in it unsets.
func (c *Client) Patch(ctx context.Context, path Path, body any) (json.RawMessage, error) {
	raw, _, err := c.call(ctx, http.MethodPatch, path, nil, body)
	return raw, err
}

// Delete deletes. body is nil but for the lists that are taken away from
// something: the roles of a user, the permissions of a role.
func (c *Client) Delete(ctx context.Context, path Path, body any) error {
	_, _, err := c.call(ctx, http.MethodDelete, path, nil, body)
	return err
}

// call makes one call and returns its answer, empty where there is none.
func (c *Client) call(ctx context.Context, method string, path Path, query url.Values, body any) (json.RawMessage, http.Header, error) {
	uri := c.api.URI(path...)
	attempt := method + " " + uri
	if len(query) > 0 {
		uri += "?" + query.Encode()
	}
	request, err := c.api.NewRequest(ctx, method, uri, body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", attempt, err)
	}
	// Not by c.api.Do: where the context has ended it drops the error, and with it
	// ErrMaybeDone.
	response, err := c.http.Do(request)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", attempt, cause(err))
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", attempt, err)
	}
	return raw, response.Header, nil
}

// cause takes off what net/http wraps around an error: its text repeats the URL.
func cause(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// pageSize is the most that a page of the Management API holds.
const pageSize = 100

// List goes through a collection page by page. key is the member that holds the
// elements where the answer is an object with totals; some collections are plain
// arrays, which come in one. Of users and logs no more than the first 1,000 can
// be paged through: the error is the API's own.
func (c *Client) List(ctx context.Context, path Path, key string, query url.Values) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		for page, come := 0, 0; ; page++ {
			elements, total, err := c.page(ctx, path, key, query, page)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, element := range elements {
				if !yield(element, nil) {
					return
				}
			}
			// By what came: a page may hold fewer than were asked for.
			if come += len(elements); len(elements) == 0 || come >= total {
				return
			}
		}
	}
}

// page returns one page; the total of a plain array is what it holds.
func (c *Client) page(ctx context.Context, path Path, key string, query url.Values, page int) (elements []json.RawMessage, total int, err error) {
	q := clone(query)
	q.Set("page", strconv.Itoa(page))
	q.Set("per_page", strconv.Itoa(pageSize))
	q.Set("include_totals", "true")
	raw, err := c.Get(ctx, path, q)
	if err != nil {
		return nil, 0, err
	}
	if json.Unmarshal(raw, &elements) == nil {
		return elements, len(elements), nil
	}
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", key, err)
	}
	if err := errors.Join(json.Unmarshal(answer[key], &elements), json.Unmarshal(answer["total"], &total)); err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", key, err)
	}
	return elements, total, nil
}

// ListFrom goes through a collection by checkpoint (from, take), which has no end
// at 1,000 and misses nothing that is added meanwhile.
func (c *Client) ListFrom(ctx context.Context, path Path, key string, query url.Values) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		q := clone(query)
		q.Set("take", strconv.Itoa(pageSize))
		for {
			raw, err := c.Get(ctx, path, q)
			if err != nil {
				yield(nil, err)
				return
			}
			elements, next, err := readCheckpoint(raw, key)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, element := range elements {
				if !yield(element, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			q.Set("from", next)
		}
	}
}

func readCheckpoint(raw json.RawMessage, key string) (elements []json.RawMessage, next string, err error) {
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, "", fmt.Errorf("read %s: %w", key, err)
	}
	if err := json.Unmarshal(answer[key], &elements); err != nil {
		return nil, "", fmt.Errorf("read %s: %w", key, err)
	}
	if answer["next"] != nil {
		if err := json.Unmarshal(answer["next"], &next); err != nil {
			return nil, "", fmt.Errorf("read %s: next: %w", key, err)
		}
	}
	return elements, next, nil
}

func clone(query url.Values) url.Values {
	q := url.Values{}
	maps.Copy(q, query)
	return q
}

func newID() string { return rand.Text() }

package auth0

import (
	"context"
	"fmt"
	"time"
)

// tokenSource has the token of one request, and asks for another when it ends.
// Its methods may be called concurrently: one asks, the others wait.
type tokenSource struct {
	client  *Client
	request TokenRequest
	cache   tokenCache
	path    string
	accept  func(scopes []string) error // nil: all are used

	turn chan struct{} // holds one value: whoever has it may look at current
	// current is the token in use.
	current Token
	// asked is when one was asked for last; not those of earlier runs.
	asked time.Time
}

func newTokenSource(c *Client, r TokenRequest, cache tokenCache) *tokenSource {
	s := &tokenSource{client: c, request: r, cache: cache, path: cache.path(c.cfg.Domain, &r), turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s
}

// take waits for the turn, no longer than ctx.
func (s *tokenSource) take(ctx context.Context) error {
	select {
	case <-s.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *tokenSource) give() { s.turn <- struct{}{} }

// refusedFor is how long a token that Accept refuses stands for the next: asking
// for another each time would use up the tenant's quota of tokens.
const refusedFor = 10 * time.Minute

// token returns one that is good for a minute at least.
func (s *tokenSource) token(ctx context.Context) (Token, error) {
	if err := s.take(ctx); err != nil {
		return Token{}, err
	}
	defer s.give()
	now := s.client.cfg.Now()
	if s.current.usable(now) {
		return s.accepted(s.current)
	}
	if kept := s.cache.load(s.path); kept.usable(now) {
		if _, err := s.accepted(kept); err == nil {
			s.current = kept
			return kept, nil
		}
		// It was issued for another use, or before its grant was narrowed: what is
		// granted now decides.
	}
	t, err := s.client.RequestToken(ctx, s.request)
	if err != nil {
		return Token{}, err
	}
	s.current, s.asked = t, now
	if _, err := s.accepted(t); err != nil {
		s.current.ExpiresAt = earlier(t.ExpiresAt, now.Add(renewBefore+refusedFor))
		return Token{}, err
	}
	_ = s.cache.save(s.path, t) // else the next run asks again
	return t, nil
}

// accepted returns t, unless it must not be used.
func (s *tokenSource) accepted(t Token) (Token, error) {
	if s.accept == nil {
		return t, nil
	}
	if err := s.accept(t.Scopes); err != nil {
		return Token{}, fmt.Errorf("the token of %s: %w", s.client.cfg.Domain, err)
	}
	return t, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// outgrown drops t, which lacks a scope that may have been granted since. It tells
// whether another is worth asking for: none that is younger than refusedFor.
func (s *tokenSource) outgrown(ctx context.Context, t Token) bool {
	if s.take(ctx) != nil {
		return false
	}
	worth := s.client.cfg.Now().Sub(s.asked) >= refusedFor
	s.give()
	return worth && s.drop(ctx, t) == nil
}

// drop forgets t, which was refused. Another that has come meanwhile stays.
func (s *tokenSource) drop(ctx context.Context, t Token) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	if s.current.AccessToken == t.AccessToken {
		s.current = Token{}
	}
	return s.cache.drop(s.path, t)
}

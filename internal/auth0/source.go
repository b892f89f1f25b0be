package auth0

import "context"

// tokenSource has the token of one request, and asks for another when it ends.
// Its methods may be called concurrently: one asks, the others wait.
type tokenSource struct {
	client  *Client
	request TokenRequest
	cache   tokenCache
	path    string

	turn chan struct{} // holds one value: whoever has it may look at current
	// current is the token in use.
	current Token
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

// token returns one that is good for a minute at least.
func (s *tokenSource) token(ctx context.Context) (Token, error) {
	if err := s.take(ctx); err != nil {
		return Token{}, err
	}
	defer s.give()
	if now := s.client.cfg.Now(); s.current.usable(now) {
		return s.current, nil
	} else if kept := s.cache.load(s.path); kept.usable(now) {
		s.current = kept
		return kept, nil
	}
	t, err := s.client.RequestToken(ctx, s.request)
	if err != nil {
		return Token{}, err
	}
	s.current = t
	_ = s.cache.save(s.path, t) // else the next run asks again
	return t, nil
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

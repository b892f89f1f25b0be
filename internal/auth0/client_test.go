package auth0_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
)

const (
	domain = "acme.eu.auth0.com"
	secret = "s3cr3t-of-the-client"
)

// tenant answers calls in turn and remembers them. Its time may be a bubble's.
type tenant struct {
	t       *testing.T
	mu      sync.Mutex // guards what follows
	tokens  int        // that were issued
	answers []answer   // of the Management API, in their order; the last goes on
	calls   []string   // method, escaped path and body
	tokenDo func(http.ResponseWriter, *http.Request)
}

// answer is what the Management API says once.
type answer struct {
	status int
	body   string
	header http.Header
	lost   bool // it is done, and the connection breaks
	dead   bool // nobody is there
	silent bool // it is done, and there never is an answer
}

var errBroken = errors.New("connection reset by peer")

// RoundTrip implements http.RoundTripper.
func (s *tenant) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Host != domain || r.URL.Scheme != "https" {
		s.t.Errorf("a call to %s", r.URL)
	}
	w := httptest.NewRecorder()
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if r.URL.Path == "/oauth/token" {
		s.issue(w, r)
		return w.Result(), nil
	}
	body := ""
	if r.Body != nil {
		b, _ := io.ReadAll(r.Body)
		body = strings.TrimSpace(string(b))
	}
	s.calls = append(s.calls, strings.TrimSpace(r.Method+" "+r.URL.EscapedPath()+" "+body))
	if want := fmt.Sprintf("Bearer token-%d", s.tokens); r.Header.Get("Authorization") != want {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"statusCode":401,"error":"Unauthorized","message":"Invalid token"}`)
		return w.Result(), nil
	}
	a := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	switch {
	case a.silent:
		s.mu.Unlock()
		<-r.Context().Done()
		s.mu.Lock()
		return nil, r.Context().Err()
	case a.lost:
		return nil, errBroken
	case a.dead:
		return nil, &net.OpError{Op: "dial", Err: errBroken}
	}
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	fmt.Fprint(w, a.body)
	return w.Result(), nil
}

func (s *tenant) issue(w http.ResponseWriter, r *http.Request) {
	if s.tokenDo != nil {
		s.tokenDo(w, r)
		return
	}
	s.tokens++
	fmt.Fprintf(w, `{"access_token":"token-%d","scope":"read:clients read:logs","expires_in":86400,"token_type":"Bearer"}`, s.tokens)
}

func (s *tenant) client(change ...func(*auth0.Config)) *auth0.Client {
	s.t.Helper()
	c := auth0.Config{Domain: domain, Credentials: auth0.Credentials{ClientID: "watcher", ClientSecret: secret}, Transport: s}
	for _, f := range change {
		f(&c)
	}
	client, err := auth0.New(c)
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

func ok(body string) answer { return answer{status: http.StatusOK, body: body} }

func TestGetReturnsTheAnswerAsItCame(t *testing.T) {
	const body = `{"user_id":"samlp|a/b c","big":12345678901234567890,"new_field":null}`
	s := &tenant{t: t, answers: []answer{ok(body)}}
	raw, err := s.client().Get(t.Context(), auth0.Path{"users", "samlp|a/b c?d"}, url.Values{"fields": {"user_id"}})
	if err != nil || string(raw) != body {
		t.Errorf("got %s, %v", raw, err)
	}
	if diff := cmp.Diff([]string{"GET /api/v2/users/samlp%7Ca%2Fb%20c%3Fd"}, s.calls); diff != "" {
		t.Error(diff)
	}
}

func TestARefusalSaysWhatAuth0Said(t *testing.T) {
	s := &tenant{t: t, answers: []answer{{status: 403, body: `{"statusCode":403,"error":"Forbidden","message":"Insufficient scope, expected any of: create:clients, update:clients","errorCode":"insufficient_scope"}`}}}
	_, err := s.client().Post(t.Context(), auth0.Path{"clients"}, map[string]any{"name": "x"})
	if want := "403 Forbidden: Insufficient scope, expected any of: create:clients, update:clients (insufficient_scope)"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want …%s", err, want)
	}
	if !errors.Is(err, &auth0.APIError{Status: 403, Code: "insufficient_scope"}) || errors.Is(err, &auth0.APIError{Status: 404}) {
		t.Errorf("%v does not match what it is", err)
	}
	if got := auth0.MissingScopes(err); !slices.Equal(got, []string{"create:clients", "update:clients"}) {
		t.Errorf("missing scopes %q", got)
	}
	if len(s.calls) != 1 {
		t.Errorf("%d calls of what is refused", len(s.calls))
	}
}

func TestWithoutATokenNothingIsSent(t *testing.T) {
	asked := 0
	s := &tenant{t: t, tokenDo: func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"access_denied","error_description":"Unauthorized"}`)
	}}
	_, err := s.client().Get(t.Context(), auth0.Path{"clients"}, nil)
	if !errors.Is(err, &auth0.APIError{Status: 401, Code: "access_denied"}) {
		t.Errorf("got %v", err)
	}
	if len(s.calls) != 0 || asked != 1 {
		t.Errorf("%d calls, and %d for a token", len(s.calls), asked)
	}
	if strings.Contains(fmt.Sprint(err), secret) {
		t.Errorf("the secret is in %v", err)
	}
}

// A 429 is waited out for every method: nothing was done.
func TestTooManyRequestsAreWaitedOut(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				reset := http.Header{"X-Ratelimit-Reset": {fmt.Sprint(began.Add(7 * time.Second).Unix())}}
				s := &tenant{t: t, answers: []answer{{status: 429, body: `{}`, header: reset}, ok(`{}`)}}
				var waited time.Duration
				if err := send(t.Context(), s.client(func(c *auth0.Config) { c.OnWait = func(d time.Duration) { waited += d } }), method); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != 7*time.Second || waited != took || len(s.calls) != 2 {
					t.Errorf("%d calls in %s, told of %s", len(s.calls), took, waited)
				}
			})
		})
	}
}

func send(ctx context.Context, c *auth0.Client, method string) error {
	path := auth0.Path{"users", "auth0|1"}
	var err error
	switch method {
	case http.MethodPost:
		_, err = c.Post(ctx, path, map[string]any{"a": 1})
	case http.MethodPatch:
		_, err = c.Patch(ctx, path, map[string]any{"a": nil})
	case http.MethodDelete:
		err = c.Delete(ctx, path, nil)
	default:
		_, err = c.Get(ctx, path, nil)
	}
	return err
}

func TestTheWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reset := http.Header{"X-Ratelimit-Reset": {fmt.Sprint(time.Now().Add(time.Minute).Unix())}}
		s := &tenant{t: t, answers: []answer{{status: 429, body: `{}`, header: reset}}}
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := s.client().Get(ctx, auth0.Path{"users"}, nil)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 700*time.Millisecond {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// Who is cancelled after a POST was sent must not take it for undone.
func TestACancelledPostMayHaveBeenDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tenant{t: t, answers: []answer{{silent: true}}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.client().Post(ctx, auth0.Path{"clients"}, map[string]any{"name": "x"})
		if !errors.Is(err, auth0.ErrMaybeDone) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// Whatever a 429 says is waited out, or is too long; it never becomes a storm.
func TestA429IsNeverAskedAgainTooSoon(t *testing.T) {
	now := time.Now().Unix()
	for _, h := range []http.Header{
		{"Retry-After": {"99999999999"}},
		{"Retry-After": {"99999999999999999999999"}},
		{"Retry-After": {time.Unix(now+7200, 0).UTC().Format(http.TimeFormat)}},
		{"X-Ratelimit-Reset": {"9223372036854775807"}},
		{"X-Ratelimit-Reset": {"soon"}},
		{"Retry-After": {"7200"}, "X-Ratelimit-Reset": {fmt.Sprint(now - 10)}},
		{"Retry-After": {"7200"}, "X-Ratelimit-Reset": {fmt.Sprint(now + 1)}},
		{"X-Ratelimit-Reset": {fmt.Sprint(now - 10)}}, // again and again
	} {
		synctest.Test(t, func(t *testing.T) {
			limited := http.Header{"Date": {time.Unix(now, 0).UTC().Format(http.TimeFormat)}}
			maps.Copy(limited, h)
			s := &tenant{t: t, answers: []answer{{status: 429, body: `{}`, header: limited}}}
			_, err := s.client().Get(t.Context(), auth0.Path{"users"}, nil)
			if !errors.Is(err, &auth0.APIError{Status: 429}) || len(s.calls) > 121 {
				t.Errorf("%v: %d calls, then %v", h, len(s.calls), err)
			}
		})
	}
}

func TestAQuotaThatLastsForHoursIsAnError(t *testing.T) {
	s := &tenant{t: t, answers: []answer{{status: 429, body: `{"statusCode":429,"error":"Too Many Requests","message":"Global limit has been reached","errorCode":"too_many_requests"}`, header: http.Header{"Retry-After": {"7200"}}}}}
	_, err := s.client().Get(t.Context(), auth0.Path{"users"}, nil)
	if !errors.Is(err, &auth0.APIError{Status: 429}) || !strings.Contains(fmt.Sprint(err), "it asks to wait 2h0m0s") {
		t.Errorf("got %v", err)
	}
}

// What was lost is repeated only where a repeat does no harm.
func TestWhatMayHaveBeenDoneIsNotRepeated(t *testing.T) {
	lost, dead, unavailable := answer{lost: true}, answer{dead: true}, answer{status: 503, body: `{"statusCode":503,"error":"Service Unavailable","message":"busy"}`}
	for _, c := range []struct {
		method string
		answer answer
		calls  int
		maybe  bool
	}{
		{http.MethodGet, lost, 2, false},
		{http.MethodGet, unavailable, 2, false},
		{http.MethodDelete, lost, 2, false},
		{http.MethodDelete, unavailable, 2, false},
		{http.MethodPost, dead, 2, false}, // it never got there
		{http.MethodPost, lost, 1, true},
		{http.MethodPost, unavailable, 1, true},
		{http.MethodPost, answer{status: 201, body: "<html>"}, 1, true},
		{http.MethodPost, answer{silent: true}, 1, true},
		{http.MethodGet, answer{silent: true}, 2, false},
		{http.MethodPatch, lost, 1, true},
		{http.MethodPatch, unavailable, 1, true},
	} {
		t.Run(fmt.Sprintf("%s %+v", c.method, c.answer), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &tenant{t: t, answers: []answer{c.answer, ok(`{}`)}}
				err := send(t.Context(), s.client(), c.method)
				if got := errors.Is(err, auth0.ErrMaybeDone); got != c.maybe || (err == nil) == c.maybe {
					t.Errorf("got %v", err)
				}
				if len(s.calls) != c.calls {
					t.Errorf("%d calls, want %d", len(s.calls), c.calls)
				}
			})
		})
	}
}

func TestRepeatsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tenant{t: t, answers: []answer{{status: 500, body: `<html>`}}}
		_, err := s.client().Get(t.Context(), auth0.Path{"users"}, nil)
		if !errors.Is(err, &auth0.APIError{Status: 500}) || len(s.calls) != 4 {
			t.Errorf("%d calls, then %v", len(s.calls), err)
		}
	})
}

// A role that is gone is answered with 404: where that is the answer to a repeat,
// the first attempt did it.
func TestADeleteWhoseAnswerWasLostIsDone(t *testing.T) {
	gone := answer{status: 404, body: `{"statusCode":404,"error":"Not Found","message":"The role does not exist."}`}
	synctest.Test(t, func(t *testing.T) {
		s := &tenant{t: t, answers: []answer{{lost: true}, gone}}
		if err := s.client().Delete(t.Context(), auth0.Path{"roles", "rol_1"}, nil); err != nil {
			t.Errorf("got %v", err)
		}
	})
	s := &tenant{t: t, answers: []answer{gone}}
	if err := s.client().Delete(t.Context(), auth0.Path{"roles", "rol_1"}, nil); !auth0.NotFound(err) {
		t.Errorf("got %v for what never was", err)
	}
}

func TestATokenThatIsRefusedIsReplacedOnce(t *testing.T) {
	s := &tenant{t: t, answers: []answer{ok(`{}`)}}
	c := s.client()
	if err := send(t.Context(), c, http.MethodGet); err != nil {
		t.Fatal(err)
	}
	s.tokens++ // from here on the first is void
	if err := send(t.Context(), c, http.MethodPost); err != nil || len(s.calls) != 3 {
		t.Errorf("%d calls, %v", len(s.calls), err)
	}
	s.tokenDo = func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"access_token":"of another tenant","expires_in":86400}`)
	}
	s.tokens++
	if err := send(t.Context(), c, http.MethodPost); !errors.Is(err, &auth0.APIError{Status: 401}) || len(s.calls) != 5 {
		t.Errorf("%d calls, %v", len(s.calls), err)
	}
}

func TestTokensAreKeptForTheNextRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tokens")
	s := &tenant{t: t, answers: []answer{ok(`{}`)}}
	now := time.Now()
	get := func() {
		t.Helper()
		c := s.client(func(c *auth0.Config) { c.CacheDir, c.Now = dir, func() time.Time { return now } })
		if _, err := c.Get(t.Context(), auth0.Path{"users"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	get()
	get()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 || s.tokens != 1 {
		t.Fatalf("%d tokens were issued, files %q, %v", s.tokens, files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if text, _ := os.ReadFile(files[0]); strings.Contains(string(text), secret) {
		t.Error("the client secret is in it")
	}
	now = now.Add(24*time.Hour - 30*time.Second)
	get()
	if s.tokens != 2 {
		t.Errorf("%d tokens: one that ends within a minute is not to be used", s.tokens)
	}
	if err := os.Chmod(files[0], 0o644); err != nil {
		t.Fatal(err)
	}
	get()
	if s.tokens != 3 {
		t.Errorf("%d tokens: a file that others can read is not to be believed", s.tokens)
	}
}

func TestPrivateKeyJWT(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := &tenant{t: t, answers: []answer{ok(`{}`)}}
	s.tokenDo = func(w http.ResponseWriter, r *http.Request) {
		if r.ParseForm() != nil || r.PostForm.Has("client_id") || r.PostForm.Has("client_secret") {
			t.Errorf("form %v", r.PostForm)
		}
		token, err := jwt.Parse([]byte(r.PostForm.Get("client_assertion")), jwt.WithKey(jwa.RS256(), key.Public()),
			jwt.WithIssuer("watcher"), jwt.WithSubject("watcher"), jwt.WithAudience("https://"+domain+"/"))
		if err != nil {
			t.Errorf("the assertion: %v", err)
			return
		}
		expires, _ := token.Expiration()
		issued, _ := token.IssuedAt()
		if expires.Sub(issued) != 2*time.Minute {
			t.Errorf("it lasts %s", expires.Sub(issued))
		}
		s.tokens++
		fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":86400}`, s.tokens)
	}
	c := s.client(func(c *auth0.Config) { c.Credentials.ClientSecret, c.Credentials.PrivateKey = "", key })
	if _, err := c.Get(t.Context(), auth0.Path{"users"}, nil); err != nil {
		t.Error(err)
	}
}

func TestAnAssertionIsMadeAnewAfterAWait(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := &tenant{t: t, answers: []answer{ok(`{}`)}}
		seen := map[string]bool{}
		s.tokenDo = func(w http.ResponseWriter, r *http.Request) {
			if r.ParseForm() != nil || seen[r.PostForm.Get("client_assertion")] {
				t.Error("the same assertion again")
			}
			seen[r.PostForm.Get("client_assertion")] = true
			if len(seen) < 3 {
				w.Header().Set("Retry-After", "50")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			s.tokens++
			fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":86400}`, s.tokens)
		}
		c := s.client(func(c *auth0.Config) { c.Credentials.ClientSecret, c.Credentials.PrivateKey = "", key })
		if _, err := c.Get(t.Context(), auth0.Path{"users"}, nil); err != nil || len(seen) != 3 {
			t.Errorf("%d assertions, %v", len(seen), err)
		}
	})
}

func TestListGoesThroughEveryPage(t *testing.T) {
	var pages []answer
	for page := range 3 {
		var users []string
		for i := range min(100, 250-page*100) {
			users = append(users, fmt.Sprintf(`{"user_id":"%d"}`, page*100+i))
		}
		pages = append(pages, ok(`{"users":[`+strings.Join(users, ",")+`],"start":0,"limit":100,"total":250}`))
	}
	s := &tenant{t: t, answers: pages}
	if n := count(t, s.client().List(t.Context(), auth0.Path{"users"}, "users", nil)); n != 250 || len(s.calls) != 3 {
		t.Errorf("%d users in %d calls", n, len(s.calls))
	}
	s = &tenant{t: t, answers: []answer{ok(`[{"id":"lst_1"},{"id":"lst_2"}]`)}}
	if n := count(t, s.client().List(t.Context(), auth0.Path{"log-streams"}, "log_streams", nil)); n != 2 || len(s.calls) != 1 {
		t.Errorf("%d log streams in %d calls", n, len(s.calls))
	}
	s = &tenant{t: t, answers: []answer{ok(`{"clients":[{},{}],"next":"x"}`), ok(`{"clients":[{}]}`)}}
	if n := count(t, s.client().ListFrom(t.Context(), auth0.Path{"clients"}, "clients", nil)); n != 3 || len(s.calls) != 2 {
		t.Errorf("%d clients in %d calls", n, len(s.calls))
	}
}

// A server may put fewer on a page than it was asked for.
func TestListGoesByWhatCame(t *testing.T) {
	var pages []answer
	for _, n := range []int{50, 50, 20} {
		pages = append(pages, ok(`{"roles":[`+strings.TrimSuffix(strings.Repeat("{},", n), ",")+`],"start":0,"limit":50,"total":120}`))
	}
	s := &tenant{t: t, answers: pages}
	if n := count(t, s.client().List(t.Context(), auth0.Path{"roles"}, "roles", nil)); n != 120 || len(s.calls) != 3 {
		t.Errorf("%d roles in %d calls", n, len(s.calls))
	}
}

func count(t *testing.T, elements func(func(json.RawMessage, error) bool)) (n int) {
	t.Helper()
	for _, err := range elements {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestLogsFollowTheCheckpoint(t *testing.T) {
	link := http.Header{"Link": {`<https://` + domain + `/api/v2/logs?from=900b&take=100>; rel="next"`}}
	s := &tenant{t: t, answers: []answer{ok(`[{"log_id":"9009"}]`), {status: 200, body: `[{"log_id":"900a"},{"log_id":"900b"}]`, header: link}, ok(`[{"log_id":"900c"}]`), ok(`[]`)}}
	c := s.client()
	at := ""
	var seen []string
	for range 3 {
		logs, next, err := c.Logs(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		at = next
		for _, l := range logs {
			seen = append(seen, string(l))
		}
		seen = append(seen, next)
	}
	if diff := cmp.Diff([]string{`{"log_id":"9009"}`, `{"log_id":"900a"}`, `{"log_id":"900b"}`, "900b", `{"log_id":"900c"}`, "900c", "900c"}, seen); diff != "" {
		t.Error(diff)
	}
}

func TestTheEndsOfTheLogsAreSearchedFor(t *testing.T) {
	s := &tenant{t: t, answers: []answer{ok(`[{"_id":"900z"}]`), ok(`[]`), ok(`[]`)}}
	c := s.client()
	newest, err := c.NewestLog(t.Context())
	if err != nil || newest != "900z" {
		t.Errorf("newest: %q, %v", newest, err)
	}
	if newest, err = c.NewestLog(t.Context()); err != nil || newest != "" {
		t.Errorf("newest of none: %q, %v", newest, err)
	}
	if logs, next, err := c.Logs(t.Context(), ""); err != nil || len(logs) != 0 || next != "" {
		t.Errorf("all of none: %q, %q, %v", logs, next, err)
	}
}

func TestConfigSaysWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		config auth0.Config
		want   string
	}{
		{auth0.Config{}, "AUTH0_DOMAIN"},
		{auth0.Config{Domain: domain}, "AUTH0_CLIENT_ID"},
		{auth0.Config{Domain: domain, Credentials: auth0.Credentials{ClientID: "x"}}, "AUTH0_CLIENT_SECRET"},
		{auth0.Config{Domain: "https://" + domain, Credentials: auth0.Credentials{ClientID: "x", ClientSecret: "y"}}, "a host name alone"},
		{auth0.Config{Domain: domain + "/path", Credentials: auth0.Credentials{ClientID: "x", ClientSecret: "y"}}, "a host name alone"},
		{auth0.Config{Domain: "user@" + domain, Credentials: auth0.Credentials{ClientID: "x", ClientSecret: "y"}}, "a host name alone"},
	} {
		if _, err := auth0.New(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want …%s…", c.config, err, c.want)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	for _, v := range []any{
		auth0.Config{Credentials: auth0.Credentials{ClientSecret: secret}},
		auth0.TokenRequest{Credentials: auth0.Credentials{ClientSecret: secret}, User: &auth0.UserCredentials{Password: secret}},
		auth0.Token{AccessToken: secret},
	} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(format, v); strings.Contains(text, secret) {
				t.Errorf(format+" prints the secret", v)
			}
		}
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "a", auth0.Credentials{ClientSecret: secret}, "b", auth0.UserCredentials{Password: secret}, "c", auth0.Token{AccessToken: secret})
	if strings.Contains(log.String(), secret) {
		t.Errorf("a log prints the secret: %s", log.String())
	}
}

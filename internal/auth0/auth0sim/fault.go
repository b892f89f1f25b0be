package auth0sim

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is what goes wrong with some requests. It is chosen by the first that
// fits; a fault that has been used up fits none.
type Fault struct {
	// Method and Path say which requests; empty is any. Path is what the
	// escaped path begins with.
	Method, Path string
	// Skip is how many of them go well first, Times with how many it goes
	// wrong then. Default 0 and 1; below 0 with all.
	Skip, Times int

	// Delay holds the request back before anything is done.
	Delay time.Duration
	// Status is answered and nothing is done; Body and Header with it, where
	// they are not what the API says for itself. With 429 the reset is
	// Config.Now and Reset, by default a second.
	Status int
	Body   string
	Header http.Header
	Reset  time.Duration
	// Drop does what is asked and closes the connection instead of answering.
	Drop bool
}

// Inject lets something go wrong with requests to come.
func (t *Tenant) Inject(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, &f)
}

// Forget has nothing more go wrong.
func (t *Tenant) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = nil
}

// fault is what goes wrong with a request, nil where nothing does.
func (t *Tenant) fault(r *http.Request) *Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, f := range t.faults {
		if f.Method != "" && f.Method != r.Method || !strings.HasPrefix(r.URL.EscapedPath(), f.Path) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times--; f.Times == 0 {
			t.faults = slices.Delete(t.faults, i, i+1)
		}
		return f
	}
	return nil
}

// happen does what is wrong with a request around what would be served.
func (f *Fault) happen(t *Tenant, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	if f.Delay > 0 && !sleep(r.Context(), f.Delay) {
		return
	}
	switch {
	case f.Drop:
		serve(&lostAnswer{header: make(http.Header)}, r)
		panic(http.ErrAbortHandler)
	case f.Status > 0:
		f.answer(t, w)
	default:
		serve(w, r)
	}
}

func (f *Fault) answer(t *Tenant, w http.ResponseWriter) {
	if f.Status == http.StatusTooManyRequests {
		allowance{false, 1, 0, t.cfg.Now().Add(orDefault(f.Reset, time.Second))}.tell(w.Header())
	}
	maps.Copy(w.Header(), f.Header)
	if f.Body != "" {
		w.Header().Set("Content-Length", strconv.Itoa(len(f.Body)))
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte(f.Body)) // the caller has gone
		return
	}
	code := ""
	if f.Status == http.StatusTooManyRequests {
		code = "too_many_requests"
	}
	write(w, reply{}, &apiError{f.Status, http.StatusText(f.Status), code})
}

// lostAnswer is where an answer goes that nobody gets.
type lostAnswer struct{ header http.Header }

func (l *lostAnswer) Header() http.Header         { return l.header }
func (l *lostAnswer) Write(b []byte) (int, error) { return len(b), nil }
func (l *lostAnswer) WriteHeader(int)             {}

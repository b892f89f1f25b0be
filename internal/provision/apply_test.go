package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"net/http"
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

	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// applied plans a file and applies it, with a folder for secrets.
func applied(t *testing.T, s *sim, api API, dir, text string, change ...func(*Applier)) error {
	t.Helper()
	m, err := ReadMachines([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := (&Planner{API: api}).Plan(t.Context(), m)
	if err != nil {
		return err
	}
	secrets, err := OpenSecretsDir(dir, s.tenant.Domain())
	if err != nil {
		t.Fatal(err)
	}
	defer secrets.Close()
	a := &Applier{API: api, Secrets: secrets}
	for _, f := range change {
		f(a)
	}
	return a.Apply(t.Context(), plan)
}

// secretFiles are the files of secrets in some folders, by name.
func secretFiles(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() == secretsLock {
				continue
			}
			info, err := e.Info()
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := files[e.Name()]; twice {
				t.Errorf("%s is there twice", e.Name())
			}
			files[e.Name()] = strings.TrimSpace(string(text))
		}
	}
	return files
}

// asked asks the tenant for a token, and reports whether it gets one.
func (s *sim) asked(c auth0.Credentials, audience string, user *auth0.UserCredentials) bool {
	s.t.Helper()
	client, err := auth0.New(auth0.Config{Domain: s.tenant.Domain(), Credentials: c, Transport: &wire{sim: s, by: map[string]int{}, statuses: map[int]int{}}})
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = client.RequestToken(s.t.Context(), auth0.TokenRequest{Credentials: c, Audience: audience, User: user})
	return err == nil
}

// keyed are the applications by their keys, each once, without a claim.
func (s *sim) keyed() map[string]appDocument {
	s.t.Helper()
	found := map[string]appDocument{}
	for page := 0; ; page++ {
		var apps []appDocument
		s.admin("GET", fmt.Sprintf("clients?per_page=100&page=%d", page), nil, &apps)
		for _, a := range apps {
			key := a.Metadata[MarkKey]
			if key == "" {
				continue
			}
			if _, twin := found[key]; twin {
				s.t.Errorf("%s has a twin", key)
			}
			if a.Metadata[markClaim] != "" {
				s.t.Errorf("%s has a claim", key)
			}
			found[key] = a
		}
		if len(apps) < 100 {
			return found
		}
	}
}

type appDocument struct {
	ID       string            `json:"client_id"`
	Name     string            `json:"name"`
	Metadata map[string]string `json:"client_metadata"`
}

// wantedState is what a tenant has after wanted was applied, without ids.
func (s *sim) wantedState() map[string]any {
	s.t.Helper()
	state := map[string]any{}
	for key, a := range s.keyed() {
		delete(a.Metadata, markRequest)
		var grants []struct {
			Audience string   `json:"audience"`
			Scope    []string `json:"scope"`
			ID       string   `json:"id"`
		}
		s.admin("GET", "client-grants?client_id="+a.ID, nil, &grants)
		var of []string
		for _, g := range grants {
			var orgs []struct{ Name string }
			s.admin("GET", "client-grants/"+g.ID+"/organizations", nil, &orgs)
			of = append(of, fmt.Sprint(g.Audience, g.Scope, orgs))
		}
		slices.Sort(of)
		state["app "+key] = []any{a.Name, a.Metadata, of}
	}
	for _, email := range []string{"nightly@example.com", "hourly@example.com"} {
		var users []map[string]any
		s.admin("GET", "users-by-email?email="+email, nil, &users)
		for _, u := range users {
			id, _ := u["user_id"].(string)
			app, _ := u["app_metadata"].(map[string]any)
			delete(app, markRequest)
			var roles, permissions []map[string]any
			s.admin("GET", "users/"+url.PathEscape(id)+"/roles", nil, &roles)
			s.admin("GET", "users/"+url.PathEscape(id)+"/permissions", nil, &permissions)
			state["user "+id] = []any{u["username"], u["blocked"], app, len(roles), len(permissions)}
		}
	}
	var roles []map[string]any
	s.admin("GET", "roles", nil, &roles)
	for _, r := range roles {
		delete(r, "id")
	}
	state["roles"] = roles
	return state
}

// passwords is an application by which users sign in.
func (s *sim) passwords() auth0.Credentials {
	s.t.Helper()
	var c struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	s.admin("POST", "clients", map[string]any{"name": "door", "grant_types": []string{"password", "http://auth0.com/oauth/grant-type/password-realm"}}, &c)
	return auth0.Credentials{ClientID: c.ID, ClientSecret: c.Secret}
}

// works wants that each secret in the folders is in use and good.
func (s *sim) works(files map[string]string) {
	s.t.Helper()
	apps, door := s.keyed(), s.passwords()
	for name, secret := range files {
		switch {
		case strings.Contains(name, pendingMark):
			s.t.Errorf("%s is left", name)
		case strings.HasPrefix(name, "app-"):
			key := strings.TrimSuffix(strings.TrimPrefix(name, "app-"), ".secret")
			if !s.asked(auth0.Credentials{ClientID: apps[key].ID, ClientSecret: secret}, "https://ledger/", nil) {
				s.t.Errorf("%s opens nothing", name)
			}
		default:
			key := strings.TrimSuffix(strings.TrimPrefix(name, "user-"), ".password")
			s.admin("PATCH", "users/"+url.PathEscape(idOfKey(key)), map[string]any{"blocked": false}, nil)
			if !s.asked(door, "https://orders/", &auth0.UserCredentials{Username: key + "@example.com", Password: secret, Realm: defaultConnection}) {
				s.t.Errorf("%s opens nothing", name)
			}
		}
	}
}

func TestWhatIsAppliedIsSoAndIsNotAppliedTwice(t *testing.T) {
	s, file := wantedTenant(t)
	dir := filepath.Join(t.TempDir(), "a", "secrets")
	w, api := s.wire()
	var made []string
	if err := applied(t, s, api, dir, file, func(a *Applier) { a.OnMade = func(kind, key, _ string) { made = append(made, kind+" "+key) } }); err != nil {
		t.Fatal(err)
	}
	if plan := planned(t, api, file); !plan.Empty() {
		t.Errorf("afterwards is proposed: %q", lines(plan))
	}
	want := []string{"application loader", "role exporter", "user hourly"}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(made))); diff != "" {
		t.Error(diff)
	}
	files := secretFiles(t, dir)
	if len(files) != 2 || files["app-loader.secret"] == "" || files["user-hourly.password"] == "" {
		t.Errorf("the files are %d", len(files))
	}
	writes := w.writes()
	if err := applied(t, s, api, dir, file); err != nil {
		t.Fatal(err)
	}
	if n := w.writes() - writes; n != 0 {
		t.Errorf("the second time changes %d: %v", n, w.by)
	}
	s.works(files)
	if _, err := OpenSecretsDir(dir, "other.auth0.com"); err == nil || !strings.Contains(err.Error(), "is of the tenant") {
		t.Errorf("the folder of another tenant: %v", err)
	}
	mine, err := OpenSecretsDir(dir, s.tenant.Domain())
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	if _, err := OpenSecretsDir(dir, s.tenant.Domain()); err == nil || !strings.Contains(err.Error(), "another apply uses") {
		t.Errorf("a folder that is in use: %v", err)
	}
}

// writes counts the calls that change something.
func (w *wire) writes() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for call, times := range w.by {
		if !strings.HasPrefix(call, "GET ") {
			n += times
		}
	}
	return n
}

// of counts the calls of a method.
func (w *wire) of(method string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for call, times := range w.by {
		if strings.HasPrefix(call, method+" ") {
			n += times
		}
	}
	return n
}

// A process that is killed at any call, before it arrives or after it is done, has
// left what the next one goes on with: the end is the same, and every secret is good.
func TestAnApplyThatIsKilledAnywhereIsGoneOnWith(t *testing.T) {
	var want map[string]any
	synctest.Test(t, func(t *testing.T) {
		s, file := wantedTenant(t)
		_, api := s.wire()
		if err := applied(t, s, api, t.TempDir(), file); err != nil {
			t.Fatal(err)
		}
		want = s.wantedState()
	})
	kills := 0
	for _, before := range []bool{true, false} {
		for at, died := 1, true; died; at++ {
			synctest.Test(t, func(t *testing.T) {
				s, file := wantedTenant(t)
				dir, left := t.TempDir(), t.TempDir()
				w, api := s.wire()
				w.killAt, w.before, w.atDeath = at, before, func() { copyFiles(t, dir, left) }
				err := applied(t, s, api, dir, file)
				if died = w.calls >= at; !died {
					if err != nil {
						t.Errorf("nothing killed it: %v", err)
					}
					return
				}
				kills++
				_, api = s.wire()
				if err := applied(t, s, api, left, file); err != nil {
					t.Fatalf("killed at call %d (before: %t): %v", at, before, err)
				}
				if plan := planned(t, api, file); !plan.Empty() {
					t.Errorf("killed at call %d (before: %t): afterwards is proposed: %q", at, before, lines(plan))
				}
				if diff := cmp.Diff(want, s.wantedState()); diff != "" {
					t.Errorf("killed at call %d (before: %t): %s", at, before, diff)
				}
				files := secretFiles(t, left)
				if len(files) != 2 {
					t.Errorf("killed at call %d (before: %t): %d secrets", at, before, len(files))
				}
				s.works(files)
			})
			if t.Failed() {
				t.Fatal("the others are not tried")
			}
		}
	}
	t.Logf("killed at %d places", kills)
}

// copyFiles copies what a process that dies now leaves behind. Its other
// goroutines go on meanwhile: a file that is given its name between the listing
// and the reading is there under neither, so the copy begins again.
func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	texts, err := readFiles(from)
	for errors.Is(err, fs.ErrNotExist) {
		texts, err = readFiles(from)
	}
	if err != nil {
		t.Error(err)
	}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(to, name), text, 0o600); err != nil {
			t.Error(err)
		}
	}
}

func readFiles(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	texts := map[string][]byte{}
	for _, e := range entries {
		if texts[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// An answer that is lost, or a server that breaks, is no reason to begin again.
func TestLostAnswersOfAnApplyAreResolved(t *testing.T) {
	usual, file := wantedTenant(t)
	w, api := usual.wire()
	if err := applied(t, usual, api, t.TempDir(), file); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []auth0sim.Fault{{Drop: true}, {Status: http.StatusServiceUnavailable}} {
		for _, method := range []string{"GET", "POST", "PATCH", "DELETE"} {
			for skip := range w.of(method) {
				synctest.Test(t, func(t *testing.T) {
					s, file := wantedTenant(t)
					fault.Method, fault.Path, fault.Skip = method, "/api/v2/", skip
					s.tenant.Inject(fault)
					_, api := s.wire()
					dir := t.TempDir()
					if err := applied(t, s, api, dir, file); err != nil {
						t.Errorf("%s %d, %+v: %v", method, skip, fault, err)
					}
					if plan := planned(t, api, file); !plan.Empty() {
						t.Errorf("%s %d, %+v: afterwards is proposed: %q", method, skip, fault, lines(plan))
					}
					s.works(secretFiles(t, dir))
				})
			}
		}
	}
}

// crowd is a file of applications and users, all to be made.
func crowd(apps, users int) string {
	var b strings.Builder
	b.WriteString("version: 1\nroles: [{name: crew}]\napplications:\n")
	for i := range apps {
		fmt.Fprintf(&b, "  - {key: app%d, name: same, owner: crew, grants: [{audience: https://ledger/, scopes: [read]}]}\n", i)
	}
	b.WriteString([]string{"users: []\n", "users:\n"}[min(users, 1)])
	for i := range users {
		fmt.Fprintf(&b, "  - {key: user%d, email: user%d@example.com, roles: [crew]}\n", i, i)
	}
	return b.String()
}

// Two applies at once, each with a client and a folder of its own, make no twin,
// however their calls fall between each other, and though one is killed.
func TestTwoAppliesAtOnceMakeNoTwins(t *testing.T) {
	rounds, both := 150, 0
	if testing.Short() {
		rounds = 20
	}
	for seed := range uint64(rounds) {
		synctest.Test(t, func(t *testing.T) {
			s := newSim(t, func(c *auth0sim.Config) { c.Seed = seed })
			s.anAPI("https://ledger/", "read")
			s.anAPI("https://orders/", "read")
			dirs := []string{t.TempDir(), t.TempDir()}
			var all sync.WaitGroup
			errs := make([]error, 2)
			for i := range 2 {
				r := rand.New(rand.NewPCG(seed, uint64(i)))
				w, api := s.wire()
				if i == 1 && seed%3 == 0 {
					w.killAt, w.before = 8+r.IntN(40), r.IntN(2) == 0
				}
				w.drawn(r)
				all.Go(func() {
					errs[i] = applied(t, s, api, dirs[i], crowd(4, 3))
					if w.killAt > 0 && w.calls >= w.killAt { // and is run again, while the other may still run
						_, api := s.wire()
						errs[i] = applied(t, s, api, dirs[i], crowd(4, 3))
					}
				})
			}
			all.Wait()
			for i, err := range errs {
				if err != nil {
					t.Errorf("seed %d: apply %d: %v", seed, i, err)
				}
			}
			if n := len(s.keyed()); n != 4 {
				t.Errorf("seed %d: %d applications", seed, n)
			}
			_, api := s.wire()
			if plan := planned(t, api, crowd(4, 3)); !plan.Empty() {
				t.Errorf("seed %d: afterwards is proposed: %q", seed, lines(plan))
			}
			files := secretFiles(t, dirs...)
			if len(files) != 7 {
				t.Errorf("seed %d: %d secrets: %v", seed, len(files), sortedNames(files))
			}
			s.works(files)
			if a, b := len(secretFiles(t, dirs[0])), len(secretFiles(t, dirs[1])); a > 0 && b > 0 {
				both++
			}
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("in %d of %d rounds both made something", both, rounds)
	if both < rounds/4 {
		t.Errorf("in %d of %d rounds alone they met", both, rounds)
	}
}

// drawn has calls take drawn times, so that they fall between those of others.
func (w *wire) drawn(r *rand.Rand) {
	var mu sync.Mutex
	w.order = func() {
		mu.Lock()
		d := time.Duration(r.IntN(5)) * time.Duration(r.IntN(1000)) * time.Millisecond
		mu.Unlock()
		<-time.After(d)
	}
}

// Two applies at once that change, give and take away what there is end as one does.
func TestTwoAppliesAtOnceChangeAsOneDoes(t *testing.T) {
	s, file := wantedTenant(t)
	_, api := s.wire()
	if err := applied(t, s, api, t.TempDir(), file); err != nil {
		t.Fatal(err)
	}
	want := s.wantedState()
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			s, file := wantedTenant(t)
			dirs := []string{t.TempDir(), t.TempDir()}
			var all sync.WaitGroup
			for i := range 2 {
				w, api := s.wire()
				w.drawn(rand.New(rand.NewPCG(seed, uint64(i))))
				all.Go(func() {
					if err := applied(t, s, api, dirs[i], file); err != nil {
						t.Errorf("seed %d: apply %d: %v", seed, i, err)
					}
				})
			}
			all.Wait()
			if diff := cmp.Diff(want, s.wantedState()); diff != "" {
				t.Errorf("seed %d: %s", seed, diff)
			}
			s.works(secretFiles(t, dirs...))
		})
	}
}

// What an apply has left that never comes back is waited for, and then done away
// with.
func TestAClaimOfADeadApplyIsOutwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t)
		s.anAPI("https://ledger/", "read")
		dead := s.app("same", map[string]any{MarkKey: "app0", markClaim: "open", markRequest: "of another"})
		_, api := s.wire()
		dir := t.TempDir()
		begun := time.Now()
		if err := applied(t, s, api, dir, crowd(2, 0)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < defaultPatience || took > defaultPatience+time.Minute {
			t.Errorf("it waited %s, want %s", took, defaultPatience)
		}
		apps := s.keyed()
		if len(apps) != 2 || apps["app0"].ID == dead {
			t.Errorf("there are %+v", apps)
		}
		s.works(secretFiles(t, dir))
		// Beside one that serves, nothing is waited for.
		s.app("same", map[string]any{MarkKey: "app1", markClaim: "open", markRequest: "came late"})
		begun = time.Now()
		if err := applied(t, s, api, dir, crowd(2, 0)); err != nil || time.Since(begun) > time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		if n := len(s.keyed()); n != 2 {
			t.Errorf("there are %d", n)
		}
	})
}

// laggingAPI does not show applications of others in some lists.
type laggingAPI struct {
	API
	mu    sync.Mutex // guards what follows
	lists int        // that are still blind
	own   []string
}

func (l *laggingAPI) Post(ctx context.Context, path []string, body any) (json.RawMessage, error) {
	raw, err := l.API.Post(ctx, path, body)
	var app appDocument
	if path[0] == "clients" && json.Unmarshal(raw, &app) == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.own = append(l.own, app.ID)
	}
	return raw, err
}

func (l *laggingAPI) List(ctx context.Context, path []string, key string, query url.Values) iter.Seq2[json.RawMessage, error] {
	l.mu.Lock()
	blind := path[0] == "clients" && l.lists > 0
	if path[0] == "clients" {
		l.lists--
	}
	own := slices.Clone(l.own)
	l.mu.Unlock()
	return func(yield func(json.RawMessage, error) bool) {
		for raw, err := range l.API.List(ctx, path, key, query) {
			var app appDocument
			if blind && json.Unmarshal(raw, &app) == nil && !slices.Contains(own, app.ID) {
				continue
			}
			if !yield(raw, err) {
				return
			}
		}
	}
}

// Nothing promises that a list shows what was made just before it. A twin that was
// made so is seen at the end, and goes.
func TestATwinThatNoListHasShownGoes(t *testing.T) {
	s := newSim(t)
	s.anAPI("https://ledger/", "read")
	_, api := s.wire()
	first, second := t.TempDir(), t.TempDir()
	if err := applied(t, s, api, first, crowd(3, 0)); err != nil {
		t.Fatal(err)
	}
	before := s.keyed()
	if err := applied(t, s, &laggingAPI{API: api, lists: 2}, second, crowd(3, 0)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, s.keyed()); diff != "" {
		t.Errorf("the ones that served are others: %s", diff)
	}
	if files := secretFiles(t, second); len(files) != 0 {
		t.Errorf("there are secrets of nothing: %v", sortedNames(files))
	}
	s.works(secretFiles(t, first))
}

// A POST whose answer is lost may be done late, when it was made again already: that
// one has a claim, and goes with the next apply.
func TestAPostThatComesLateHarmsNobody(t *testing.T) {
	s := newSim(t)
	s.anAPI("https://ledger/", "read")
	w, api := s.wire()
	dir := t.TempDir()
	var late *http.Request
	w.lose = func(r *http.Request) bool {
		if late != nil || r.Method != http.MethodPost || r.URL.Path != "/api/v2/clients" {
			return false
		}
		late = r
		return true
	}
	if err := applied(t, s, api, dir, crowd(1, 0)); err != nil {
		t.Fatal(err)
	}
	response, err := w.serve(late)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := lines(planned(t, api, crowd(1, 0))); !slices.Equal(got, []string{"leftover app0"}) {
		t.Errorf("it proposes %q", got)
	}
	if err := applied(t, s, api, dir, crowd(1, 0)); err != nil || len(s.keyed()) != 1 {
		t.Errorf("%v, there are %v", err, s.keyed())
	}
	s.works(secretFiles(t, dir))
}

// A thousand users and applications under two calls a second meet a handful of
// 429s.
func TestAThousandAreAppliedAtTheTenantsRate(t *testing.T) {
	apps, users := 300, 1000
	if testing.Short() {
		apps, users = 60, 60
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, func(c *auth0sim.Config) {
			c.ManagementLimit = auth0sim.Limit{PerSecond: 2, Burst: 2}
			c.SearchLag = 3 * time.Second
		})
		s.slowly("POST", "resource-servers", map[string]any{"identifier": "https://ledger/", "scopes": []map[string]string{{"value": "read"}}})
		w, api := s.wire()
		dir := t.TempDir()
		file := crowd(apps, users)
		begun := time.Now()
		if err := applied(t, s, api, dir, file); err != nil {
			t.Fatal(err)
		}
		took := time.Since(begun)
		t.Logf("%d applications and %d users: %d calls in %s, %d of them 429", apps, users, w.calls, took.Round(time.Second), w.statuses[http.StatusTooManyRequests])
		if n := w.statuses[http.StatusTooManyRequests]; n > 5 {
			t.Errorf("%d calls were refused", n)
		}
		if fastest := time.Duration(w.calls) * time.Second / 2; took > fastest*11/10 {
			t.Errorf("it took %s, and %s would do", took, fastest)
		}
		if n := len(secretFiles(t, dir)); n != apps+users {
			t.Errorf("%d secrets", n)
		}
		before := w.writes()
		if err := applied(t, s, api, dir, file); err != nil || w.writes() != before {
			t.Errorf("the second time changes %d: %v", w.writes()-before, err)
		}
	})
}

// slowly calls as an administrator where the tenant has a limit.
func (s *sim) slowly(method, path string, body any) {
	s.t.Helper()
	<-time.After(2 * time.Second)
	s.admin(method, path, body, nil)
	<-time.After(2 * time.Second)
}

func TestWhatIsGoneFromTheFileIsDeletedWhenToldTo(t *testing.T) {
	s := newSim(t)
	s.app("kept", map[string]any{MarkKey: "kept"})
	gone := s.app("gone", map[string]any{MarkKey: "gone"})
	user := s.user("gone@example.com", map[string]any{"programmatic": true, MarkKey: "gone"})
	_, api := s.wire()
	file := "version: 1\napplications: [{key: kept}]\nusers: []\n"
	if err := applied(t, s, api, t.TempDir(), file); err != nil || len(s.keyed()) != 2 {
		t.Fatalf("%v: %v", err, s.keyed())
	}
	var kept []string
	keepApp := func(b *AppBackup) error { app, err := b.Subject(); kept = append(kept, app.ID); return err }
	refuse := func(*UserBackup) error { return fs.ErrPermission }
	err := applied(t, s, api, t.TempDir(), file, func(a *Applier) { a.Delete, a.KeepApp, a.KeepUser = true, keepApp, refuse })
	if err == nil || !strings.Contains(err.Error(), "user gone: user "+user+" is not deleted: permission denied") {
		t.Errorf("without a backup: %v", err)
	}
	if diff := cmp.Diff([]string{gone}, kept); diff != "" || len(s.keyed()) != 1 {
		t.Errorf("kept %s", diff)
	}
	if got := lines(planned(t, api, file)); !slices.Equal(got, []string{"delete user gone"}) {
		t.Errorf("left is %q", got)
	}
}

func TestAUserWhoseAddressIsTakenIsNotMade(t *testing.T) {
	s := newSim(t)
	s.user("user0@example.com", map[string]any{})
	s.anAPI("https://ledger/", "read")
	_, api := s.wire()
	dir := t.TempDir()
	err := applied(t, s, api, dir, crowd(1, 2))
	if err == nil || !strings.Contains(err.Error(), "user user0: ") || !strings.Contains(err.Error(), "name that one with adopt") || strings.Contains(err.Error(), "user1") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"app-app0.secret", "user-user1.password"}, sortedNames(secretFiles(t, dir))); diff != "" {
		t.Error(diff)
	}
	raw, _ := json.Marshal(err.Error())
	for _, secret := range secretFiles(t, dir) {
		if strings.Contains(string(raw), secret) {
			t.Error("a secret is in the error")
		}
	}
	writeSecret := filepath.Join(dir, "app-app1.secret")
	if err := os.WriteFile(writeSecret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := applied(t, s, api, dir, crowd(2, 0)); err == nil || !strings.Contains(err.Error(), "move it away") || len(s.keyed()) != 1 {
		t.Errorf("over another's secret: %v", err)
	}
}

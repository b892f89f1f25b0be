package provision

import (
	"errors"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

const importedInto = "Username-Password-Authentication"

// runImport imports one record, over a way that harm may harm, and answers what became
// of it and the roles that the user has then.
func (s *sim) runImport(dir, record string, harm func(*wire)) (ImportResult, []string) {
	s.t.Helper()
	records, err := ReadUserRecords([]byte("["+record+"]"), importedInto)
	if err != nil {
		s.t.Fatal(err)
	}
	folder, err := OpenPasswordFolder(dir, s.tenant.Domain())
	if err != nil {
		s.t.Fatal(err)
	}
	defer folder.Close()
	w, api := s.wire()
	imports := &UserImport{Users: Users{API: api}, Passwords: folder}
	plan, err := imports.Plan(s.t.Context(), records)
	if err != nil {
		s.t.Fatal(err)
	}
	if harm != nil {
		harm(w)
	}
	var result ImportResult
	if err := imports.Run(s.t.Context(), plan, func(r ImportResult) { result = r }); err != nil {
		s.t.Fatal(err)
	}
	return result, s.rolesOfBoss()
}

// rolesOfBoss are those of the user of importedBoss, where there is one.
func (s *sim) rolesOfBoss() (names []string) {
	s.t.Helper()
	_, api := s.wire()
	raws, err := collect(s.t.Context(), api, []string{"users", "auth0|boss", "roles"}, "roles", nil)
	if err != nil && !errors.Is(err, ErrNotFound) {
		s.t.Fatal(err)
	}
	for _, raw := range raws {
		role, err := readRole(raw)
		if err != nil {
			s.t.Fatal(err)
		}
		names = append(names, role.Name)
	}
	return names
}

// killedBefore kills at the next call, which does not arrive; killedAfter when it is done.
func killedBefore(w *wire) { w.before, w.killAt = true, w.calls+1 }
func killedAfter(w *wire)  { w.killAt = w.calls + 1 }

const importedBoss = `{"user_id": "boss", "email": "job@example.com", "roles": ["admin"]}`

// passwordFiles are the names of files in a folder, but for whose it is.
func passwordFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name() != folderTenant {
			names = append(names, f.Name())
		}
	}
	return names
}

// What a run that was cut short has left says nothing of who has the id.
func TestAnImportThatGoesOnGivesNothingToAUserOfOthers(t *testing.T) {
	others := map[string]map[string]any{
		"a person":                   {"email": "boss@example.com"},
		"a person of that address":   {"email": "job@example.com"},
		"a programmatic user":        {"email": "job@example.com", "app_metadata": map[string]any{"programmatic": true}},
		"one with another's request": {"email": "job@example.com", "app_metadata": map[string]any{"programmatic": true, markRequest: "import-0"}},
	}
	for who, members := range others {
		for when, lost := range map[string]func(*sim, string) ImportResult{
			"goes on": func(s *sim, dir string) ImportResult {
				s.other(members)
				r, _ := s.runImport(dir, importedBoss, nil)
				return r
			},
			"loses an answer": func(s *sim, dir string) ImportResult {
				made := false
				r, _ := s.runImport(dir, importedBoss, func(w *wire) {
					w.lose = func(r *http.Request) bool { // the first POST, after which the other is made
						if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/users") || made {
							return false
						}
						made = true
						s.other(members)
						return true
					}
				})
				return r
			},
		} {
			inBubble := func(t *testing.T) {
				t.Helper()
				s, dir := newSim(t), t.TempDir()
				s.admin(http.MethodPost, "roles", map[string]any{"name": "admin"}, nil)
				if when == "goes on" {
					s.runImport(dir, importedBoss, killedBefore)
					if left := passwordFiles(t, dir); len(left) != 1 || !strings.HasSuffix(left[0], ".part") {
						t.Fatalf("a run that was killed left %q", left)
					}
				}
				r := lost(s, dir)
				if r.Outcome != ImportDiffers || r.PasswordFile != "" {
					t.Errorf("got %+v, want that it differs, and no password", r)
				}
				if roles := s.rolesOfBoss(); len(roles) > 0 {
					t.Errorf("it was given %q", roles)
				}
				if left := passwordFiles(t, dir); len(left) > 0 {
					t.Errorf("passwords are left that open nothing: %q", left)
				}
			}
			t.Run(who+", "+when, func(t *testing.T) { synctest.Test(t, inBubble) })
		}
	}
}

// other makes the user boss as others do.
func (s *sim) other(members map[string]any) {
	s.t.Helper()
	body := map[string]any{"connection": importedInto, "user_id": "boss", "password": "Xx1!aaaaaaaaBBBB"}
	maps.Copy(body, members)
	s.admin(http.MethodPost, "users", body, nil)
}

func TestAnImportGoesOnWithItsOwnUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := newSim(t), t.TempDir()
		s.admin(http.MethodPost, "roles", map[string]any{"name": "admin"}, nil)
		s.runImport(dir, importedBoss, killedAfter)
		r, roles := s.runImport(dir, importedBoss, nil)
		if r.Outcome != ImportCompleted || !slices.Equal(roles, []string{"admin"}) || !strings.HasSuffix(r.PasswordFile, ".password") {
			t.Errorf("got %+v with the roles %q, want it completed", r, roles)
		}
		if r, _ := s.runImport(dir, importedBoss, nil); r.Outcome != ImportSame {
			t.Errorf("again: %+v", r)
		}
	})
}

// Its password is the only one there is: it stays until somebody has decided.
func TestAnImportKeepsThePasswordOfAUserWhoseMarkWasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := newSim(t), t.TempDir()
		s.admin(http.MethodPost, "roles", map[string]any{"name": "admin"}, nil)
		s.runImport(dir, importedBoss, killedAfter)
		s.admin(http.MethodPatch, "users/auth0%7Cboss", map[string]any{"app_metadata": map[string]any{"programmatic": nil}}, nil)
		r, roles := s.runImport(dir, importedBoss, nil)
		if r.Outcome != ImportDiffers || len(roles) > 0 || len(passwordFiles(t, dir)) != 1 {
			t.Errorf("got %+v with the roles %q and %q", r, roles, passwordFiles(t, dir))
		}
	})
}

// A POST that was lost before may arrive between two calls of the run that goes on.
func TestAnImportKnowsItsOwnRequestThatCameLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dir := newSim(t), t.TempDir()
		s.admin(http.MethodPost, "roles", map[string]any{"name": "admin"}, nil)
		s.runImport(dir, importedBoss, killedBefore)
		r, roles := s.runImport(dir, importedBoss, func(w *wire) {
			posts := 0
			w.lose = func(r *http.Request) bool {
				if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/users") {
					return false
				}
				if posts++; posts == 1 { // it comes twice: once now, and once as the other
					body, err := r.GetBody()
					if err != nil {
						t.Error(err)
						return false
					}
					late := r.Clone(r.Context())
					late.Body = body
					answer, err := w.serve(late)
					if err != nil {
						t.Error(err)
						return false
					}
					_ = answer.Body.Close()
				}
				return false
			}
		})
		if r.Outcome != ImportMade || !slices.Equal(roles, []string{"admin"}) || !strings.HasSuffix(r.PasswordFile, ".password") {
			t.Errorf("got %+v with the roles %q, want it made", r, roles)
		}
	})
}

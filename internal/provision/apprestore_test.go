package provision

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
)

// besides runs something before the first POST of an application, and after it.
type besides struct {
	API
	before, after func()
}

func (b *besides) Post(ctx context.Context, path []string, body any) (json.RawMessage, error) {
	if len(path) != 1 || path[0] != "clients" {
		return b.API.Post(ctx, path, body)
	}
	if do := b.before; do != nil {
		b.before = nil
		do()
	}
	raw, err := b.API.Post(ctx, path, body)
	if do := b.after; do != nil {
		b.after = nil
		do()
	}
	return raw, err
}

func TestTwoRestoresOfABackupMakeOneApplication(t *testing.T) {
	for name, run := range map[string]func(s *sim, b *AppBackup) []string{
		"one is through before the other posts": func(s *sim, b *AppBackup) (ids []string) {
			_, api := s.wire()
			hook := &besides{API: api, before: func() { ids = append(ids, s.restored(api, b)) }}
			return append(ids, s.restored(hook, b))
		},
		"both have posted before either looks": func(s *sim, b *AppBackup) []string {
			_, api := s.wire()
			at, on := make(chan struct{}), make(chan struct{})
			ids := make(chan string, 2)
			meet := func() { at <- struct{}{}; <-on }
			for range 2 {
				go func() { ids <- s.restored(&besides{API: api, before: meet, after: meet}, b) }()
			}
			for range 2 { // before the POSTs, and after them
				<-at
				<-at
				on <- struct{}{}
				on <- struct{}{}
			}
			return []string{<-ids, <-ids}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSim(t)
				s.anAPI("https://r.example", "read:a")
				_, api := s.wire()
				apps := &Apps{api}
				app, err := apps.Create(t.Context(), NewApp{Name: "twin", Grants: []Permission{{API: "https://r.example", Name: "read:a"}}})
				if err != nil {
					t.Fatal(err)
				}
				var backup AppBackup
				if err := apps.Delete(t.Context(), app.ID, func(b *AppBackup) error { backup = *b; return nil }); err != nil {
					t.Fatal(err)
				}
				ids := run(s, &backup)
				list, err := apps.allMarked(t.Context(), backup.mark())
				if err != nil || len(list) != 1 {
					t.Fatalf("there are %v, %v, want one", list, err)
				}
				if ids[0] != list[0].ID || ids[1] != list[0].ID {
					t.Errorf("restored %q, and %s is there", ids, list[0].ID)
				}
				if grants, err := apps.Grants(t.Context(), list[0].ID); err != nil || len(grants) != 1 {
					t.Errorf("it has %d grants, %v", len(grants), err)
				}
			})
		})
	}
}

// restored runs a restore and answers what it made or found.
func (s *sim) restored(api API, b *AppBackup) string {
	s.t.Helper()
	r, err := (&Apps{api}).Restore(s.t.Context(), b, AppRestore{})
	if err != nil {
		s.t.Error(err)
	}
	return r.App.ID
}

package provision

import (
	"crypto/rand"
	"crypto/rsa"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestARotationIsNotFinishedOntoAKeyThatHasExpired(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	const past, future = "2026-05-01T12:00:00.000Z", "2026-05-01T12:00:01.000Z"
	for name, c := range map[string]struct {
		old, recent Credential
		stays, says string
	}{
		"the newest has expired":              {Credential{Accepted: true}, Credential{Accepted: true, Expires: past}, "old", ""},
		"the newest will expire":              {Credential{Accepted: true}, Credential{Accepted: true, Expires: future}, "recent", ""},
		"the oldest has expired":              {Credential{Accepted: true, Expires: past}, Credential{Accepted: true}, "recent", ""},
		"both have expired":                   {Credential{Accepted: true, Expires: past}, Credential{Accepted: true, Expires: past}, "recent", ""},
		"the newest was never accepted":       {Credential{Accepted: true}, Credential{Expires: past}, "old", ""},
		"the newest is not accepted yet":      {Credential{Accepted: true}, Credential{Expires: future}, "", "is not accepted yet"},
		"the good one is not accepted":        {Credential{}, Credential{Accepted: true, Expires: past}, "", "has expired, and old"},
		"the good one is not accepted, newer": {Credential{Accepted: true, Expires: past}, Credential{}, "", "is not accepted yet"},
	} {
		c.old.ID, c.old.Created, c.recent.ID, c.recent.Created = "old", "2026-01-01T00:00:00.000Z", "recent", "2026-02-01T00:00:00.000Z"
		stays, others, err := Finishing([]Credential{c.old, c.recent}, now)
		switch {
		case c.says != "":
			if err == nil || !strings.Contains(err.Error(), c.says) || len(others) > 0 {
				t.Errorf("%s: %v goes, %v, want %q", name, others, err, c.says)
			}
		case err != nil || stays.ID != c.stays || len(others) != 1 || others[0].ID == c.stays:
			t.Errorf("%s: %s stays, %v goes, %v, want %s to stay", name, stays.ID, others, err, c.stays)
		}
	}
}

func TestKeysDoNotReplaceCertificates(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewKey(&private.PublicKey, "", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	s := newSim(t)
	w, api := s.wire()
	apps := &Apps{api}
	app, err := apps.Create(t.Context(), NewApp{Name: "mtls"})
	if err != nil {
		t.Fatal(err)
	}
	s.admin("PATCH", "clients/"+app.ID, map[string]any{
		"token_endpoint_auth_method": nil, "client_authentication_methods": map[string]any{"tls_client_auth": map[string]any{"credentials": []any{}}},
	}, nil)
	for name, do := range map[string]func() error{
		"add":    func() error { _, err := apps.AddKey(t.Context(), app.ID, key); return err },
		"finish": func() error { _, err := apps.FinishKeys(t.Context(), app.ID); return err },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), "authenticates by tls_client_auth") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if i := slices.IndexFunc([]string{"POST clients/…/credentials", "PATCH clients/…"}, func(call string) bool { return w.by[call] > 0 }); i >= 0 {
		t.Errorf("calls that change it: %v", w.by)
	}
}

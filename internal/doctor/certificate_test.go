package doctor

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/certificate/certificatetest"
)

func TestCertificatesAreJudgedBeforeTheyExpire(t *testing.T) {
	ca := certificatetest.New(t)
	s := settings(t)
	wantNote(t, look(t, Config{Settings: s}, "certificate"), StateSkip, "none")
	dir := t.TempDir()
	s.TLS.CertFile, s.TLS.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	wantNote(t, look(t, Config{Settings: s}, "certificate"), StateFail, "read certificate")

	until := time.Now().Add(12 * time.Hour)
	ca.Write(t, s.TLS.CertFile, s.TLS.KeyFile, until, "m2mwatch.example.com")
	for at, want := range map[time.Time]struct {
		state State
		found string
	}{
		until.Add(-time.Hour):      {StateWarn, "expires at"},
		until.Add(time.Hour):       {StateFail, "expired at"},
		until.Add(-26 * time.Hour): {StateFail, "not valid before"},
	} {
		r := look(t, Config{Settings: s, Now: func() time.Time { return at }}, "certificate")
		wantNote(t, r, want.state, want.found)
		if len(r.Notes) != 2 { // the other is that it comes without its chain
			t.Errorf("%+v", r.Notes)
		}
	}
}

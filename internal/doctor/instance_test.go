package doctor

import (
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestAnInstanceIsAskedHowItIs(t *testing.T) {
	s := settings(t)
	wantNote(t, look(t, Config{Settings: s}, "instance"), StateSkip, "none answers")

	i := &instance{ready: schemas.Readiness{Ready: true, Checks: []schemas.ReadyCheck{{Name: "nats", OK: true}}}}
	i.run(t, s)
	wantNote(t, look(t, Config{Settings: s}, "instance"), StateOK, "is ready")
	dead := uint64(3)
	i.status.Dead = &dead
	i.status.CorrelateLag = 1000
	wantNote(t, look(t, Config{Settings: s}, "instance"), StateWarn, "3 records could not be read")
	wantNote(t, look(t, Config{Settings: s}, "instance"), StateWarn, "1000 s behind")
	i.ready = schemas.Readiness{Checks: []schemas.ReadyCheck{{Name: "nats_writing", Error: "write error"}}}
	wantNote(t, look(t, Config{Settings: s}, "instance"), StateFail, "nats_writing: write error")
}

func TestTenantsThatAreNotHeardOfAreTold(t *testing.T) {
	s := settings(t)
	at := func() time.Time { return now }
	wantNote(t, look(t, Config{Settings: s}, "tenants"), StateOK, "1 configured")
	i := &instance{}
	i.run(t, s)
	wantNote(t, look(t, Config{Settings: s, Now: at}, "tenants"), StateWarn, "acme: nothing was ever stored")
	i.events = []schemas.EventView{{Time: now.Add(-time.Hour)}}
	wantNote(t, look(t, Config{Settings: s, Now: at}, "tenants"), StateOK, "acme: the last event")
	i.events = []schemas.EventView{{Time: now.Add(-50 * time.Hour)}}
	wantNote(t, look(t, Config{Settings: s, Now: at}, "tenants"), StateWarn, "50h0m0s ago")
	pull := schemas.PullView{Tenant: "acme", CaughtUp: new(now.Add(-time.Minute))}
	i.status.Pulls = []schemas.PullView{pull}
	i.events = []schemas.EventView{{Time: now.Add(-time.Hour)}}
	wantNote(t, look(t, Config{Settings: s, Now: at}, "tenants"), StateOK, "acme: the last event")
	i.status.Pulls[0].CaughtUp = new(now.Add(-time.Hour))
	wantNote(t, look(t, Config{Settings: s, Now: at}, "tenants"), StateWarn, "acme: its live logs were last read to the end at 2026-11-27T11:00:00Z")
	i.status.Pulls[0] = pull
	i.status.Pulls[0].Missing = []schemas.PullMissing{{From: now.Add(-3 * time.Hour), To: now.Add(-2 * time.Hour)}}
	wantNote(t, look(t, Config{Settings: s, Now: at}, "tenants"), StateWarn, "acme: Auth0 had no logs left of 2026-11-27T09:00:00Z to 2026-11-27T10:00:00Z")
	i.status.Pulls[0].Reason, i.status.Pulls[0].Error, i.status.Pulls[0].Since = schemas.PullReasonScope, "403 Forbidden", &now
	wantNote(t, look(t, Config{Settings: s, Now: at}, "tenants"), StateFail, "acme: its logs cannot be pulled since 2026-11-27T12:00:00Z: 403 Forbidden")
	s.Tenants = nil
	wantNote(t, look(t, Config{Settings: s}, "tenants"), StateWarn, "every delivery is refused")
}

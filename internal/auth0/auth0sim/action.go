package auth0sim

import (
	"math/rand/v2"
	"time"
)

// kind is what sort of thing happens.
type kind uint8

const (
	kindToken          kind = iota // actor: machine
	kindTokenRefused               // actor: machine, from its own network
	kindGuess                      // actor: strange network; detail: 0 for a made-up client id, else 1 + machine
	kindRetired                    // actor: retired client
	kindLogin                      // actor: person, as in all below; detail: website
	kindCode                       // code exchanged
	kindSilent                     // silent authentication
	kindRefresh                    // refresh token exchanged
	kindLogout                     //
	kindUnknownUser                // login failed
	kindWrongPassword              // login failed
	kindManagementCall             // actor: machine
	kindDashboard                  // actor: person
	kindQuota                      // actor: machine
	kindLimit                      // actor: machine
	kindOdd                        // actor: website; detail: which oddity
)

// action is one thing that happens; each becomes one log.
type action struct {
	at     int64 // Unix milliseconds
	actor  int32
	detail uint32
	kind   kind
}

func (a *action) time() time.Time { return time.UnixMilli(a.at).UTC() }

// render writes the log of an action.
func (t *Tenant) render(dst []byte, r *rand.Rand, s *stamp, a *action) []byte {
	switch a.kind {
	case kindToken:
		return t.appendToken(dst, r, s, t.machines[a.actor])
	case kindTokenRefused:
		return t.appendTokenRefused(dst, r, s, t.machines[a.actor])
	case kindGuess:
		return t.appendGuess(dst, r, s, a)
	case kindRetired:
		return t.appendRetired(dst, r, s, a)
	case kindManagementCall:
		return t.appendManagementCall(dst, r, s, t.machines[a.actor])
	case kindDashboard:
		return t.appendDashboard(dst, r, s, &t.people[a.actor])
	case kindQuota, kindLimit:
		return t.appendNotice(dst, r, s, a)
	case kindOdd:
		return t.appendOdd(dst, r, s, a)
	default:
		return t.appendPersonal(dst, r, s, a)
	}
}

// visit adds what a person does in one visit to a website.
func (t *Tenant) visit(dst []action, r *rand.Rand, at time.Time, person int) []action {
	site := uint32(r.IntN(len(t.websites)))
	do := func(k kind, pause time.Duration) { // and then pause
		dst = append(dst, action{at.UnixMilli(), int32(person), site, k})
		at = at.Add(pause)
	}
	for chance(r, 0.1) {
		do(pick(r, []kind{kindWrongPassword, kindWrongPassword, kindUnknownUser}), between(r, 4*time.Second, 40*time.Second))
	}
	switch p := r.Float64(); {
	case p < 0.55:
		do(kindLogin, between(r, 150*time.Millisecond, 900*time.Millisecond))
		do(kindCode, between(r, 10*time.Minute, time.Hour))
	case p < 0.72:
		do(kindSilent, between(r, 150*time.Millisecond, 900*time.Millisecond))
		do(kindCode, between(r, 10*time.Minute, time.Hour))
	default:
		do(kindRefresh, between(r, 10*time.Minute, time.Hour))
	}
	for chance(r, 0.3) {
		do(kindRefresh, between(r, 10*time.Minute, time.Hour))
	}
	if chance(r, 0.15) {
		do(kindLogout, 0)
	}
	return dst
}

// guesses adds what somebody does who tries client ids from a strange network:
// made-up ones, or one that exists, over and over with wrong secrets. The
// story's client is left alone.
func (t *Tenant) guesses(dst []action, r *rand.Rand, at time.Time) []action {
	net := int32(r.IntN(len(t.strange)))
	known := chance(r, 0.25)
	target := uint32(1 + 1 + r.IntN(len(t.machines)-1))
	for range 2 + r.IntN(18) {
		a := action{at.UnixMilli(), net, 0, kindGuess}
		if known {
			a.detail = target
		}
		dst = append(dst, a)
		at = at.Add(between(r, 300*time.Millisecond, 30*time.Second))
	}
	return dst
}

// admins is how many of the people administer the tenant.
func (t *Tenant) admins() int { return min(5, len(t.people)) }

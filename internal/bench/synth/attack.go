package synth

import (
	"slices"
	"time"
)

// kind is something that ought to be found.
type kind struct {
	name string
	do   func(g *generator, name string)
}

// kinds are told by what they are. Each happens once in a history, or twice.
func kinds() []kind {
	return []kind{
		{"failure_burst", (*generator).failureBurst},
		{"credential_expired", (*generator).credentialExpired},
		{"guessing", (*generator).guessing},
		{"spraying", (*generator).spraying},
		{"id_tried", (*generator).idTried},
		{"retired_calling", (*generator).retiredCalling},
		{"old_secret_at_home", (*generator).oldSecretAtHome},
		{"old_secret_elsewhere", (*generator).oldSecretElsewhere},
		{"probing", (*generator).probing},
		{"user_guessing", (*generator).userGuessing},
		{"stolen_secret_new_network", (*generator).stolenNewNetwork},
		{"stolen_secret_new_country", (*generator).stolenNewCountry},
		{"new_runtime", (*generator).newRuntime},
		{"stolen_secret", (*generator).stolenSecret},
		{"new_audience", (*generator).newAudience},
		{"new_organizations", (*generator).newOrganizations},
		{"off_schedule", (*generator).offSchedule},
		{"dormant_woke", (*generator).dormantWoke},
		{"many_places", (*generator).manyPlaces},
		{"by_hand", (*generator).usedByHand},
		{"stolen_token", (*generator).stolenToken},
		{"orphan_token", (*generator).orphanToken},
		{"secret_read", (*generator).secretRead},
		{"secret_read_then_used", (*generator).secretReadThenUsed},
		{"destructive_burst", (*generator).destructiveBurst},
		{"privilege_escalation", (*generator).privilegeEscalation},
		{"credential_change", (*generator).credentialChange},
		{"blinding_stream", (*generator).blindingStream},
		{"shadow_client", (*generator).shadowClient},
		{"issuance_spike", (*generator).issuanceSpike},
		{"no_caching", (*generator).noCaching},
		{"quota_burn", (*generator).quotaBurn},
		{"rate_limited", (*generator).rateLimited},
		{"silent", (*generator).silent},
		{"stream_silent", (*generator).streamSilent},
		{"unknown_type", (*generator).unknownType},
	}
}

func (g *generator) attack() {
	for _, k := range kinds() {
		k.do(g, k.name)
		if g.chance(0.35) {
			k.do(g, k.name)
		}
	}
}

// What an exchange from a place, by a program or at a time that is new may be
// found by, each for its part.
var strangeUse = []string{"MI-08", "MI-09", "MI-10", "MI-11", "MI-19", "MI-21", "MI-22", "MI-27", "MI-14"}

// rules are the first ones and those of strange use.
func rules(first ...string) []string {
	all := first
	for _, r := range strangeUse {
		if !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	return all
}

const day = 24 * time.Hour

// warmUp is before when nothing happens: an identity is not known yet.
const warmUp = 8 * day

// margin is kept free before the quiet week, for what comes after something.
const margin = 2 * time.Hour

// window draws when something of about this length happens, in none of the first
// days and not in the quiet week. It may come out shorter.
func (g *generator) window(length time.Duration) (from, to time.Time) {
	quietFrom := g.from.Add(time.Duration(g.quiet) * 7 * day)
	quietTo := quietFrom.Add(7 * day)
	begin := min(warmUp, time.Duration(g.cfg.Days)*day/4)
	for {
		from = g.from.Add(begin + time.Duration(g.r.Float64()*float64(time.Duration(g.cfg.Days)*day-begin-time.Hour)))
		to = from.Add(length)
		if to.After(g.to) {
			to = g.to
		}
		if end := quietFrom.Add(-margin); from.Before(quietFrom) && to.After(end) {
			to = end
		}
		if (to.Before(quietFrom) || from.After(quietTo.Add(6*margin))) && to.After(from) {
			return from, to
		}
	}
}

// target picks a machine to which nothing happens yet, where there is one.
func (g *generator) target(suits func(*machine) bool) *machine {
	var free, suitable []*machine
	for _, m := range g.machines {
		if !m.until.IsZero() || !suits(m) {
			continue
		}
		suitable = append(suitable, m)
		if !m.busy {
			free = append(free, m)
		}
	}
	if len(free) == 0 {
		free = suitable
	}
	if len(free) == 0 { // of a small tenant: anything that asks for tokens
		free = g.machines
	}
	m := pick(g, free)
	m.busy = true
	return m
}

func steady(m *machine) bool {
	return !m.user && m.rate > 2 && (m.profile == service || m.profile == cron || m.profile == traffic)
}

func application(m *machine) bool { return steady(m) || m.profile == serverless || m.profile == ci }

func programmatic(m *machine) bool { return m.user && m.rate > 2 }

func manages(m *machine) bool { return m.profile == provisioner }

// known reports whether a machine has been seen for long enough to know what is
// usual for it.
func (g *generator) known(m *machine, at time.Time) bool {
	days := at.Sub(g.from).Hours() / 24
	rate := m.rate
	if m.week {
		rate *= 0.6
	}
	if m.profile == ci {
		rate *= 0.6
	}
	return days >= 7 && rate*days >= 25
}

// attacker is somebody's machine far away.
func (g *generator) attacker() (host, software) {
	return g.world.host(g.world.network(pick(g, strange), "")), g.tool(tools)
}

// moments are n times from first on, the first being the first.
func (g *generator) moments(first, to time.Time, n int) []time.Time {
	all := []time.Time{first}
	for range n - 1 {
		all = append(all, first.Add(time.Duration(g.r.Float64()*float64(to.Sub(first)))))
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// densest is how many of the moments lie within a span, at most.
func densest(all []time.Time, span time.Duration) int {
	most, from := 0, 0
	for i := range all {
		for all[i].Sub(all[from]) > span {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

func last(all []time.Time) time.Time { return all[len(all)-1] }

// client is any machine that is an application.
func (g *generator) client() *machine {
	m := pick(g, g.machines)
	for m.user {
		m = pick(g, g.machines)
	}
	return m
}

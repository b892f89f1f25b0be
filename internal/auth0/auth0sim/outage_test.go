package auth0sim

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// outageRule is "a working client started failing", by brute force; its
// fields switch conditions off, so that the tests see that each matters.
type outageRule struct {
	anyNetwork bool
	anyRatio   bool
}

// outages returns the clients that meet the rule: three refusals in 15 minutes
// with no success in between, from networks it had succeeded from, after at
// least 50 successes and less than 1 % failures in 7 days.
func (rule outageRule) outages(list []record) []string {
	byClient := make(map[string][]record)
	for _, r := range list {
		if (r.Type == "seccft" || r.Type == "feccft") && r.ClientID != nil {
			byClient[*r.ClientID] = append(byClient[*r.ClientID], r)
		}
	}
	var found []string
	for client, of := range byClient {
		if rule.outage(of) {
			found = append(found, client)
		}
	}
	slices.Sort(found)
	return found
}

func (rule outageRule) outage(of []record) bool {
	home := make(map[string]bool)
	var refused []record // in a row
	for _, r := range of {
		if r.Type == "seccft" {
			home[networkOf(r)] = true
			refused = nil
			continue
		}
		if !home[networkOf(r)] && !rule.anyNetwork {
			continue
		}
		refused = append(refused, r)
		if n := len(refused); n >= 3 && r.at.Sub(refused[n-3].at) <= 15*time.Minute && rule.worked(of, refused[n-3].at) {
			return true
		}
	}
	return false
}

func (rule outageRule) worked(of []record, until time.Time) bool {
	var good, bad float64
	for _, r := range of {
		if !r.at.Before(until) || r.at.Before(until.AddDate(0, 0, -7)) {
			continue
		}
		if r.Type == "seccft" {
			good++
		} else {
			bad++
		}
	}
	return good >= 50 && (rule.anyRatio || bad/(good+bad) < 0.01)
}

func networkOf(r record) string {
	ip := r.ClientIP
	if ip == nil {
		ip = r.IP
	}
	addr, err := netip.ParseAddr(*ip)
	if err != nil {
		return ""
	}
	bits := 24
	if addr.Is6() {
		bits = 48
	}
	return netip.PrefixFrom(addr, bits).Masked().String()
}

func TestHistoryHasNoOutageButTheStory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seed   uint64
		events int
	}{{0, 200_112}, {1, 200_112}, {2, 20_000}} {
		tenant := New(Config{Seed: c.seed})
		list := scan(t, tenant, c.events)
		if got := (outageRule{}).outages(list); len(got) > 0 {
			t.Errorf("%+v: outages of %v", c, got)
		}
		checkStoryClient(t, tenant.Story(), list)
		id, ip := tenant.Story().ClientID(), tenant.Story().machine.callers[0].ip
		for i := range 3 {
			list = append(list, record{Type: "feccft", ClientID: &id, IP: &ip, at: historyEnd.Add(time.Duration(i) * time.Second)})
		}
		if got := (outageRule{}).outages(list); !slices.Equal(got, []string{id}) {
			t.Errorf("%+v: outages with the story's are %v, want %s alone", c, got, id)
		}
	}
}

// checkStoryClient sees that the story's client has never failed nor been elsewhere.
func checkStoryClient(t *testing.T, story *Story, list []record) {
	t.Helper()
	tokens := 0
	for _, r := range list {
		if r.ClientID == nil || *r.ClientID != story.ClientID() {
			continue
		}
		tokens++
		if r.Type != "seccft" || networkOf(r) != story.Network() {
			t.Fatalf("story client has %s from %s", r.Type, networkOf(r))
		}
	}
	if want := 30 * story.TokensPerDay(); tokens != want {
		t.Errorf("story client has %d tokens in 30 days, want %d", tokens, want)
	}
}

// Without these the history would prove nothing about a rule that forgets a condition.
func TestHistoryTemptsRulesThatForgetACondition(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 2})
	list := scan(t, tenant, 200_112)
	flaky, _ := tenant.Client(flakyName)
	if got := (outageRule{anyRatio: true}).outages(list); !slices.Equal(got, []string{flaky.ID}) {
		t.Errorf("without the failure ratio: outages of %v, want %s alone", got, flaky.ID)
	}
	if got := (outageRule{anyNetwork: true}).outages(list); len(got) == 0 {
		t.Error("without the network condition: no outage")
	}
}

package auth0sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

var (
	historyEnd   = time.Date(2026, 3, 18, 12, 0, 0, 0, time.UTC)
	historyStart = historyEnd.AddDate(0, 0, -30)
)

// record is what the tests read of a log.
type record struct {
	Date        string
	Type        string
	Description string
	LogID       string          `json:"log_id"`
	ClientID    *string         `json:"client_id"`
	UserID      string          `json:"user_id"`
	IP          *string         `json:"ip"`
	ClientIP    *string         `json:"client_ip"`
	UserAgent   *string         `json:"user_agent"`
	Scope       json.RawMessage `json:"scope"`
	Details     json.RawMessage `json:"details"`
	Environment *string         `json:"environment_name"`
	at          time.Time
	size        int
}

func decode(t *testing.T, raw []byte) record {
	t.Helper()
	var env struct {
		LogID string `json:"log_id"`
		Data  record `json:"data"`
	}
	if err := json.Unmarshal(raw, &env); err != nil {
		t.Fatalf("record is not JSON: %v\n%s", err, raw)
	}
	if env.LogID == "" || env.LogID != env.Data.LogID {
		t.Fatalf("log_id outside %q, inside %q", env.LogID, env.Data.LogID)
	}
	env.Data.size = len(raw)
	if env.Data.Date != "" {
		at, err := schemas.ParseDate(env.Data.Date)
		if err != nil {
			t.Fatal(err)
		}
		env.Data.at = at
	}
	return env.Data
}

func records(t *testing.T, tenant *Tenant, events int) []record {
	t.Helper()
	list := make([]record, 0, events)
	for raw := range tenant.History(historyStart, historyEnd, events) {
		list = append(list, decode(t, raw))
	}
	return list
}

// scan reads of a whole history what the tests that need millions of records
// look at, by text: that all of it is JSON is tested elsewhere.
func scan(t *testing.T, tenant *Tenant, events int) []record {
	t.Helper()
	list := make([]record, 0, events)
	for raw := range tenant.History(historyStart, historyEnd, events) {
		text := string(raw)
		r := record{Type: *cut(text, "type"), ClientID: cut(text, "client_id"), IP: cut(text, "ip"), ClientIP: cut(text, "client_ip"), size: len(raw)}
		if user := cut(text, "user_id"); user != nil && !strings.Contains(r.Type, "api") {
			r.UserID = *user
		}
		if date := cut(text, "date"); date != nil {
			at, err := schemas.ParseDate(*date)
			if err != nil {
				t.Fatal(err)
			}
			r.at = at
		}
		list = append(list, r)
	}
	return list
}

func cut(text, name string) *string {
	_, rest, ok := strings.Cut(text, `"`+name+`":"`)
	if !ok {
		return nil
	}
	value, _, _ := strings.Cut(rest, `"`)
	return &value
}

func TestHistoryIsAFunctionOfTheSeed(t *testing.T) {
	t.Parallel()
	sum := func(seed uint64) (sum [32]byte) {
		h := sha256.New()
		if err := New(Config{Seed: seed}).WriteHistory(h, historyStart, historyEnd, 20_000); err != nil {
			t.Fatal(err)
		}
		h.Sum(sum[:0])
		return sum
	}
	first := sum(7)
	if again := sum(7); again != first {
		t.Error("the same seed gave two histories")
	}
	if sum(8) == first {
		t.Error("two seeds gave the same history")
	}
}

// TestPartsOfAHistoryShareThePopulationAndNoChoice claims that a history can be
// made day by day: the same machines, and nothing in it twice.
func TestPartsOfAHistoryShareThePopulationAndNoChoice(t *testing.T) {
	t.Parallel()
	const events = 5_000
	tenant := New(Config{})
	parts := func() (parts [2][]byte) {
		for part := range parts {
			from, n := historyStart.AddDate(0, 0, part), 0
			for raw := range tenant.HistoryPart(part, from, from.AddDate(0, 0, 1), events) {
				parts[part] = append(append(parts[part], raw...), '\n')
				n++
			}
			if n != events {
				t.Errorf("part %d has %d events, want %d", part, n, events)
			}
		}
		return parts
	}
	first := parts()
	for part, again := range parts() {
		if !bytes.Equal(first[part], again) {
			t.Errorf("part %d is another one each time", part)
		}
	}

	machines, ids := [2]map[string]bool{{}, {}}, map[string]int{}
	tokens, token := 0, regexp.MustCompile(`"access_token_jti":"([^"]+)"`)
	for part, text := range first {
		for raw := range bytes.Lines(text) {
			r := decode(t, raw)
			if r.Date != "" && (r.at.Before(historyStart.AddDate(0, 0, part)) || !r.at.Before(historyStart.AddDate(0, 0, part+1))) {
				t.Fatalf("part %d has an event of %s", part, r.at)
			}
			ids[r.LogID]++
			if r.Type == "seccft" {
				machines[part][*r.ClientID] = true
			}
			if jti := token.FindSubmatch(raw); jti != nil {
				ids[string(jti[1])]++
				tokens++
			}
		}
	}
	if tokens == 0 {
		t.Error("no token has an id")
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%s is there %d times", id, n)
		}
	}
	both := 0
	for id := range machines[0] {
		if machines[1][id] {
			both++
		}
	}
	if both < len(machines[0])/2 {
		t.Errorf("of %d machines of the first part the second has %d", len(machines[0]), both)
	}
}

func TestMachinesHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 12, 13, 500, 2000} {
		names := machineNames(newRand(1, 1), n)
		if len(names) != n || names[0] != storyName || names[1] != flakyName {
			t.Errorf("of %d: %d, the first two %q", n, len(names), names[:2])
		}
		slices.Sort(names)
		if distinct := len(slices.Compact(names)); distinct != n {
			t.Errorf("of %d names %d are distinct", n, distinct)
		}
	}
}

func TestHistoryHasExactlyTheEventsAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		events   int
		duration time.Duration
		cfg      Config
	}{
		{0, time.Hour, Config{}},
		{1, time.Hour, Config{}},
		{3, time.Second, Config{}},
		{100, time.Minute, Config{}},
		{999, 48 * time.Hour, Config{Machines: 2, People: 1}},
		{5000, time.Hour, Config{Machines: 700, People: 3000}},
		{50_000, 400 * 24 * time.Hour, Config{}},
	} {
		got := 0
		for raw := range New(c.cfg).History(historyEnd.Add(-c.duration), historyEnd, c.events) {
			got++
			if !json.Valid(raw) {
				t.Fatalf("not JSON: %s", raw)
			}
		}
		if got != c.events {
			t.Errorf("%d events in %s: got %d", c.events, c.duration, got)
		}
	}
	for range New(Config{}).History(historyEnd, historyStart, 10) {
		t.Fatal("an empty range has an event")
	}
}

func TestHistoryIsInOrderWithUniqueLogIDs(t *testing.T) {
	t.Parallel()
	const events = 20_000
	form := regexp.MustCompile(`^900[0-9]{53}$`)
	seen := make(map[string]bool, events)
	last := historyStart
	for i, r := range records(t, New(Config{Seed: 3}), events) {
		if seen[r.LogID] || !form.MatchString(r.LogID) {
			t.Fatalf("record %d: log_id %q repeated or malformed", i, r.LogID)
		}
		seen[r.LogID] = true
		taken, ok := schemas.LogIDTime(r.LogID)
		if !ok {
			t.Fatalf("log_id %q has no stamp", r.LogID)
		}
		if r.Date == "" {
			continue
		}
		if r.at.Before(last) || !r.at.Before(historyEnd) {
			t.Fatalf("record %d at %s after one at %s", i, r.at, last)
		}
		if late := taken.Sub(r.at); late < -time.Second || late > 13*time.Second {
			t.Fatalf("record %d of %s was taken in at %s", i, r.at, taken)
		}
		last = r.at
	}
	if len(seen) != events {
		t.Errorf("got %d log ids, want %d", len(seen), events)
	}
}

func TestHistoryLivesAsThePopulationDoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		tenant := New(Config{Seed: seed})
		types, machines, people, story := make(map[string]int), make(map[string]int), make(map[string]bool), make(map[string]int)
		var last time.Time
		for _, r := range scan(t, tenant, 200_112) {
			types[r.Type]++
			if strings.HasPrefix(r.UserID, "auth0|") {
				people[r.UserID] = true
			}
			if r.Type != "seccft" {
				continue
			}
			machines[*r.ClientID]++
			if *r.ClientID == tenant.Story().ClientID() {
				last = r.at
				story[historyEnd.Sub(r.at).Truncate(24*time.Hour).String()]++
			}
		}
		if len(machines) != tenant.Machines() || len(people) != tenant.People() {
			t.Errorf("seed %d: %d machines and %d people acted, want %d and %d", seed, len(machines), len(people), tenant.Machines(), tenant.People())
		}
		for day, n := range story {
			if n != tenant.Story().TokensPerDay() {
				t.Errorf("seed %d: story client has %d tokens %s before the end", seed, n, day)
			}
		}
		if want := tenant.Story().LastToken(historyEnd); !last.Equal(want) || historyEnd.Sub(last) > 90*time.Second {
			t.Errorf("seed %d: last token of the story at %s, want %s", seed, last, want)
		}
		counts := sorted(machines)
		if busiest := counts[len(counts)-1]; busiest < 40_000 || busiest > 45_000 || counts[0] > 5 {
			t.Errorf("seed %d: busiest machine has %d tokens, idlest %d", seed, busiest, counts[0])
		}
		if share := float64(types["seccft"]) / 200_112; share < 0.70 || share > 0.90 {
			t.Errorf("seed %d: %.0f %% of the history are tokens", seed, 100*share)
		}
		if failed := types["feccft"]; failed < 1500 || failed > 6000 {
			t.Errorf("seed %d: %d failed exchanges", seed, failed)
		}
	}
}

func sorted(counts map[string]int) []int {
	var list []int
	for _, n := range counts {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

func TestHistoryShowsWhatRealTenantsSend(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, r := range records(t, New(Config{Seed: 1}), 40_000) {
		seen["type "+r.Type] = true
		seen["scope "+shape(r.Scope)] = true
		seen["details "+shape(r.Details)] = true
		seen["channel api"] = seen["channel api"] || bytes.Contains(r.Details, []byte(`"channel":"api"`))
		seen["channel dashboard"] = seen["channel dashboard"] || bytes.Contains(r.Details, []byte(`"channel":"https://manage.auth0.com/"`))
		seen["secret"] = seen["secret"] || bytes.Contains(r.Details, []byte(`"client_secret":"`))
		seen["no environment"] = seen["no environment"] || r.Environment == nil
		seen["no client_ip"] = seen["no client_ip"] || (r.Type == "seccft" && r.ClientIP == nil)
		seen["no date"] = seen["no date"] || r.Date == ""
		seen["null client_id"] = seen["null client_id"] || r.ClientID == nil
		seen["ip that is none"] = seen["ip that is none"] || (r.IP != nil && *r.IP == "xxxx")
		seen["no description"] = seen["no description"] || (r.Type == "seccft" && r.Description == "")
	}
	for _, want := range []string{
		"type seccft", "type feccft", "type s", "type ssa", "type seacft", "type sertft", "type slo", "type f", "type fp", "type sapi",
		"type mgmt_api_read", "type token_quota_consumption_warning", "type api_limit", "type sxqpt", "type agent_session_started",
		"scope string", "scope array", "scope null", "scope none", "details object", "details string", "details null", "details none",
		"channel api", "channel dashboard", "secret", "no environment", "no client_ip", "no date", "null client_id", "ip that is none", "no description",
	} {
		if !seen[want] {
			t.Errorf("the history has no %s", want)
		}
	}
}

func shape(v json.RawMessage) string {
	switch {
	case len(v) == 0:
		return "none"
	case v[0] == '"':
		return "string"
	case v[0] == '[':
		return "array"
	case v[0] == '{':
		return "object"
	default:
		return string(v)
	}
}

func TestWriteHistoryWritesOneRecordALine(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 5})
	var out bytes.Buffer
	if err := tenant.WriteHistory(&out, historyStart, historyEnd, 500); err != nil {
		t.Fatal(err)
	}
	var want []string
	for raw := range tenant.History(historyStart, historyEnd, 500) {
		want = append(want, string(raw))
	}
	got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines differ (-yielded +written):\n%s", diff)
	}
}

func BenchmarkHistory(b *testing.B) {
	tenant := New(Config{Seed: 1})
	const events = 200_000
	for b.Loop() {
		size := 0
		for raw := range tenant.History(historyStart, historyEnd, events) {
			size += len(raw)
		}
		b.SetBytes(int64(size))
	}
	b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

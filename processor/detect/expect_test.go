package detect_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// declaring is an oracle of rules about what is declared. What is declared of a key
// follows from its name, so that the rule and the oracle are told the same.
type declaring struct{ declared map[string]schemas.Expect }

func declaredOf(r *rand.Rand) schemas.Expect {
	pick := func(all ...string) []string {
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		return all[:r.IntN(len(all)+1)]
	}
	e := schemas.Expect{
		Networks: pick("198.51.100.0/24", "203.0.0.0/16", "2001:db8:1::/48", "2001:db8::/32"),
		Clouds:   pick("AS64500", "64501", "example cl*", "Other_Net", "*100%*"),
		Runtimes: pick("Python-*", "node", "go_http"),
	}
	for i := range []int{0, 1, 2} {
		if r.IntN(3) == 0 {
			*[]*[]string{&e.Networks, &e.Clouds, &e.Runtimes}[i] = nil
		}
	}
	if r.IntN(3) == 0 {
		e.Expires = origin.Add(time.Duration(r.IntN(60*24)) * time.Hour).Format([]string{time.DateOnly, time.RFC3339}[r.IntN(2)])
	}
	if r.IntN(3) > 0 {
		e.Cadence = []string{"10m", "90m", "26h", "3d", "100d"}[r.IntN(5)]
	}
	return e
}

// about are uses of one key: mostly from the same places, by the same program.
func about(r *rand.Rand) []happening {
	var all []happening
	pace := uint64(1) << (18 + r.IntN(9))
	for at := uint64(origin.UnixMilli()) + r.Uint64N(20*dayMS); len(all) < 200; at += r.Uint64N(2*pace) + 1 {
		if r.IntN(20) == 0 {
			at += r.Uint64N(5 * dayMS)
		}
		if at >= uint64(tenantSeen.UnixMilli()) {
			break
		}
		pick := func(all ...string) string { return all[min(r.IntN(3*len(all)), r.IntN(len(all)))] }
		all = append(all, happening{t: at, imported: r.IntN(3) == 0, value: strings.Join([]string{
			pick("198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24", "2001:db8:1::/48", "2001:db9::/48", ""),
			pick("64500", "64501", "64502", "", "0"),
			pick("Example Cloud", "Other_Net", "OtherXNet", "At 100% Ltd", ""),
			pick("python-requests", "node", "go_http", "goxhttp", "curl", "", "unknown"),
		}, schemas.PartSeparator)})
	}
	return all
}

// ofDeclared is a rule about what is declared, of a base rule that tells enough.
func ofDeclared(t *testing.T, rest string, x detect.Expectations) detect.Correlation {
	t.Helper()
	text := strings.Replace(issued, "value: [network, audience]", "value: [network, asn, as_org, runtime]", 1) + rest
	set, err := detect.Parse(fstest.MapFS{"kind.yml": {Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	c := set.Correlations()[0]
	c.Expecting(x)
	return c
}

func (d declaring) undeclared(c *detect.Correlation, key string, all []happening, from, to time.Time) []schemas.CorrelationRow {
	e := d.declared[key]
	periods := map[uint64][]happening{}
	facts := map[uint64]map[string]int{}
	against := map[uint64]map[string]bool{}
	dedupe := uint64(c.Dedupe.Milliseconds())
	for _, h := range all {
		p := h.t / dedupe * dedupe
		elsewhere, other, late := differs(e, h)
		if !elsewhere && !other && !late || p < uint64(from.UnixMilli()) || p >= uint64(to.UnixMilli()) {
			continue
		}
		if facts[p] == nil {
			facts[p], against[p] = map[string]int{}, map[string]bool{}
		}
		parts := schemas.Parts(h.value)
		for name, is := range map[string]bool{"elsewhere": elsewhere, "other_program": other, "late": late, "both": elsewhere && other} {
			if is {
				facts[p][name]++
			}
		}
		if elsewhere {
			against[p]["1network "+parts[0]] = true
		}
		if other {
			against[p]["2program "+parts[3]] = true
		}
		if late {
			against[p]["3use after its end"] = true
		}
		periods[p] = append(periods[p], h)
	}
	var rows []schemas.CorrelationRow
	for _, p := range slices.Sorted(maps.Keys(periods)) {
		row := rowOf(key, p, periods[p], nil) // sorts them
		row.Values = slices.DeleteFunc(row.Values, func(v string) bool { return v == "" })
		row.Facts = map[string]string{}
		for i, part := range schemas.Parts(periods[p][0].value) {
			if part != "" {
				row.Facts[[]string{"network", "asn", "as_org", "runtime"}[i]] = part
			}
		}
		for _, name := range []string{"elsewhere", "other_program", "both", "late"} {
			row.Facts[name] = strconv.Itoa(facts[p][name])
		}
		var texts []string
		for _, text := range slices.Sorted(maps.Keys(against[p])) {
			texts = append(texts, text[1:])
		}
		row.Facts["against"] = strings.Join(texts[:min(len(texts), 10)], ", ")
		rows = append(rows, row)
	}
	return rows
}

// differs judges one event by the words of the kind's comment.
func differs(e schemas.Expect, h happening) (elsewhere, other, late bool) {
	parts := schemas.Parts(h.value)
	if len(e.Networks)+len(e.Clouds) > 0 && parts[0] != "" {
		at := netip.MustParsePrefix(parts[0]).Addr()
		elsewhere = !slices.ContainsFunc(e.Networks, func(n string) bool { return netip.MustParsePrefix(n).Contains(at) })
		if len(e.Clouds) > 0 && (parts[1] == "" || parts[1] == "0") {
			elsewhere = false
		}
		for _, cloud := range e.Clouds {
			if number, ok := schemas.ASNumber(cloud); ok && parts[1] == fmt.Sprint(number) || !ok && wild(cloud, parts[2]) {
				elsewhere = false
			}
		}
	}
	if len(e.Runtimes) > 0 && parts[3] != "" && parts[3] != "unknown" {
		other = !slices.ContainsFunc(e.Runtimes, func(r string) bool { return wild(r, parts[3]) })
	}
	if until, ok := e.Until(); ok {
		late = !time.UnixMilli(int64(h.t)).Before(until)
	}
	return elsewhere, other, late
}

// wild compares with a text that has stars, in any case of letters.
func wild(pattern, text string) bool {
	pieces := strings.Split(strings.ToLower(pattern), "*")
	text = strings.ToLower(text)
	if len(pieces) == 1 {
		return pieces[0] == text
	}
	if !strings.HasPrefix(text, pieces[0]) || !strings.HasSuffix(text, pieces[len(pieces)-1]) {
		return false
	}
	for _, piece := range pieces[1 : len(pieces)-1] {
		if !strings.Contains(text, piece) {
			return false
		}
	}
	return true
}

func (d declaring) overdue(c *detect.Correlation, key string, all []happening, from, to time.Time) []schemas.CorrelationRow {
	e := d.declared[key]
	every, ok := e.Every()
	if !ok {
		return nil
	}
	all = slices.Clone(all)
	slices.SortFunc(all, compareHappenings)
	periods := map[uint64][]silent{}
	dedupe, limit := uint64(c.Dedupe.Milliseconds()), uint64(every.Milliseconds())
	for i, h := range all {
		s := silent{last: h, trigger: h.t + limit}
		if i+1 < len(all) {
			s.next = all[i+1].t
		}
		p := s.trigger / dedupe * dedupe
		if s.next > 0 && s.next <= s.trigger || s.trigger >= uint64(tenantSeen.UnixMilli()) || p < uint64(from.UnixMilli()) || p >= uint64(to.UnixMilli()) {
			continue
		}
		periods[p] = append(periods[p], s)
	}
	var rows []schemas.CorrelationRow
	clock := func(ms uint64) string { return time.UnixMilli(int64(ms)).UTC().Format("2006-01-02 15:04") }
	for _, p := range slices.Sorted(maps.Keys(periods)) {
		var events []happening
		for _, s := range periods[p] {
			events = append(events, s.last)
		}
		last := periods[p][len(periods[p])-1]
		facts := map[string]string{
			"since": clock(last.last.t), "usual_minutes": strconv.FormatUint(limit/60_000, 10), "limit_minutes": strconv.FormatUint(limit/60_000, 10), "came_back": "",
		}
		if last.next > 0 && last.next <= last.trigger+5*dayMS {
			facts["came_back"] = clock(last.next)
		}
		row := rowOf(key, p, events, facts)
		row.Values = slices.DeleteFunc(row.Values, func(v string) bool { return v == "" })
		row.Last = last.trigger
		rows = append(rows, row)
	}
	return rows
}

func TestWhatIsDeclaredIsWhatTheOracleJudgesBy(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 12))
	d := declaring{map[string]schemas.Expect{}}
	var list []schemas.Expectation
	for i := range 30 {
		key := fmt.Sprintf("client-%03d", i)
		if e := declaredOf(r); r.IntN(5) > 0 && e.Validate() == nil {
			d.declared[key] = e
			list = append(list, schemas.Expectation{Tenant: tenant, Identity: "app:" + key, Expect: e})
		}
	}
	x := detect.NewExpectations(list)
	rules := []detect.Correlation{
		ofDeclared(t, "x-undeclared: {rule: issued}\nx-identity: app\nx-dedupe: 24h\n", x),
		ofDeclared(t, "x-undeclared: {rule: issued}\nx-identity: app\nx-dedupe: 7d\n", x),
		ofDeclared(t, "x-overdue: {rule: issued}\nx-identity: app\nx-dedupe: 24h\n", x),
		ofDeclared(t, "x-overdue: {rule: issued}\nx-identity: app\nx-dedupe: 7d\n", x),
	}
	holdAgainst(t, about, rules, []oracleOf{d.undeclared, d.undeclared, d.overdue, d.overdue}, 500)
}

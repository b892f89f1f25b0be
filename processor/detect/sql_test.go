package detect_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// Few words that meet one another, and what folding, addresses and patterns
// stumble over.
var (
	sqlTexts     = []string{"", "a", "B", "ab", "aBa", "bb", "a.b", "a\nb", "ask", "ASK", "a\u017fk", "as\u212a", "é", "É", "7", "12", `a\b`, "a'b", "100%"}
	sqlAddresses = []string{
		"", "10.1.2.3", "192.0.2.9", "192.0.2.200", "010.1.2.3", "10.1.2", "10.1.2.3.4", "10.1.2.256", "2001:db8::1", "2001:DB8::1", "2001:db8:0:0:0:0:0:1",
		"::ffff:10.1.2.3", "::ffff:0a01:0203", "::", "1::2::3", "2001:db8:::1", "fe80::1%eth0", "10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/016", "10.0.0.0/33", "10.0.0.0/4",
		"2001:db8::/48", "2001:db8::/129", "::ffff:10.1.2.0/120", "2001:db8::/", "/8", "10.1.2.3/8/8", "a", "12345::1", "::1.2.3", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7", ":1", "1:", "::ffff:010.1.2.3",
	}
	sqlNetworks = []string{"10.0.0.0/8", "192.0.2.0/25", "10.1.2.3", "0.0.0.0/0", "'2001:db8::/32'", "'::/0'", "'2001:db8::1'", "'::ffff:10.1.0.0/112'"}
	sqlWords    = []string{"a", "'B'", "ab", "'*b'", "'a*'", "'*A*'", "'?b'", "'a*b?'", "'*'", "ask", "'*sk'", "'K'", "é", "'a.b'", "'a\\*'", "''", "null", "7", "7.0", "'100%'", "\"a'b\""}
	sqlPatterns = []string{"'^[aA]'", "'b+$'", "'a.b'", "'(?i)ASK'", `'^\w+$'`, "'(?s)a.b'", "'a(?=b)'", "'^$'", `'^\p{Letter}+$'`, `'^\pL{1,1000}$'`}
)

func sqlLeaf(r *rand.Rand) string {
	field := pick(r, []string{"description", "client_name", "user_agent", "hostname", "scope", "target_client", "identity", "details.word", "method", "outcome"})
	var values []string
	kind := pick(r, []string{"", "", "", "|contains", "|startswith", "|endswith", "|contains|all", "|cased", "|startswith|cased", "|re", "|re|i", "|exists", "|gte", "|fieldref", "|fieldref|cased", "|cidr", "|cidr", "|asn", "|late", "|source"})
	for range 1 + r.IntN(3) {
		switch {
		case strings.HasPrefix(kind, "|re"):
			values = append(values, pick(r, sqlPatterns))
		case kind == "|cidr":
			field = pick(r, []string{"ip", "network", "ip", "network", "client_name"})
			values = append(values, pick(r, sqlNetworks))
		case kind == "|exists":
			return field + kind + ": " + pick(r, []string{"true", "false"})
		case kind == "|gte":
			values = append(values, pick(r, []string{"7", "-3", "1.5"}))
		case kind == "|asn":
			return "asn" + pick(r, []string{": [64500, 7]", ": null", "|gt: 7", "|startswith: '64'", "|exists: true"})
		case kind == "|late":
			return "late_seconds" + pick(r, []string{": [7, 900]", "|gte: 900", "|lt: 8", "|exists: false"})
		case kind == "|source":
			return "source" + pick(r, []string{": [stream, Repair]", "|startswith: re", "|exists: true"})
		case strings.HasPrefix(kind, "|fieldref"):
			values = append(values, pick(r, []string{"client_name", "user_agent", "scope", "details.word"}))
		default:
			v := pick(r, sqlWords)
			if v == "null" && kind != "" {
				v = "a"
			}
			values = append(values, v)
		}
	}
	return fmt.Sprintf("%s%s: [%s]", field, kind, strings.Join(values, ", "))
}

func sqlSelection(r *rand.Rand) string {
	seen := map[string]bool{}
	var leaves []string
	for range 1 + r.IntN(2) {
		leaf := sqlLeaf(r)
		if name, _, _ := strings.Cut(leaf, ":"); !seen[name] {
			seen[name] = true
			leaves = append(leaves, leaf)
		}
	}
	return "{" + strings.Join(leaves, ", ") + "}"
}

func sqlRule(r *rand.Rand) string {
	types := ""
	if r.IntN(2) == 0 {
		types = "type: [feccft, Seccft], "
	}
	selection := sqlSelection(r)
	rest := "\nx-match: {key: " + pick(r, []string{"client_id", "scope", "identity", "asn", "target_client"}) + ", value: " + pick(r, []string{"network", "scope", "asn", "ip", "client_name", "details.word"}) + "}"
	switch r.IntN(4) {
	case 0:
		rest = "\nx-match: {key: [client_id, target_user], value: [client_name, network, scope]}"
	case 1:
		rest = ""
	}
	return brought("SQL", fmt.Sprintf("sel_a: {%s%s\nsel_b: %s\nother: %s\ncondition: %s", types, selection[1:], sqlSelection(r), sqlSelection(r), pick(r, bothConditions)), rest)
}

func sqlEvents(r *rand.Rand, n int) []schemas.Event {
	events := make([]schemas.Event, n)
	for i := range events {
		e := &events[i]
		word := pick(r, sqlTexts)
		*e = schemas.Event{
			Tenant: tenant, ClientID: pick(r, []string{"", "a", "b"}), Time: origin.Add(time.Duration(i) * time.Second), LogID: fmt.Sprint("log-", i), Ver: uint64(10 + i),
			IngestedAt: origin, Source: schemas.SourceStream, Type: pick(r, []string{"feccft", "seccft", "SECCFT", "sapi", ""}),
			Description: pick(r, sqlTexts), ClientName: pick(r, sqlTexts), UserAgent: pick(r, sqlTexts), Hostname: pick(r, sqlTexts),
			IP: pick(r, sqlAddresses), Network: pick(r, sqlAddresses), Outcome: schemas.Outcome(pick(r, []string{"", "failure", "success"})),
		}
		e.Source = []schemas.Source{schemas.SourceStream, schemas.SourceStream, schemas.SourceRepair}[r.IntN(3)]
		e.IngestedAt = e.Time.Add([]time.Duration{-time.Hour, time.Millisecond, 7999 * time.Millisecond, 15 * time.Minute, time.Hour}[r.IntN(5)])
		e.ASN = uint32([]int{0, 7, 64500, 64501}[r.IntN(4)])
		e.Call.Target = pick(r, []string{"", "app:", "app:a", "user:a\x1fb"})
		e.Call.Method = pick(r, []string{"", "post"})
		e.Identity.ID = pick(r, []string{"", "app:a", "app:b", "user:7"})
		for range r.IntN(3) {
			e.Scopes = append(e.Scopes, pick(r, sqlTexts[1:]))
		}
		e.Raw = fmt.Appendf(nil, `{"log_id":%q,"details":{"word":%q}}`, e.LogID, word)
	}
	return events
}

// madeBySQL are the matches that a backtest makes of stored events.
func madeBySQL(t *testing.T, s *clickhouse.Scratch, set *detect.Set, rule *detect.Rule) (matches []schemas.Match, exact bool) {
	t.Helper()
	sel := rule.Selection()
	from, to := origin, origin.Add(24*time.Hour)
	if !sel.Exact {
		err := s.EachSelected(t.Context(), sel, tenant, from, to, func(e *schemas.Event) error {
			matches = set.Match(matches, e)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return matches, false
	}
	if err := s.SelectInto(t.Context(), sel, tenant, from, to); err != nil {
		t.Fatalf("%v\n%s", err, sel.Where)
	}
	rows, err := s.CorrelateOver(t.Context(), schemas.MatchesScratch, schemas.Query{SQL: `SELECT key, ver AS period, t, t AS last_t, toUInt64(1) AS n, [value, client_id] AS vals, [log_id] AS logs,
    toUInt8(source) AS imported, toUInt64(0) AS baseline, toFloat64(0) AS baseline_days, toUInt64(0) AS last_success, CAST(map(), 'Map(String, String)') AS facts
FROM matches WHERE selector = {selector:String}`, Params: map[string]any{"selector": sel.Selector}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		matches = append(matches, schemas.Match{
			Selector: sel.Selector, Tenant: tenant, Key: r.Key, Time: time.UnixMilli(int64(r.First)).UTC(), LogID: r.LogIDs[0],
			Value: r.Values[0], ClientID: r.Values[1], Ver: r.Period, Source: schemas.Source(r.Imported),
		})
	}
	return matches, true
}

// TestSelectionInSQLIsMatch compares what the store selects with what matching
// each event does, rule by rule and match by match.
func TestSelectionInSQLIsMatch(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	db := clickhousetest.New(t)
	events := sqlEvents(r, 400)
	if err := clickhouse.NewWriter(db).InsertEvents(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	s := clickhouse.NewScratch(db)
	const rules = 150
	exact, fired := 0, 0
	for range rules {
		text := sqlRule(r)
		set, err := tryLoad(map[string]string{"a.yml": text}, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if len(set.Rules()) == 0 { // no type is left for it
			continue
		}
		var want []schemas.Match
		for i := range events {
			want = set.Match(want, &events[i])
		}
		rule := set.Rules()[0]
		got, is := madeBySQL(t, s, set, &rule)
		if is {
			exact++
		}
		if len(want) > 0 {
			fired++
		}
		order := func(a, b schemas.Match) int { return cmp.Compare(a.Ver, b.Ver) }
		slices.SortFunc(got, order)
		slices.SortFunc(want, order)
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("matching and SQL differ (-match +sql), exact %v:\n%s\n%s\n%+v", is, text, diff, rule.Selection())
		}
		if t.Failed() {
			return
		}
	}
	if exact < rules/4 || exact > rules*3/4 || fired < rules/2 {
		t.Errorf("%d of %d rules are exact, %d select something: want some of both", exact, rules, fired)
	}
}

package detect_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// What both support of a rule is made up of few words, so that comparisons meet
// both of their sides. sigma-go has no wildcards, null, exists, fieldref or
// escapes, takes nested fields for absent, and all for the last modifier.
var (
	bothFields = []string{"description", "client_name", "user_agent", "hostname", "audience"}
	bothWords  = []string{"a", "B", "ab", "Ba", "aBa", "bb", "a.b", "7", "12", "192.0.2.9", "10.1.2.3", "true"}
	bothKinds  = []string{"", "", "|contains", "|startswith", "|endswith", "|contains|all", "|re", "|cidr", "|gt", "|gte", "|lt", "|lte"}
)

func pick(r *rand.Rand, words []string) string { return words[r.IntN(len(words))] }

// bothLeaf is one field of a selection.
func bothLeaf(r *rand.Rand, field string) string {
	kind := pick(r, bothKinds)
	var values []string
	for range 1 + r.IntN(3) {
		switch v := pick(r, bothWords); {
		case kind == "|re":
			values = append(values, pick(r, []string{"'^[aA]'", "'b+$'", "'a.b'", "'^(192|10)[.]'", "'(?i)BA'"}))
		case kind == "|cidr":
			values = append(values, pick(r, []string{"10.0.0.0/8", "192.0.2.0/25", "0.0.0.0/0"}))
		case strings.HasPrefix(kind, "|g") || strings.HasPrefix(kind, "|l"):
			values = append(values, pick(r, []string{"7", "11", "12", "-3"}))
		default:
			values = append(values, "'"+v+"'")
		}
	}
	return fmt.Sprintf("%s%s: [%s]", field, kind, strings.Join(values, ", "))
}

// bothSelection is a mapping, or a list of two.
func bothSelection(r *rand.Rand) string {
	mapping := func() string {
		var leaves []string
		for _, i := range r.Perm(len(bothFields))[:1+r.IntN(2)] {
			leaves = append(leaves, bothLeaf(r, bothFields[i]))
		}
		return "{" + strings.Join(leaves, ", ") + "}"
	}
	if r.IntN(4) == 0 {
		return "[" + mapping() + ", " + mapping() + "]"
	}
	return mapping()
}

var bothConditions = []string{
	"sel_a", "sel_a and sel_b", "sel_a or sel_b", "sel_a and not sel_b", "not (sel_a or other)", "sel_a or sel_b and other",
	"1 of sel_*", "all of sel_*", "1 of them", "all of them", "other and not 1 of sel_*", "not sel_a and (sel_b or not other)",
}

func TestMatchAgreesWithSigmaGo(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	fired := 0
	const rules, events = 1500, 25
	for range rules {
		detection := fmt.Sprintf("sel_a: %s\nsel_b: %s\nother: %s\ncondition: %s", bothSelection(r), bothSelection(r), bothSelection(r), pick(r, bothConditions))
		text := brought("Both", detection, "")
		ours, theirs := load(t, map[string]string{"a.yml": text}, nil), sigmaRule(t, text)
		for range events {
			e := schemas.Event{
				Tenant: "acme", Type: "x", Description: pick(r, bothWords), ClientName: pick(r, bothWords), UserAgent: pick(r, bothWords),
				Hostname: pick(r, bothWords), Audience: pick(r, bothWords),
			}
			want, err := theirs.Matches(t.Context(), map[string]any{
				"type": "x", "description": e.Description, "client_name": e.ClientName, "user_agent": e.UserAgent,
				"hostname": e.Hostname, "audience": e.Audience,
			})
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if got := len(ours.Match(nil, &e)) > 0; got != want.Match {
				t.Fatalf("selected %v, sigma-go says %v\n%s\n%+v", got, want.Match, text, e)
			}
			if want.Match {
				fired++
			}
		}
	}
	if fired < rules*events/10 || fired > rules*events*9/10 {
		t.Errorf("%d of %d selected: the rules and the events do not meet", fired, rules*events)
	}
}

package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// lastMatchesIs a store of which nothing else is asked.
type lastMatchesIs struct {
	FindingStore
	rows []schemas.LatestMatch
	err  error
}

func (s lastMatchesIs) LatestMatches(context.Context, []string, time.Time, int) ([]schemas.LatestMatch, error) {
	return s.rows, s.err
}

// A key is left out only where it is certain that it lacks something.
func TestLastMatchesLeaveOutWhoLacksSomething(t *testing.T) {
	t.Parallel()
	rules, err := detect.Parse(Rules())
	if err != nil {
		t.Fatal(err)
	}
	all := rules.Correlations()
	at := slices.IndexFunc(all, func(c detect.Correlation) bool { return c.Code == "MI-03" })
	rule := &all[at] // a refusal in the quarter of an hour before a success
	refused, issued := rule.Required()[0], rule.Required()[1]
	if refused.Back != 15*time.Minute || issued.Back != 0 {
		t.Fatalf("MI-03 requires %+v and %+v", refused, issued)
	}
	now := time.Date(2026, 4, 14, 9, 0, 0, 0, time.UTC)
	match := func(r detect.Required, at time.Time) schemas.LatestMatch {
		return schemas.LatestMatch{Selector: r.Selectors[0], Tenant: "acme", Key: "billing", Last: at}
	}
	touch := func(r detect.Required, tenant, key string, hour time.Time) []schemas.Touch {
		return []schemas.Touch{{Selector: r.Selectors[0], Tenant: tenant, Key: key, Bucket: hour}}
	}
	success := match(issued, now)
	nothing := func(*lastMatches) {}
	many := make([]schemas.LatestMatch, maxLastMatches+1)
	for i := range many {
		many[i] = match(refused, now.Add(-time.Hour))
		many[i].Key = fmt.Sprintf("client-%d", i)
	}
	for name, tc := range map[string]struct {
		rows []schemas.LatestMatch
		err  error
		then func(l *lastMatches)
		from time.Time
		has  bool
	}{
		"has both":                     {[]schemas.LatestMatch{success, match(refused, now)}, nil, nothing, now, true},
		"was refused just before":      {[]schemas.LatestMatch{success, match(refused, now.Add(-15*time.Minute))}, nil, nothing, now, true},
		"was refused long before":      {[]schemas.LatestMatch{success, match(refused, now.Add(-15*time.Minute-time.Millisecond))}, nil, nothing, now, false},
		"was not refused":              {[]schemas.LatestMatch{success}, nil, nothing, now, false},
		"did not succeed since":        {[]schemas.LatestMatch{match(issued, now.Add(-time.Hour)), match(refused, now)}, nil, nothing, now, false},
		"is refused":                   {[]schemas.LatestMatch{success}, nil, func(l *lastMatches) { l.touched(touch(refused, "acme", "billing", now), now) }, now, true},
		"was refused, late":            {[]schemas.LatestMatch{success}, nil, func(l *lastMatches) { l.touched(touch(refused, "acme", "billing", now.Add(-time.Hour)), now) }, now, true},
		"was refused, too late":        {[]schemas.LatestMatch{success}, nil, func(l *lastMatches) { l.touched(touch(refused, "acme", "billing", now.Add(-2*time.Hour)), now) }, now, false},
		"another is refused":           {[]schemas.LatestMatch{success}, nil, func(l *lastMatches) { l.touched(touch(refused, "acme", "web", now), now) }, now, false},
		"refused for another tenant":   {[]schemas.LatestMatch{success}, nil, func(l *lastMatches) { l.touched(touch(refused, "other", "billing", now), now) }, now, false},
		"something old comes after it": {[]schemas.LatestMatch{success, match(refused, now)}, nil, func(l *lastMatches) { l.touched(touch(refused, "acme", "billing", now.Add(-9*time.Hour)), now) }, now, true},
		"of a time that was not read":  {[]schemas.LatestMatch{success}, nil, nothing, now.Add(-lastMatchesReach - 24*time.Hour), true},
		"too many to remember":         {append(many, success), nil, nothing, now, true},
		"unknown":                      {nil, errors.New("too large"), nothing, now, true},
		"unknown for long": {nil, errors.New("too large"), func(l *lastMatches) {
			if err := l.begin(t.Context(), lastMatchesIs{rows: []schemas.LatestMatch{success}}, 1, all, now.Add(unknownFor), slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
		}, now, false},
		"too many for long": {append(many, success), nil, func(l *lastMatches) {
			if err := l.begin(t.Context(), lastMatchesIs{rows: []schemas.LatestMatch{success}}, 1, all, now.Add(unknownFor), slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
		}, now, false},
		"another epoch": {[]schemas.LatestMatch{success, match(refused, now)}, nil, func(l *lastMatches) {
			if err := l.begin(t.Context(), lastMatchesIs{}, 2, all, now, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
		}, now, false},
		"the same epoch": {[]schemas.LatestMatch{success, match(refused, now)}, nil, func(l *lastMatches) {
			if err := l.begin(t.Context(), lastMatchesIs{}, 1, all, now, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
		}, now, true},
	} {
		l := &lastMatches{}
		if err := l.begin(t.Context(), lastMatchesIs{rows: tc.rows, err: tc.err}, 1, all, now, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		tc.then(l)
		if has := len(l.having(rule, "acme", []string{"billing"}, tc.from)) == 1; has != tc.has {
			t.Errorf("%s: asked about %v, want %v", name, has, tc.has)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := (&lastMatches{}).begin(ended, lastMatchesIs{err: context.Canceled}, 1, all, now, slog.New(slog.DiscardHandler)); !errors.Is(err, context.Canceled) {
		t.Errorf("behind the end of the lease: %v", err)
	}
	var none *lastMatches
	if got := none.having(rule, "acme", []string{"billing"}, now); len(got) != 1 {
		t.Errorf("of nothing that is remembered %q are asked about, want all", got)
	}
}

package detect_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// checkRequired checks that every key with a trigger since a time has what is told to be
// required of it. It returns how many requirements ruled a key out.
func checkRequired(t *testing.T, db *clickhouse.DB, c *detect.Correlation, keys []string, rows []schemas.CorrelationRow, since, to time.Time) (out int) {
	t.Helper()
	for _, r := range c.Required() {
		having, err := clickhouse.NewScratch(db).KeysOf(t.Context(), "matches", r.Selectors, tenant, since.Add(-r.Back), to, 1)
		if err != nil {
			t.Fatal(err)
		}
		out += len(keys) - len(having)
		for _, row := range rows {
			if row.Last >= uint64(since.UnixMilli()) && !slices.Contains(having, row.Key) {
				t.Fatalf("%s has a trigger since %s, and no match of %v in the %s before that or since", row.Key, since, r.Selectors, r.Back)
			}
		}
	}
	return out
}

// Of the shipped rules those that begin with what is rare say so: a client that never
// fails must not be asked about by them with each of its tokens.
func TestShippedRulesSayWhatTheyRequire(t *testing.T) {
	t.Parallel()
	rules, err := detect.Parse(processor.Rules())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range rules.Correlations() {
		names := map[string]string{}
		for _, r := range c.Rules() {
			names[r.Selector] = r.Name
		}
		var all []string
		for _, r := range c.Required() {
			var of []string
			for _, s := range r.Selectors {
				of = append(of, names[s])
			}
			slices.Sort(of)
			all = append(all, strings.Join(of, "|")+" "+r.Back.String())
		}
		got[c.Code] = strings.Join(all, ", ")
	}
	for code, want := range map[string]string{
		"MI-02": "m2m_token_refused 0s, m2m_token_issued 168h15m0s",
		"MI-03": "m2m_credential_refused 15m0s, m2m_token_issued_wide 0s",
		"MI-06": "client_secret_replaced 168h0m0s, m2m_credential_refused 0s",
		"MI-08": "",
		"MI-23": "m2m_token_issued_wide 24h0m0s, token_used 0s",
		"MI-24": "management_token_used 0s, m2m_token_issued_wide 721h0m0s",
	} {
		if got[code] != want {
			t.Errorf("%s requires %q, want %q", code, got[code], want)
		}
	}
}

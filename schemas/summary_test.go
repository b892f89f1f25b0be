package schemas_test

import (
	"testing"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestSummaryTellsWhatItIsOf(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]schemas.Summary{
		"1 more finding in ten minutes; by level high 1":     {Findings: 1, Levels: []schemas.Tally{{Value: "high", Count: 1}}},
		"2 more findings in ten minutes; 1 of such are over": {Findings: 2, Ended: 1},
		"1 finding that was told in a summary is over":       {Ended: 1},
		"3 findings that were told in a summary are over":    {Ended: 3},
	} {
		if got := schemas.SummaryAlert(s).Finding.Evidence.Summary; got != want {
			t.Errorf("%+v is told as %q, want %q", s, got, want)
		}
	}
}

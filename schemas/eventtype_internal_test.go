package schemas

import (
	"strings"
	"testing"
)

func TestParseEventTypesRefusesABrokenTable(t *testing.T) {
	t.Parallel()
	const header = "code\ttitle\tcategory\toutcome\tmachine\n"
	for table, want := range map[string]string{
		"":                               "header",
		"type\ttitle\n":                  "header",
		header + "s\tLogin\n":            "5 columns",
		header + "\tLogin\t\tinfo\t\n":   "5 columns",
		header + "s\tLogin\t\tok\t\n":    "outcome",
		header + "s\tLogin\t\tinfo\tx\n": "machine class",
		header + "s\tLogin\t\tinfo\t\ns\tLogin\t\tinfo\t\n": "twice",
	} {
		if c, err := parseEventTypes(table); err == nil || c != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("table %q: %v, want an error about %s", table, err, want)
		}
	}
}

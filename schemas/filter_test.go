package schemas_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestConditionsAreReadAsDocumented(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]schemas.Condition{
		"seccft":        {Values: []schemas.Pattern{{"seccft"}}},
		"seccft,feccft": {Values: []schemas.Pattern{{"seccft"}, {"feccft"}}},
		"f*":            {Values: []schemas.Pattern{{"f", ""}}},
		"*cc*":          {Values: []schemas.Pattern{{"", "cc", ""}}},
		"*":             {Values: []schemas.Pattern{{"", ""}}},
		"!seccft,sapi":  {Values: []schemas.Pattern{{"seccft"}, {"sapi"}}, Not: true},
		`\!a\,b\*c\\`:   {Values: []schemas.Pattern{{`!a,b*c\`}}},
		"a!b":           {Values: []schemas.Pattern{{"a!b"}}},
		"ä,ö":           {Values: []schemas.Pattern{{"ä"}, {"ö"}}},
		"192.0.2.0/24":  {Values: []schemas.Pattern{{"192.0.2.0/24"}}},
	} {
		want.Field = "type"
		got, some, err := schemas.ParseCondition("type", text)
		if err != nil || !some {
			t.Errorf("%q: %v, %v", text, some, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	if _, some, err := schemas.ParseCondition("type", ""); some || err != nil {
		t.Errorf("no text: %v, %v; want no condition", some, err)
	}
}

func TestWrongConditionsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ field, text, want string }{
		"field":     {"colour", "red", "want one of tenant"},
		"empty":     {"type", "a,,b", "a value is empty"},
		"first":     {"type", ",b", "a value is empty"},
		"last":      {"type", "a,", "a value is empty"},
		"negated":   {"type", "!", "a value is empty"},
		"backslash": {"type", `a\`, "backslash"},
		"too many":  {"type", strings.Repeat("a,", 100) + "a", "101 values, want 100"},
	} {
		if _, _, err := schemas.ParseCondition(c.field, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
}

func TestOnlyIsTheOneValueThatIsAllowed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"a": "a", `a\*`: "a*", "a*": "", "a,b": "", "!a": ""} {
		c, _, err := schemas.ParseCondition("client_id", text)
		if err != nil {
			t.Fatal(err)
		}
		if got, only := c.Only(); got != want || only != (want != "") {
			t.Errorf("%q: %q, %v; want %q", text, got, only, want)
		}
	}
}

func FuzzConditionRoundTrip(f *testing.F) {
	for _, seed := range []string{"a", "!a,b*", `\!a\,b\*c\\`, "", ",", "*", "!", "\xff", "a!"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, some, err := schemas.ParseCondition("type", text)
		if err != nil || !some {
			return
		}
		again, some, err := schemas.ParseCondition("type", c.String())
		if err != nil || !some {
			t.Fatalf("%q became %q, which is refused: %v", text, c.String(), err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Errorf("%q became %q (-first +second):\n%s", text, c.String(), diff)
		}
		if value, only := c.Only(); only && schemas.QuoteFilter(value) != c.String() {
			t.Errorf("%q: quoted %q, want %q", text, schemas.QuoteFilter(value), c.String())
		}
	})
}

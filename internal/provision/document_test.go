package provision

import "testing"

func TestNothingFollowsAValue(t *testing.T) {
	for _, text := range []string{`{"a": 1} {"b": 2}`, `{"a": 1}}`, `{"a": 1} x`, `{"a": 1},`} {
		if got, err := ReadObject([]byte(text)); err == nil {
			t.Errorf("%s was read as %v", text, got)
		}
	}
	if got, err := ReadObject([]byte(" {\"a\": null}\n\t ")); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestValuesAreComparedAsAuth0KeepsThem(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`1`, `1.0`, true},
		{`1000`, `1e3`, true},
		{`12345678901234567890`, `12345678901234567000`, true}, // one double
		{`0.1`, `0.10000000000000001`, true},
		{`1`, `1.0000001`, false},
		{`1`, `"1"`, false},
		{`1e400`, `1e400`, true},
		{`1e400`, `1e401`, false},
		{`[1, {"x": 2.0}]`, `[1.0, {"x": 2}]`, true},
		{`[1, 2]`, `[2, 1]`, false},
		{`{"x": 1}`, `{"x": 1, "y": null}`, false},
		{`null`, `[]`, false},
		{`{}`, `null`, false},
		{`true`, `false`, false},
		{`"a"`, `"A"`, false},
	} {
		var a, b any
		if err := readExactly([]byte(c.a), &a); err != nil {
			t.Fatal(err)
		}
		if err := readExactly([]byte(c.b), &b); err != nil {
			t.Fatal(err)
		}
		if equal(a, b) != c.want || equal(b, a) != c.want {
			t.Errorf("%s equals %s: want %v", c.a, c.b, c.want)
		}
	}
}

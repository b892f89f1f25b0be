package provision

import (
	"slices"
	"testing"
)

func TestDifferencesAreThoseThatWereAskedFor(t *testing.T) {
	is := []byte(`{"name": "a", "blocked": false, "email": "a@example.com", "username": "nightly", "nickname": "n", "app_metadata": {"kept": 1, "n": 12345678901234567890, "o": {"x": [1]}}}`)
	got, err := differences(is, map[string]any{
		"name": "b", "blocked": false, "email": "A@Example.com", "username": "Nightly", "nickname": "N", "password": "never answered",
		"app_metadata":  map[string]any{"kept": nil, "n": uint64(12345678901234567890), "o": map[string]any{"x": []int{1}}, "gone": nil},
		"user_metadata": map[string]any{"m": "x"},
	})
	if want := []string{"app_metadata.kept", "name", "nickname", "user_metadata.m"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestATermIsOneValue(t *testing.T) {
	if got, want := (&UserQuery{Owner: `a" OR x:"\`}).values().Get("q"), `app_metadata.programmatic:true AND app_metadata.owner:"a\" OR x:\"\\"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

package provision

import (
	"encoding/json"
	"testing"
)

func TestSecretsAreHiddenAtAnyDepth(t *testing.T) {
	for _, c := range []struct {
		raw, want string
		hidden    int
	}{
		{`{"n":12345678901234567890, "a" : [1.0]}`, `{"n":12345678901234567890, "a" : [1.0]}`, 0},
		{
			`{"identities":[{"provider":"google-oauth2","access_token":"ya29","refresh_token":"1//x","user_id":1}],"b":1.50}`,
			`{"identities":[{"provider":"google-oauth2","access_token":"***","refresh_token":"***","user_id":1}],"b":1.50}`, 2,
		},
		{`{"app_metadata":{"Api-Key":{"deep":["x"]},"apiKeys":1},"password":null}`, `{"app_metadata":{"Api-Key":"***","apiKeys":1},"password":null}`, 1},
		{`[{"accessTokenSecret":"a"},{"x":"access_token"}]`, `[{"accessTokenSecret":"***"},{"x":"access_token"}]`, 1},
		{`{"client_secret":"a","client_secret":"b"}`, `{"client_secret":"***","client_secret":"***"}`, 2},
		{`"access_token"`, `"access_token"`, 0},
	} {
		shown, hidden, err := Redact(json.RawMessage(c.raw))
		if string(shown) != c.want || hidden != c.hidden || err != nil {
			t.Errorf("%s: %s, %d, %v; want %s, %d", c.raw, shown, hidden, err, c.want, c.hidden)
		}
	}
	if shown, _, err := Redact(json.RawMessage(`{"access_token":"a`)); err == nil {
		t.Errorf("shown as %s", shown)
	}
}

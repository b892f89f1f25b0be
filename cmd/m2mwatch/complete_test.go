package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestCompletionsAreHarmless(t *testing.T) {
	for value, want := range map[string]bool{
		"app:invoice-sync": true, "auth0|5f7c": true, "https://api.acme.example/": true,
		"x$(reboot)": false, "a;b": false, "a`b`": false, "a\x1b[2J": false, "a\u009b2J": false, "a\tb": false, "a'b": false,
	} {
		if got := harmless(value); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}

// What is completed is what a filter reads back as the value, and begins as it
// was typed.
func TestAConditionIsCompletedInItsLanguage(t *testing.T) {
	seen := []suggestion{{"app:a,b*c", "Odd"}, {"app:a,d", "Odd\x1b[2J"}, {`app:a\x`, ""}, {"app:a$b", ""}, {"user:auth0|1", ""}}
	var asked []string
	find := func(_ context.Context, prefix string) []suggestion {
		asked = append(asked, prefix)
		return seen
	}
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	for typed, want := range map[string]struct {
		prefix string
		found  []string
	}{
		"":               {"", []string{`app:a\,b\*c`, `app:a\,d`, `app:a\\x`, "user:auth0|1"}},
		"app:a":          {"app:a", []string{`app:a\,b\*c`, `app:a\,d`, `app:a\\x`}},
		`app:a\,b`:       {"app:a,b", []string{`app:a\,b\*c`}},
		`app:a\,b\*`:     {"app:a,b*", []string{`app:a\,b\*c`}},
		`app:a\`:         {"app:a", []string{`app:a\,b\*c`, `app:a\,d`, `app:a\\x`}},
		`app\:a\,d`:      {"app:a,d", []string{`app\:a\,d`}},
		`!x\,y,app:a\,d`: {"app:a,d", []string{`!x\,y,app:a\,d`}},
		"!u":             {"u", []string{"!user:auth0|1"}},
		"app:*":          {"", nil},
	} {
		asked = nil
		got, _ := values(find)(cmd, nil, typed)
		for i := range got {
			got[i], _, _ = strings.Cut(got[i], "\t")
			if _, _, err := schemas.ParseCondition("identity", got[i]); err != nil {
				t.Errorf("%q: %q is no condition: %v", typed, got[i], err)
			}
		}
		if !slices.Equal(got, want.found) {
			t.Errorf("%q: got %q, want %q", typed, got, want.found)
		}
		if want.found != nil && !slices.Equal(asked, []string{want.prefix}) {
			t.Errorf("%q: asked for %q, want %q", typed, asked, want.prefix)
		}
	}
}

func TestAnIDIsCompletedAsItIs(t *testing.T) {
	find := func(context.Context, string) []suggestion {
		return []suggestion{{"app:a,b*c", "Odd"}, {"app:other", "Odd\x1b[2J"}}
	}
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	complete := argument(name(find))
	for typed, want := range map[string][]string{
		"app:": {"app:a,b*c\tOdd", "app:other"}, "app:a,": {"app:a,b*c\tOdd"}, `app:a\,`: nil,
	} {
		if got, _ := complete(cmd, nil, typed); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", typed, got, want)
		}
	}
	if got, _ := complete(cmd, []string{"app:a"}, "app:"); got != nil {
		t.Errorf("a second argument: got %q", got)
	}
}

func TestAShellIsToldOfIdentities(t *testing.T) {
	asked := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Query().Get("identity")
		page := schemas.IdentityPage{Identities: []schemas.IdentitySummary{{ID: "app:a,b", Name: "Odd"}}}
		if err := json.NewEncoder(w).Encode(page); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	for _, tt := range []struct{ args, asked, want string }{
		{"identities show app:a,", `app:a\,*`, "app:a,b\tOdd\n"},
		{`identities list --identity app:x,app:a\,`, `app:a\,*`, `app:x,app:a\,b` + "\tOdd\n"},
	} {
		var out bytes.Buffer
		run(append([]string{"m2mwatch", "__complete"}, strings.Fields(tt.args)...), []string{"M2MWATCH_URL=" + srv.URL, "M2MWATCH_TOKEN=" + testToken}, nil, &out, io.Discard)
		if !strings.HasPrefix(out.String(), tt.want) || asked != tt.asked {
			t.Errorf("%s: asked for %q and told %q, want %q and %q", tt.args, asked, out.String(), tt.asked, tt.want)
		}
	}
}

package provision

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUsersOfEachFormOfFileAreTheSame(t *testing.T) {
	const (
		lines = `{"email": "A@example.com", "owner": "data", "expires": "2030-01-31", "roles": ["exporter", "loader"], "permissions": ["read:a@https://api/"], "metadata": {"n": 12345678901234567890}}

{"username": "nightly", "connection": "legacy", "name": "Nightly, the", "user_id": "x|1", "user_metadata": {"a": null}}
`
		table = "\ufeffemail,username,connection,name,owner,expires,roles,permissions,metadata,user_metadata,user_id\r\n" +
			`A@example.com,,,,data,2030-01-31,exporter; loader,read:a@https://api/,"{""n"": 12345678901234567890}",,` + "\r\n" +
			`,nightly,legacy,"Nightly, the",,,,,,"{""a"": null}",x|1` + "\r\n"
	)
	array := "[" + strings.Replace(strings.TrimSpace(lines), "\n\n", ",\n\n", 1) + "]"
	want, err := ReadUserRecords([]byte(lines), "main")
	if err != nil {
		t.Fatal(err)
	}
	if want[0].Line != 1 || want[1].Line != 3 || want[0].Connection != "main" || want[1].Connection != "legacy" || want[1].id() != "x|1" || len(want[0].id()) != 24 {
		t.Errorf("read as %+v", want)
	}
	for name, text := range map[string]string{"array": array, "csv": table} {
		got, err := ReadUserRecords([]byte(text), "main")
		if err != nil {
			t.Fatal(err)
		}
		if name == "csv" {
			if got[0].Line != 2 || got[1].Line != 3 {
				t.Errorf("lines %d and %d", got[0].Line, got[1].Line)
			}
			got[0].Line, got[1].Line = want[0].Line, want[1].Line
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (+):\n%s", name, diff)
		}
	}
	other, err := ReadUserRecords([]byte(`{"email": "a@EXAMPLE.com"}`), "main")
	if err != nil || other[0].id() != want[0].id() {
		t.Errorf("the id of the same user is %s, %v; was %s", other[0].id(), err, want[0].id())
	}
	if other, _ = ReadUserRecords([]byte(`{"email": "a@EXAMPLE.com"}`), "other"); other[0].id() == want[0].id() {
		t.Error("users of two connections have one id")
	}
	if empty, err := ReadUserRecords([]byte(" \n"), "main"); err != nil || len(empty) != 0 {
		t.Errorf("%v, %v", empty, err)
	}
}

func TestEachWrongLineOfAFileIsTold(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string // in their order
	}{
		{"lines", `{"email": "a@example.com"}
{"email": "b@example.com", "colour": 1, "roles": "x"}
{"name": "n"}
nonsense
{"email": "A@Example.com"}
{"email": "c", "expires": "90d", "metadata": {"owner": "x"}}
{"email": "d@example.com", "metadata": {"a.b": 1}} {}
{"email": "d@example.com", "permissions": ["read:a"], "user_id": 1}
{"email": "e@example.com", "user_id": "auth0|e"}
`, []string{
			"line 2: colour: there is no such member; there are connection, email,", "line 2: roles: want a list of texts", "line 3: want an email address",
			"line 4: read JSON", "line 6: email \"c\": want one address", "line 6: expires \"90d\"", "line 6: metadata: owner marks",
			"line 7: read JSON: something follows", "line 8: permissions: permission \"read:a\"", "line 8: user_id: want a text", "line 9: user_id: want the part behind",
		}},
		{"twice", `{"email": "a@example.com"}
{"email": "b@example.com", "username": "n"}
{"email": "A@Example.com"}
{"username": "N"}
{"username": "N", "connection": "other"}
`, []string{"line 3: the email a@example.com of main is that of line 1", "line 4: the user name n of main is that of line 2"}},
		{"array", "[{\"email\": \"a@example.com\"},\n\n  {\"name\": 1},\n 5]", []string{"line 3: name: want a text", "line 4: read JSON"}},
		{"broken array", "[{\"email\": \"a@example.com\"},\n{", []string{"line 2: read JSON: unexpected EOF"}},
		{"array and more", "[]\n[]", []string{"line 2: read JSON: something follows the array"}},
		{"csv", "email,owner\na@example.com,x\nb@example.com\nc,x\n", []string{"line 3: read CSV: wrong number of fields", "line 4: email"}},
		{"csv header", "email,colour,email\na@example.com,x,y\n", []string{"line 1: the column \"colour\"", "line 1: the column \"email\" is there twice"}},
		{"csv quotes", "email,name\na@example.com,\"x\ny\"z\n", []string{"line 2: read CSV"}},
		{"csv metadata", "email,metadata\na@example.com,{\n", []string{"line 2: metadata: read JSON"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			records, err := ReadUserRecords([]byte(c.text), "main")
			var all RecordErrors
			if !errors.As(err, &all) || records != nil {
				t.Fatalf("%v, %v", records, err)
			}
			for i, got := range all {
				if i >= len(c.want) || !strings.HasPrefix(got.Error(), c.want[i]) {
					t.Errorf("problem %d is %q; want %q", i, got, c.want)
				}
			}
			if len(all) != len(c.want) {
				t.Errorf("%d problems, want %d", len(all), len(c.want))
			}
		})
	}
	if _, err := ReadUserRecords([]byte("email\n\xff@example.com\n"), "main"); err == nil {
		t.Error("what is not UTF-8 was read")
	}
}

func FuzzUserRecords(f *testing.F) {
	for _, seed := range []string{`{"email": "a@example.com"}`, "[{}]", "email,roles\na@example.com,x;y\n", "[1,\n2", "{\n}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		records, err := ReadUserRecords(text, "main")
		if err != nil {
			if records != nil {
				t.Fatal("an error and records")
			}
			return
		}
		ids := map[string]bool{}
		for i := range records {
			n := records[i].newUser()
			n.Password = "x"
			if err := n.Validate(); err != nil || ids[n.ID] || records[i].Line < 1 {
				t.Fatalf("line %d: %v, the id %q", records[i].Line, err, n.ID)
			}
			ids[n.ID] = true
		}
	})
}

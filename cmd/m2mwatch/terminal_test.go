package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// hostile has what a terminal obeys: an escape, a C1 control sequence, a delete,
// a right-to-left override, and a tag beyond the first plane.
const hostile = "a\x1b[2Jb\u009b2Jc\x7fd\u202ee\U000e0041f"

// fill puts hostile texts into every text of a value, one element into every list
// and map.
func fill(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		v.SetBytes([]byte(`{"name":"` + strings.ReplaceAll(hostile, "\x1b", `\u001b`) + `"}`))
	case v.Kind() == reflect.String:
		v.SetString(hostile)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case v.Kind() == reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case v.Kind() == reflect.Struct && v.NumField() > 0 && v.Type().Field(0).IsExported():
		for _, field := range v.Fields() {
			fill(field)
		}
	}
}

func filled[T any]() T {
	var v T
	fill(reflect.ValueOf(&v).Elem())
	return v
}

// hostileAPI answers every question with hostile texts.
func hostileAPI(t *testing.T) (environ []string) {
	t.Helper()
	dead := filled[schemas.DeadDetail]()
	dead.Encoding = schemas.DeadEncodingJSON
	stats := map[string]any{"rows": []any{map[string]any{"tenant": hostile, "identity": hostile, "type": hostile, "cause": hostile, "network": hostile, "count": 1}}}
	events, identities, findings, deads, usage := filled[schemas.EventPage](), filled[schemas.IdentityPage](), filled[schemas.FindingPage](), filled[schemas.DeadPage](), filled[schemas.UsagePage]()
	events.Next, identities.Next, findings.Next, deads.Next = "", "", "", ""
	job := filled[schemas.Reprocess]()
	job.State = schemas.ReprocessDone
	answers := map[string]any{
		"/v1/events": events, "/v1/events/acme/1": filled[schemas.EventDetail](),
		"/v1/identities": identities, "/v1/identities/acme/app:a": filled[schemas.IdentityDetail](),
		"/v1/findings": findings, "/v1/findings/1": filled[schemas.FindingDetail](),
		"/v1/dead": deads, "/v1/dead/1": dead, "/v1/dead/replay": schemas.DeadChange{Kept: 1, Reason: hostile},
		"/v1/stats": stats, "/v1/usage": usage, "/v1/status": filled[schemas.StatusView](), "/v1/reprocess": job,
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Accept") == "text/csv":
			fmt.Fprintf(w, "name\n%s\n", hostile)
		case r.URL.Query().Get("raw") == "true":
			fmt.Fprintf(w, "%s\n", hostile)
		case answers[r.URL.Path] == nil:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"status":404,"code":"not_found","detail":"a\u001b\u009b"}`)
		default:
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(answers[r.URL.Path]); err != nil {
				t.Error(err)
			}
		}
	}))
	t.Cleanup(srv.Close)
	return []string{"M2MWATCH_URL=" + srv.URL, "M2MWATCH_TOKEN=" + testToken}
}

// obeyed is the first character that a terminal would obey.
func obeyed(s string) (rune, bool) {
	for _, r := range s {
		if r != '\n' && !unicode.IsPrint(r) {
			return r, true
		}
	}
	return 0, false
}

func TestNothingThatSomebodySentReachesATerminalAsItIs(t *testing.T) {
	environ := hostileAPI(t)
	for _, command := range []string{
		"events list", "events list --json", "events show 1 --tenant acme", "events show 1 --tenant acme --json",
		"identities list", "identities list --json", "identities show app:a --tenant acme", "identities show app:a --tenant acme --json",
		"findings list", "findings list --json", "findings show 1", "findings show 1 --json",
		"dead list", "dead list --json", "dead show 1", "dead show 1 --json", "dead replay --all", "dead replay --all --json",
		"report usage", "report usage --json", "report activity", "report activity --json", "report failures",
		"status", "status --json", "reprocess --tenant acme", "reprocess --tenant acme --json", "findings show none",
	} {
		args := strings.Fields("m2mwatch " + command)
		if strings.Contains(command, " list") {
			args = append(args, "--limit", "1")
		}
		var out, errs bytes.Buffer
		status := run(args, environ, nil, &out, &errs)
		if (status != 0) != strings.HasSuffix(command, "none") {
			t.Errorf("%s: status %d: %s", command, status, errs.String())
		}
		if r, is := obeyed(out.String() + errs.String()); is {
			t.Errorf("%s prints %q:\n%q", command, r, out.String()+errs.String())
		}
		if strings.Contains(command, "--json") && strings.Contains(command, "list") {
			var page map[string]any
			if err := json.Unmarshal(out.Bytes(), &page); err != nil || !strings.Contains(fmt.Sprint(page), hostile) {
				t.Errorf("%s says something else than the API: %v, %q", command, err, page)
			}
		}
	}
}

func TestTailIsPrintable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := tailLine(&out, filter{})(filled[schemas.EventView]()); err != nil {
		t.Fatal(err)
	}
	if r, is := obeyed(out.String()); is || out.Len() == 0 {
		t.Errorf("it prints %q: %q", r, out.String())
	}
}

// What is printed byte for byte is so for files and pipes.
func TestBytesAreLegibleOnATerminal(t *testing.T) {
	environ := hostileAPI(t)
	for _, command := range []string{"events list --csv --limit 1", "report usage --csv", "dead show 1 --raw"} {
		args := strings.Fields("m2mwatch " + command)
		var piped bytes.Buffer
		if status := run(args, environ, nil, &piped, io.Discard); status != 0 || !strings.Contains(piped.String(), hostile) {
			t.Errorf("%s: status %d, piped %q", command, status, piped.String())
		}
		got := onTerminal(t, func(terminal *os.File) {
			if status := run(args, environ, nil, terminal, io.Discard); status != 0 {
				t.Errorf("%s: status %d", command, status)
			}
		})
		got = strings.ReplaceAll(got, "\r\n", "\n")
		if r, is := obeyed(got); is || !strings.Contains(got, `a\x1b[2Jb\u009b2Jc\x7fd\u202ee\U000e0041f`) {
			t.Errorf("%s prints %q on a terminal: %q", command, r, got)
		}
	}
}

// onTerminal is what f writes to a terminal.
func onTerminal(t *testing.T, f func(terminal *os.File)) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	shown := make(chan string)
	go func() {
		all, _ := io.ReadAll(master) // it ends with an error when the other end closes
		shown <- string(all)
	}()
	f(terminal)
	terminal.Close()
	return <-shown
}

func TestACharacterInTwoPiecesIsLegible(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := &legibleWriter{out: &out}
	for _, b := range []byte("aü\u009b\xff€\x1b𝄞\xc3") {
		if n, err := w.Write([]byte{b}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if got, want := out.String(), "aü\\u009b\ufffd€\\x1b𝄞"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

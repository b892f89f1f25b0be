package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
)

// deadAnswers serves one answer after the other, and notes what was asked. An
// answer that is a number is the status of a problem.
func deadAnswers(t *testing.T, answers ...string) (client *apiclient.Client, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := answers[min(len(*asked), len(answers)-1)]
		*asked = append(*asked, r.Method+" "+r.URL.RequestURI())
		if code, ok := strings.CutPrefix(answer, "503 "); ok {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			answer = fmt.Sprintf(`{"status":503,"code":%q,"detail":"No."}`, code)
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(srv.Close)
	client, err := apiclient.New(apiclient.Config{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, asked
}

func replayAll(client *apiclient.Client) (c *deadChange, out, errs *bytes.Buffer) {
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	return &deadChange{
		inv: &invocation{stdout: out, stderr: errs}, client: client, verb: apiclient.DeadVerbReplay, word: "replayed",
		all: true, q: apiclient.DeadQuery{Tenant: "acme"},
	}, out, errs
}

func TestReplayOfAllGoesOnToTheEnd(t *testing.T) {
	t.Parallel()
	client, asked := deadAnswers(t,
		`{"done":3,"kept":1,"reason":"it is empty","left":4,"through":9,"next":"two"}`,
		"503 broker_full",
		`{"done":2,"kept":1,"reason":"another","through":9}`)
	c, out, _ := replayAll(client)
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "5 replayed; 2 stay in DEAD, the first of them since it is empty\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := strings.Join(*asked, ", "); got != "POST /v1/dead/replay?tenant=acme, POST /v1/dead/replay?cursor=two&tenant=acme, POST /v1/dead/replay?cursor=two&tenant=acme" {
		t.Errorf("asked %s", got)
	}
}

func TestReplayThatFailsTellsHowFarItCame(t *testing.T) {
	t.Parallel()
	client, _ := deadAnswers(t, `{"done":3,"left":4,"through":9,"next":"two"}`, "503 broker_unavailable")
	c, out, _ := replayAll(client)
	if err := c.run(t.Context()); err == nil || !strings.Contains(err.Error(), "after 3 (run it again") || out.String() != "3 replayed\n" {
		t.Errorf("error %v, output %q", err, out)
	}
	client, _ = deadAnswers(t, "503 broker_full")
	c, out, _ = replayAll(client)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.run(ctx); err == nil || out.Len() > 0 {
		t.Errorf("interrupted: error %v, output %q", err, out)
	}
}

// A page of the API may be empty and not the last, where little fits.
func TestListOfDeadLogsGoesOnBehindAnEmptyPage(t *testing.T) {
	t.Parallel()
	client, asked := deadAnswers(t, `{"dead":[],"next":"a"}`, `{"dead":[],"next":"b"}`, `{"dead":[{"id":2}],"next":"c"}`)
	rows, next, err := readDead(t.Context(), client, apiclient.DeadQuery{Limit: 3})
	if err != nil || len(rows) != 1 || next != "c" {
		t.Errorf("got %+v, %s, %v", rows, next, err)
	}
	if got := strings.Join(*asked, ", "); got != "GET /v1/dead?limit=3, GET /v1/dead?cursor=a&limit=3, GET /v1/dead?cursor=b&limit=3" {
		t.Errorf("asked %s", got)
	}
}

func TestWhatATerminalWouldObeyIsShown(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"{\n\t\"ü\": 'a'}": "{\n\t\"ü\": 'a'}",
		"\x1b]0;x\a\r":     `\x1b]0;x\a\r`,
		"\u009b2J\u202e":   `\u009b2J\u202e`,
	} {
		if got := legible(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

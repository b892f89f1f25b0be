package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// customUse is a CloudEvent that tells of the n-th use of a token.
func customUse(n int, jti, ip string) string {
	return fmt.Sprintf(`{"specversion":"1.0","type":"token.used","source":"/gateway","id":"use-%d","time":%q,"data":{"jti":%q,"client_id":"client-a","ip":%q,"api":"https://api.example.com","scope":"read:a","method":"GET","path":"/things/%d"}}`,
		n, epoch.Add(time.Duration(n)*time.Second).Format(time.RFC3339), jti, ip, n)
}

func TestCustomEventsAreStoredOnceAndListedAtTheirToken(t *testing.T) {
	i := startUp(t, filepath.Join(t.TempDir(), "data"))
	custom := i.api + "/v1/custom/acme"
	send := func(body string) (status, accepted int) {
		status, accepted, _ = i.postTo(custom, strings.NewReader(body))
		return status, accepted
	}
	issueID, issue := record(1, epoch, "seccft", "client-a", "192.0.2")
	issue = strings.Replace(issue, `"data":{`, `"data":{"details":{"access_token_jti":"j1"},`, 1)
	if status, _, _ := i.post([]byte(issue)); status != 200 {
		t.Fatalf("the log: status %d", status)
	}
	batch := "[" + strings.Join([]string{
		customUse(1, "j1", "192.0.2.1"), customUse(2, "j1", "192.0.2.2"), customUse(3, "j1", "203.0.113.1"), customUse(4, "j2", "192.0.2.1"),
	}, ",") + "]"
	for range 2 { // and its repeat
		if status, accepted := send(batch); status != 200 || accepted != 4 {
			t.Fatalf("status %d, %d accepted", status, accepted)
		}
		i.settle()
	}
	if status, _ := send("[" + customUse(5, "j1", "192.0.2.1") + `,{"specversion":"1.0","type":"x","source":"s","id":"1"}]`); status != 400 {
		t.Errorf("an event without time: status %d, want 400", status)
	}
	i.settle()

	if n := i.counts(); n["custom:token.used"] != 4 || n["seccft"] != 1 || len(n) != 2 {
		t.Errorf("counted %v, want 4 uses and a token", n)
	}
	listed := i.listed("&type=custom:token.used")
	for id, n := range listed {
		if n != 1 || !strings.HasPrefix(id, "custom-") {
			t.Errorf("%s is listed %d times", id, n)
		}
		var event struct {
			Type, Source string
			Identity     struct{ ID, Kind string }
			Raw          struct{ Type string }
		}
		i.mustGet("/v1/events/acme/"+id, &event)
		if event.Type != "custom:token.used" || event.Source != "custom" || event.Identity.ID != "app:client-a" || event.Identity.Kind != "machine" || event.Raw.Type != "token.used" {
			t.Errorf("event %+v", event)
		}
	}
	if len(listed) != 4 {
		t.Errorf("%d events listed, want 4", len(listed))
	}
	var token struct {
		Issue struct {
			LogID string `json:"log_id"`
		}
		UseCount int `json:"use_count"`
		Uses     []struct{ Network, Path string }
		Places   []struct {
			Network, Scope, Audience string
			Count                    int
		}
	}
	i.mustGet("/v1/tokens/acme/j1", &token)
	if token.Issue.LogID != issueID || token.UseCount != 3 || len(token.Uses) != 3 || token.Uses[2].Path != "/things/3" {
		t.Errorf("token %+v", token)
	}
	if p := token.Places; len(p) != 2 || p[0].Network != "192.0.2.0/24" || p[0].Scope != "read:a" || p[0].Audience != "https://api.example.com" || p[0].Count != 2 || p[1].Count != 1 {
		t.Errorf("places %+v", p)
	}
	i.interrupt()
}

func TestCustomSendSendsWhatIsTakenAndTellsWhatIsNot(t *testing.T) {
	i := startUp(t, filepath.Join(t.TempDir(), "data"))
	send := func(secret, stdin string) (out string, err error) {
		cmd := exec.Command(programPath(t), "custom", "send", "--tenant", "acme", "--url", i.api, "-")
		cmd.Env = append(cleanEnviron(), customSecretEnv+"="+secret)
		cmd.Stdin = strings.NewReader(stdin)
		b, err := cmd.CombinedOutput()
		return string(b), err
	}
	events := customUse(1, "j1", "192.0.2.1") + "\n\n" + customUse(2, "j1", "192.0.2.1") + "\n" + customUse(1, "j1", "192.0.2.1") + "\n"
	if out, err := send(testSecret, events); err != nil || out != "2 events accepted, 0 refused\n" {
		t.Errorf("%v, %s", err, out)
	}
	if out, err := send(testSecret, events+`{"specversion":"1.0"}`+"\n"+customUse(3, "j1", "192.0.2.1")); err == nil ||
		!strings.Contains(out, "3 events accepted, 1 refused") || !strings.Contains(out, "id is missing") {
		t.Errorf("%v, %s", err, out)
	}
	if out, err := send("a-wrong-secret", events); err == nil || !strings.Contains(out, "unauthorized") {
		t.Errorf("%v, %s", err, out)
	}
	i.settle()
	if n := i.counts()["custom:token.used"]; n != 3 {
		t.Errorf("%d events stored, want 3", n)
	}
	i.interrupt()
}

func TestCustomSendWaitsWhileNothingIsTakenAndHoldsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		var sent []string
		answers := []error{
			errors.New("no connection"), &apiclient.Error{Status: 503, RetryAfter: 7 * time.Second}, nil, // the first batch
		}
		var times []time.Duration
		start := time.Now()
		s := &customSender{
			inv: &invocation{stdout: io.Discard, stderr: io.Discard, stdin: in}, tenant: "acme", retry: 5 * time.Second,
			post: func(_ context.Context, _ string, body io.Reader) (schemas.Accepted, error) {
				b, _ := io.ReadAll(body)
				times = append(times, time.Since(start))
				if bytes.Contains(b, []byte("bad")) {
					return schemas.Accepted{}, &apiclient.Error{Status: 400}
				}
				if len(answers) > 0 {
					err := answers[0]
					answers = answers[1:]
					if err != nil {
						return schemas.Accepted{}, err
					}
				}
				lines := strings.Split(string(b), "\n")
				sent = append(sent, lines...)
				return schemas.Accepted{Accepted: len(lines)}, nil
			},
		}
		done := make(chan error)
		go func() { done <- s.sendFile(t.Context(), "-") }()
		fmt.Fprintln(out, "a")
		synctest.Wait()
		fmt.Fprintln(out, "b")
		synctest.Wait()
		if len(times) != 0 {
			t.Error("an event was sent before it had waited for others")
		}
		timer := time.NewTimer(20 * time.Second)
		<-timer.C
		fmt.Fprint(out, "c\nbad\nd\n")
		out.Close()
		if err := <-done; err == nil || s.accepted != 4 || s.refused != 1 {
			t.Errorf("%v, %d accepted, %d refused", err, s.accepted, s.refused)
		}
		if diff := cmp.Diff([]string{"a", "b", "c", "d"}, sent); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]time.Duration{time.Second, 6 * time.Second, 13 * time.Second}, times[:3]); diff != "" {
			t.Errorf("times (-want +got):\n%s", diff)
		}
	})
}

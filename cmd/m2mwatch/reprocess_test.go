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
	"github.com/m2mwatch/m2mwatch/schemas"
)

// jobAnswers serves a job in one state after the other, the last for ever.
func jobAnswers(t *testing.T, states ...string) *apiclient.Client {
	t.Helper()
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"id":"abc","state":%q,"done":%d,"total":9,"changed":2,"moved":1}`, states[min(asked, len(states)-1)], asked)
		asked++
	}))
	t.Cleanup(srv.Close)
	client, err := apiclient.New(apiclient.Config{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func TestReprocessIsWatchedUntilItIsOver(t *testing.T) {
	t.Parallel()
	inv := &invocation{stderr: &bytes.Buffer{}}
	for _, last := range []schemas.ReprocessState{schemas.ReprocessDone, schemas.ReprocessCanceled} {
		client := jobAnswers(t, "pending", "running", "running", string(last))
		job, err := watchReprocess(t.Context(), inv, client, schemas.Reprocess{ID: "abc", State: schemas.ReprocessPending})
		if err != nil || job.State != last || job.Done != 3 {
			t.Errorf("got %+v, %v", job, err)
		}
	}
}

func TestReprocessThatIsInterruptedSaysThatTheJobGoesOn(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := watchReprocess(ctx, &invocation{stderr: &bytes.Buffer{}}, jobAnswers(t, "running"), schemas.Reprocess{ID: "abc", State: schemas.ReprocessRunning})
	if err == nil || !strings.Contains(err.Error(), "job abc goes on") {
		t.Errorf("error %v", err)
	}
}

func TestReprocessTellsWhatItDid(t *testing.T) {
	t.Parallel()
	for want, job := range map[string]schemas.Reprocess{
		"9 records read, 2 changed, 1 of them to another client_id or time":                     {State: schemas.ReprocessDone, Done: 9, Changed: 2, Moved: 1},
		"9 records read, 2 would change, 0 of them to another client_id or time":                {State: schemas.ReprocessDone, DryRun: true, Done: 9, Changed: 2},
		"job abc is running: 3 records read, 2 changed, 0 of them to another client_id or time": {ID: "abc", State: schemas.ReprocessRunning, Done: 3, Total: 9, Changed: 2},
		"1 could not be normalized again and are as they were: log_id 5: odd":                   {State: schemas.ReprocessDone, Errors: 1, Error: "log_id 5: odd"},
	} {
		if got := reprocessText(&job); !strings.Contains(got, want) {
			t.Errorf("%q does not hold %q", got, want)
		}
	}
}

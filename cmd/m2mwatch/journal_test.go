package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// newJournaling makes an operator with a journal of the test's own.
func newJournaling(t *testing.T) (o *operator, file string) {
	t.Helper()
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	t.Setenv("M2MWATCH_ENGINE_LIBRARY", engineLibrary(t))
	t.Chdir(t.TempDir()) // no instance runs in its data directory
	return newProvisioner(t, allScopes()...), filepath.Join(state, "m2mwatch", "provision-log.jsonl")
}

// kept are the calls in a journal's file, without what differs from run to run.
func kept(t *testing.T, file string) []string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	calls, err := readCalls(f)
	if err != nil {
		t.Fatal(err)
	}
	return told(calls)
}

func told(calls []schemas.ProvisionCall) []string {
	told := []string{}
	for _, c := range calls {
		told = append(told, fmt.Sprintf("%s: %s %s %s", c.Command, c.Method, c.Path, c.Outcome))
	}
	return told
}

// listed are the calls that an instance has.
func (o *operator) listed(server *instance) []schemas.ProvisionCall {
	o.t.Helper()
	out, _ := o.at(server).must("journal", "list", "--json")
	var page schemas.ProvisionPage
	if err := json.Unmarshal([]byte(out), &page); err != nil {
		o.t.Fatal(err)
	}
	return page.Calls
}

// at is the operator where an instance is known.
func (o *operator) at(server *instance) *operator {
	there := *o
	there.environ = append([]string{"M2MWATCH_URL=" + server.api, "M2MWATCH_TOKEN=" + testToken}, o.environ...)
	return &there
}

func TestWhatIsChangedWithoutAnInstanceReachesTheNext(t *testing.T) {
	o, file := newJournaling(t)
	role := o.role("exporter")
	o.must("roles", "update", role, "--description", "exports invoices")
	o.must("roles", "list")
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/roles", Status: 400})
	o.fails(exitError, "400", "roles", "create", "importer")
	path := "/api/v2/roles/" + role
	want := []string{
		"roles update: PATCH " + path + " begun", "roles update: PATCH " + path + " done",
		"roles create: POST /api/v2/roles begun", "roles create: POST /api/v2/roles refused",
	}
	if diff := cmp.Diff(want, kept(t, file)); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the journal: %v, %v", info, err)
	}
	server := startUp(t, filepath.Join(t.TempDir(), "data"))
	calls := o.listed(server)
	if diff := cmp.Diff([]string{want[3], want[1]}, told(calls)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(calls) > 0 && (calls[0].ClientID != o.client.ID || calls[0].Operator != operatorName() || calls[0].Domain != strings.TrimPrefix(o.base, "http://")) {
		t.Errorf("got %+v", calls[0])
	}
	if left := kept(t, file); len(left) != 0 {
		t.Errorf("the file has %q still", left)
	}
}

func TestTheRunningInstanceRecordsChanges(t *testing.T) {
	o, file := newJournaling(t)
	o.must("roles", "create", "before") // and there is nobody
	server := startUp(t, filepath.Join(t.TempDir(), "data"))
	o.must("roles", "create", "between") // nor is the instance known
	o.at(server).must("roles", "create", "during")
	calls := o.listed(server)
	want := []string{"roles create: POST /api/v2/roles done", "roles create: POST /api/v2/roles done", "roles create: POST /api/v2/roles done"}
	if diff := cmp.Diff(want, told(calls)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(calls) == 3 && !strings.HasPrefix(calls[0].Made, "rol_") {
		t.Errorf("what it made is %q", calls[0].Made)
	}
	if left := kept(t, file); len(left) != 0 {
		t.Errorf("the file has %q still", left)
	}
	server.kill()
	_, said := o.at(server).must("roles", "create", "after")
	if !strings.Contains(said, "changes are recorded in "+file+", as the running instance does not take them") || len(kept(t, file)) != 2 {
		t.Errorf("it says %q and keeps %q", said, kept(t, file))
	}
}

func TestWhatWasKeptIsSentOnDemand(t *testing.T) {
	o, file := newJournaling(t)
	server := startUp(t, filepath.Join(t.TempDir(), "data"))
	o.must("roles", "create", "exporter")
	if out, _ := o.at(server).must("journal", "send"); out != "2 recorded calls sent\n" {
		t.Errorf("it says %q", out)
	}
	if calls := o.listed(server); len(calls) != 1 || len(kept(t, file)) != 0 {
		t.Errorf("%d calls there, %q here", len(calls), kept(t, file))
	}
	if out, _ := o.at(server).must("journal", "send"); out != "0 recorded calls sent\n" {
		t.Errorf("it says %q", out)
	}
}

// What cannot be recorded is not done.
func TestNothingIsChangedThatIsNotRecorded(t *testing.T) {
	o, file := newJournaling(t)
	if err := os.WriteFile(filepath.Dir(file), nil, 0o600); err != nil { // a file where its folder should be
		t.Fatal(err)
	}
	o.fails(exitError, "record the change before it is made (nothing was changed)", "roles", "create", "exporter")
	if out, said := o.must("roles", "list"); strings.Contains(out, "exporter") {
		t.Errorf("there is\n%s%s", out, said)
	}
}

func TestACallWhoseAnswerIsLostIsRecordedAsSuch(t *testing.T) {
	o, file := newJournaling(t)
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/roles", Drop: true})
	o.must("roles", "create", "exporter")
	want := []string{"roles create: POST /api/v2/roles begun", "roles create: POST /api/v2/roles unknown"}
	if diff := cmp.Diff(want, kept(t, file)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// One call that nobody takes, as a clock that was wrong made it, holds up no other.
func TestACallOfAWrongClockIsSetAside(t *testing.T) {
	o, file := newJournaling(t)
	o.must("roles", "create", "exporter")
	wrong := schemas.ProvisionCall{ID: "wrong", At: time.Now().AddDate(5, 0, 0), Domain: "d", ClientID: "c", Command: "roles create", Method: "POST", Path: "/p", Outcome: schemas.ProvisionBegun}
	if err := (journalFile{file}).append([]schemas.ProvisionCall{wrong}); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	server := startUp(t, data, "XDG_STATE_HOME="+t.TempDir()) // another user's: it takes nothing in by itself
	if out, _ := o.at(server).must("journal", "send"); out != "2 recorded calls sent\n" {
		t.Errorf("it says %q", out)
	}
	if aside := kept(t, journalFile{file}.aside().path); len(aside) != 1 || len(kept(t, file)) != 0 || len(o.listed(server)) != 1 {
		t.Errorf("set aside %q, kept %q, there %v", aside, kept(t, file), told(o.listed(server)))
	}
}

// A crash amid a line loses that line and no other.
func TestATornLineOfTheJournalHarmsNoOther(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "journal.jsonl")
	j := journalFile{file}
	call := func(id string) []schemas.ProvisionCall { return []schemas.ProvisionCall{{ID: id, Command: id}} }
	if err := j.append(call("first")); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"id":"torn","comm`)
	f.Close()
	if err := j.append(call("last")); err != nil {
		t.Fatal(err)
	}
	var ids []string
	n, err := j.take(func(calls []schemas.ProvisionCall) error {
		for _, c := range calls {
			ids = append(ids, c.ID)
		}
		return nil
	})
	if diff := cmp.Diff([]string{"first", "last"}, ids); diff != "" || n != 2 || err != nil {
		t.Errorf("%d, %v (-want +got):\n%s", n, err, diff)
	}
	if _, err := j.take(func([]schemas.ProvisionCall) error { return fmt.Errorf("what was taken comes again") }); err != nil {
		t.Error(err)
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	actions "github.com/m2mwatch/m2mwatch/deploy/auth0"
	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// simAction is what the tests read of an Action.
type simAction struct {
	ID, Name, Code string
	AllDeployed    bool                           `json:"all_changes_deployed"`
	Triggers       []struct{ ID, Version string } `json:"supported_triggers"`
	Secrets        []struct{ Name string }
	Deployed       struct{ Number int } `json:"deployed_version"`
}

func (o *operator) actions() []simAction {
	o.t.Helper()
	var list struct{ Actions []simAction }
	o.admin("GET", "actions/actions", nil, &list)
	return list.Actions
}

// runs are the names of what a trigger runs, in this order.
func (o *operator) runs(trigger string) string {
	o.t.Helper()
	var list struct {
		Bindings []struct{ Action struct{ Name string } }
	}
	o.admin("GET", "actions/triggers/"+trigger+"/bindings", nil, &list)
	var names []string
	for _, b := range list.Bindings {
		names = append(names, b.Action.Name)
	}
	return strings.Join(names, ", ")
}

// action makes an Action that somebody else has deployed and bound.
func (o *operator) action(name, trigger string) {
	o.t.Helper()
	var a simAction
	o.admin("POST", "actions/actions", map[string]any{"name": name, "supported_triggers": []any{map[string]any{"id": trigger}}, "code": "// theirs"}, &a)
	o.admin("GET", "actions/actions/"+a.ID, nil, nil) // it gets built by being looked at
	o.admin("POST", "actions/actions/"+a.ID+"/deploy", nil, nil)
	o.admin("PATCH", "actions/triggers/"+trigger+"/bindings", map[string]any{"bindings": []any{map[string]any{"ref": map[string]any{"type": "action_id", "value": a.ID}, "display_name": name}}}, nil)
}

func deployArgs(t *testing.T, triggers ...string) []string {
	t.Helper()
	return append(append([]string{"actions", "deploy"}, triggers...), "--tenant", "acme", "--endpoint", "https://watch.example.com", "--from-secret-file", secretFile(t, "open-sesame"), "--wait", "0", "--force")
}

func TestActionsAreDeployedBesideOthersAndRemoved(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	o.action("Theirs", "credentials-exchange")
	args := deployArgs(t, "credentials-exchange", "post-login")
	if _, said := o.must(append(args, "--dry-run")...); !strings.Contains(said, "would have Auth0 run m2mwatch's code at each credentials-exchange and post-login") || len(o.actions()) != 1 {
		t.Errorf("said %q", said)
	}
	o.must(args...)
	o.must(args...) // as it is already
	all := o.actions()
	if len(all) != 3 {
		t.Fatalf("there are %+v", all)
	}
	for _, a := range all[1:] {
		var code string
		for _, template := range actions.All() {
			if template.Trigger == a.Triggers[0].ID {
				code = template.Code
			}
		}
		if !a.AllDeployed || !strings.HasSuffix(a.Code, code) || strings.Contains(a.Code, "open-sesame") || fmt.Sprint(a.Secrets) != "[{M2MWATCH_SECRET} {M2MWATCH_URL}]" || a.Deployed.Number != 2 {
			t.Errorf("deployed %+v", a)
		}
	}
	if all[1].Triggers[0].Version != "v2" || all[2].Triggers[0].Version != "v3" {
		t.Errorf("versions of triggers: %+v %+v", all[1].Triggers, all[2].Triggers)
	}
	if got := o.runs("credentials-exchange"); got != "Theirs, m2mwatch credentials-exchange" {
		t.Errorf("it runs %s", got)
	}
	list, _ := o.must("actions", "list")
	raw, _ := o.must("actions", "list", "--json-compact")
	if !strings.Contains(list, "2 of 2  this build's  m2mwatch credentials-exchange\n") || !strings.Contains(list, "1 of 2  -             Theirs\n") || !json.Valid([]byte(raw)) {
		t.Errorf("listed\n%s%s", list, raw)
	}
	if strings.Contains(o.seen.String()+list+raw, "open-sesame") {
		t.Error("the secret was said")
	}
	o.fails(exitUsage, "nobody to ask", "actions", "remove", "credentials-exchange")
	o.must("actions", "remove", "credentials-exchange", "--force")
	if got := o.runs("credentials-exchange"); got != "Theirs" || len(o.actions()) != 2 || o.runs("post-login") != "m2mwatch post-login" {
		t.Errorf("it runs %s, there are %+v", got, o.actions())
	}
	o.fails(exitError, "it is not there", "actions", "remove", "credentials-exchange", "--force")
}

func TestAnActionOfSomebodyElseIsLeftAlone(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	o.action("m2mwatch post-login", "post-login")
	o.fails(exitError, "was not deployed by m2mwatch", deployArgs(t, "post-login")...)
	o.fails(exitError, "was not deployed by m2mwatch", "actions", "remove", "post-login", "--force")
	if all := o.actions(); len(all) != 1 || all[0].Code != "// theirs" || o.runs("post-login") != "m2mwatch post-login" {
		t.Errorf("there are %+v", all)
	}
}

func TestWhatMakesNoSenseOfAnActionIsRefused(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	args := deployArgs(t, "post-login")
	for want, more := range map[string][]string{
		"want credentials-exchange or post-login": {"pre-user-registration"},
		"--tenant: tenant name":                   {"--tenant", ""},
		"--endpoint: want https":                  {"--endpoint", "http://watch.example.com"},
		"takes the logs of a log stream":          {"--endpoint", hereHook},
		"want --from-secret-file":                 {"--from-secret-file", ""},
	} {
		o.fails(exitUsage, want, append(args, more...)...)
	}
	o.fails(exitError, "it is empty", append(args, "--from-secret-file", secretFile(t, ""))...)
	o.fails(exitError, "m2mwatch.yaml does not name it", append(args, "--endpoint", answering(t, 401, `{"code":"unauthorized"}`), "--wait", "50ms")...)
	if n := len(o.actions()); n != 0 {
		t.Errorf("%d were made", n)
	}
}

func TestAnActionIsDeployedOnceWhateverAnswerIsLost(t *testing.T) {
	const api = "/api/v2/actions/"
	for name, fault := range map[string]auth0sim.Fault{
		"made and lost":     {Method: "POST", Path: api + "actions", Drop: true},
		"not made":          {Method: "POST", Path: api + "actions", Status: http.StatusBadGateway},
		"deployed and lost": {Method: "POST", Path: api + "actions/", Drop: true},
		"not deployed":      {Method: "POST", Path: api + "actions/", Status: http.StatusBadGateway},
		"bound and lost":    {Method: "PATCH", Path: api + "triggers", Drop: true},
		"not bound":         {Method: "PATCH", Path: api + "triggers", Status: http.StatusBadGateway},
		"changed and lost":  {Method: "PATCH", Path: api + "actions", Drop: true},
		"not changed":       {Method: "PATCH", Path: api + "actions", Status: http.StatusBadGateway},
		"deleted and lost":  {Method: "DELETE", Path: api + "actions", Drop: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := newProvisioner(t, allScopes()...)
			o.action("Theirs", "post-login")
			o.tenant.Inject(fault)
			args := deployArgs(t, "post-login")
			o.must(args...)
			o.must(args...)
			if all := o.actions(); len(all) != 2 || !all[1].AllDeployed || o.runs("post-login") != "Theirs, m2mwatch post-login" {
				t.Errorf("there are %+v, it runs %s", all, o.runs("post-login"))
			}
			o.must("actions", "remove", "post-login", "--force")
			if all := o.actions(); len(all) != 1 || o.runs("post-login") != "Theirs" {
				t.Errorf("left are %+v, it runs %s", all, o.runs("post-login"))
			}
		})
	}
}

func TestAnActionIsDeployedWhenAuth0HasBuiltIt(t *testing.T) {
	o := newOperatorOf(t, auth0sim.Config{ActionPolls: 2}, "terraform-ci")
	o.become(allScopes()...)
	o.must(deployArgs(t, "post-login")...)
	if all := o.actions(); len(all) != 1 || !all[0].AllDeployed || o.runs("post-login") != "m2mwatch post-login" {
		t.Errorf("there are %+v, it runs %s", all, o.runs("post-login"))
	}
}

// A command that dies between two steps is run again, and does what is missing.
func TestDeployGoesOnWhereItWasCutShort(t *testing.T) {
	for _, path := range []string{"POST /api/v2/actions/actions/", "PATCH /api/v2/actions/triggers", "GET /api/v2/actions/triggers/post-login"} {
		t.Run(path, func(t *testing.T) {
			o := newProvisioner(t, allScopes()...)
			method, prefix, _ := strings.Cut(path, " ")
			o.tenant.Inject(auth0sim.Fault{Method: method, Path: prefix, Status: http.StatusForbidden, Times: 1})
			args := deployArgs(t, "post-login")
			o.fails(exitError, "403", args...)
			o.must(args...)
			if all := o.actions(); len(all) != 1 || !all[0].AllDeployed || o.runs("post-login") != "m2mwatch post-login" {
				t.Errorf("there are %+v, it runs %s", all, o.runs("post-login"))
			}
		})
	}
}

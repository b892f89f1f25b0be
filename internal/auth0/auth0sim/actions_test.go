package auth0sim

import (
	"testing"
	"time"
)

func TestActionIsDeployedBoundAndRemoved(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 3, Machines: 4, People: 2})
	a := administrator(t, tenant)
	body := `{"name":"m2mwatch","supported_triggers":[{"id":"credentials-exchange","version":"v2"}],"code":"exports.onExecuteCredentialsExchange = async () => {};","secrets":[{"name":"TOKEN","value":"s3"}]}`
	action := a.call(201, "POST", "/actions/actions", body)
	id := action["id"].(string)
	if secret := action["secrets"].([]any)[0].(map[string]any); secret["value"] != nil || secret["name"] != "TOKEN" || len(id) != 36 {
		t.Errorf("created %v", action)
	}
	a.call(409, "POST", "/actions/actions", body)
	bindings, bind := "/actions/triggers/credentials-exchange/bindings", `{"bindings":[{"ref":{"type":"action_id","value":"`+id+`"},"display_name":"m2mwatch"}]}`
	a.call(400, "PATCH", bindings, bind) // not deployed
	if version := a.call(200, "POST", "/actions/actions/"+id+"/deploy", ""); version["number"] != 1.0 || version["deployed"] != true {
		t.Errorf("deployed %v", version)
	}
	a.call(200, "PATCH", bindings, bind)
	if list := a.call(200, "GET", bindings, ""); list["total"] != 1.0 {
		t.Errorf("bound %v", list)
	}
	if changed := a.call(200, "PATCH", "/actions/actions/"+id, `{"code":"// none"}`); changed["all_changes_deployed"] != false {
		t.Errorf("changed %v", changed)
	}
	a.call(409, "DELETE", "/actions/actions/"+id, "")
	a.call(200, "PATCH", bindings, `{"bindings":[]}`)
	a.call(204, "DELETE", "/actions/actions/"+id, "")
	a.call(404, "GET", "/actions/actions/"+id, "")
	if list := a.call(200, "GET", "/actions/actions?triggerId=credentials-exchange", ""); list["total"] != 0.0 {
		t.Errorf("left %v", list)
	}
}

func TestAnActionIsDeployedWhenItIsBuilt(t *testing.T) {
	t.Parallel()
	a := administrator(t, New(Config{Seed: 3, Machines: 4, People: 2, ActionPolls: 2}))
	action := a.call(201, "POST", "/actions/actions", `{"name":"m2mwatch","supported_triggers":[{"id":"post-login"}],"code":"// none"}`)
	path := "/actions/actions/" + action["id"].(string)
	for _, want := range []string{"pending", "building", "built"} {
		if want != "built" {
			a.call(400, "POST", path+"/deploy", "")
		}
		if got := a.call(200, "GET", path, "")["status"]; got != want {
			t.Errorf("status %v, want %s", got, want)
		}
	}
	a.call(200, "POST", path+"/deploy", "")
	a.call(400, "GET", "/actions/actions?include_totals=true", "")
	if got := a.call(200, "PATCH", path, `{"code":"// other"}`)["status"]; got != "pending" {
		t.Errorf("changed, it is %v", got)
	}
}

func TestSettingsAndSigningKeysAreShown(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := administrator(t, New(Config{Seed: 3, Machines: 4, People: 2, Now: func() time.Time { return now }}))
	if settings := a.call(200, "PATCH", "/tenants/settings", `{"default_audience":"https://x.example","flags":{"enable_sso":false}}`); settings["default_audience"] != "https://x.example" ||
		len(settings["flags"].(map[string]any)) < 2 {
		t.Errorf("settings %v", settings)
	}
	if settings := a.call(200, "GET", "/tenants/settings?fields=friendly_name", ""); len(settings) != 1 {
		t.Errorf("settings %v", settings)
	}
	key, err := newSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	if d := a.call(200, "GET", "/keys/signing/"+keyID(&key.PublicKey), ""); d["current"] != true || d["cert"] == "" {
		t.Errorf("key %v", d)
	}
}

package provision

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMachineCategoriesAreThoseOfMachines(t *testing.T) {
	want := []string{
		"actions", "auth.login.success", "auth.silent_auth.fail", "auth.silent_auth.success", "auth.token_exchange.fail", "auth.token_exchange.success",
		"management.fail", "management.success", "other", "scim.event", "system.notification", "user.fail", "user.success",
	}
	if diff := cmp.Diff(want, MachineCategories()); diff != "" {
		t.Error(diff)
	}
	if n := len(LogCategories()); n != 20 {
		t.Errorf("%d categories, Auth0 has 20", n)
	}
}

func TestAStreamTellsItsHealthAndNotItsSecrets(t *testing.T) {
	for status, want := range map[string]string{"active": "", "paused": "until it is resumed", "suspended": "deliveries failed for days", "asleep": "does not know"} {
		s, err := readStream(fmt.Appendf(nil, `{"id":"lst_1","type":"http","status":%q,"sink":{"httpAuthorization":"open-sesame","httpFuture":"open-sesame","httpContentFormat":"JSONLINES"}}`, status))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Health(); got == "" != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q", status, got)
		}
		if shown := fmt.Sprintf("%v %+v %#v %s", s, s, s, s.Raw); strings.Contains(shown, "open-sesame") || !strings.Contains(shown, "JSONLINES") {
			t.Errorf("shown as %s", shown)
		}
	}
}

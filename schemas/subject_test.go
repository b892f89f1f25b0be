package schemas_test

import (
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestTenantNamesFitASubject(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"acme": true, "a": true, "acme-eu-1": true, strings.Repeat("a", 63): true,
		"": false, strings.Repeat("a", 64): false, "Acme": false, "a.b": false, "a b": false, "a*": false, "a\n": false, "é": false,
	} {
		if err := schemas.CheckTenant(name); (err == nil) != ok {
			t.Errorf("CheckTenant(%q): %v", name, err)
		}
	}
}

func TestDeadSubjectIsTheSameForARepeat(t *testing.T) {
	t.Parallel()
	first := schemas.SubjectDead("acme", []byte("x"), "")
	if again := schemas.SubjectDead("acme", []byte("x"), ""); again != first {
		t.Errorf("one log lies at %s and %s", first, again)
	}
	if schemas.SubjectDead("acme", []byte("y"), "") == first || schemas.SubjectDead("globex", []byte("x"), "") == first {
		t.Error("two logs lie on one subject")
	}
	if replayed := schemas.SubjectDead("acme", []byte("x"), "r"); replayed == first || replayed == schemas.SubjectDead("acme", []byte("x"), "s") {
		t.Error("a log that failed again lies on the subject of the one that it was replayed from")
	}
	if n := strings.Count(first, "."); n != 2 || !strings.HasPrefix(first, "dead.acme.") {
		t.Errorf("subject %s, want three tokens that begin with dead.acme", first)
	}
}

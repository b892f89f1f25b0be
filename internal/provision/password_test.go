package provision

import (
	"strings"
	"testing"
)

func TestAPasswordTakesTheStrictestPolicy(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		password := NewPassword()
		if len(password) != passwordLength || !strongPassword(password) || seen[password] {
			t.Fatalf("a password of %d characters is weak, or came twice", len(password))
		}
		seen[password] = true
	}
	for _, weak := range []string{"aaaB2-", "abcdefgh2-", "ABab--" + strings.Repeat("x", 26)} {
		if strongPassword(weak) {
			t.Errorf("%q passes", weak)
		}
	}
}

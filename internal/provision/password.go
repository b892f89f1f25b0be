package provision

import (
	"crypto/rand"
	"math/big"
	"strings"
)

// passwordLength is well under the 72 bytes that bcrypt takes.
const passwordLength = 32

// passwordClasses leave out what is taken for another when it is read aloud, and
// what a shell or a URL reads in its own way. A password of 32 has 191 bits.
var passwordClasses = [...]string{"abcdefghijkmnopqrstuvwxyz", "ABCDEFGHJKLMNPQRSTUVWXYZ", "23456789", "-_.+~^"}

// NewPassword makes a password that every policy of a connection takes: all four
// classes of characters, and none of them three times in a row.
func NewPassword() string {
	letters := strings.Join(passwordClasses[:], "")
	for {
		b := make([]byte, passwordLength)
		for i := range b {
			n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
			if err != nil {
				panic(err) // never: crypto/rand ends the process before that
			}
			b[i] = letters[n.Int64()]
		}
		if password := string(b); strongPassword(password) {
			return password
		}
	}
}

// strongPassword is what the policy "excellent" asks for. Source: Auth0, "Password
// strength in Auth0 database connections".
func strongPassword(password string) bool {
	for _, class := range passwordClasses {
		if !strings.ContainsAny(password, class) {
			return false
		}
	}
	for i := 2; i < len(password); i++ {
		if password[i] == password[i-1] && password[i] == password[i-2] {
			return false
		}
	}
	return true
}

package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// HasPassword is nil for a user whose password Auth0 can be told.
func (u *User) HasPassword() error {
	if provider, _, _ := strings.Cut(u.ID, "|"); provider != databaseProvider {
		return fmt.Errorf("user %s has no password here: it signs in at %s", u.ID, provider)
	}
	return nil
}

// passwordHistory is what the refusal of a password says that the user has had
// before, in connections that remember those. Not seen of a live tenant yet: where it
// says otherwise, the refusal is an error.
const passwordHistory = "PasswordHistoryError"

// SetPassword gives a user of a database another password. Nobody can look whether
// it has it, but the same once more does no harm: that is how a lost answer is
// resolved. Where the connection remembers passwords, being refused as one of
// them says that it was done, by this call or, with resume, by a former run.
func (u *Users) SetPassword(ctx context.Context, id, password string, resume bool) error {
	for attempt := 1; ; attempt++ {
		_, err := u.API.Patch(ctx, []string{"users", id}, map[string]any{"password": password})
		switch {
		case err == nil, (resume || attempt > 1) && strings.Contains(err.Error(), passwordHistory):
			return nil
		case !errors.Is(err, ErrMaybeDone), attempt == tries:
			return fmt.Errorf("set the password of user %s: %w", id, err)
		}
	}
}

// LeftPassword is the password that a run which was cut short has left in a file;
// "" where it has left none. What else is in the file is an error. Of a file that
// is empty nothing was told to anybody, since it is synced before: it is removed.
func LeftPassword(path string) (string, error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read the password: %w", err)
	case len(text) == 0:
		return "", os.Remove(path)
	}
	password := strings.TrimSuffix(string(text), "\n")
	if len(password) != passwordLength || !strongPassword(password) {
		return "", fmt.Errorf("%s holds no password that m2mwatch has made: if nobody has it, remove the file", path)
	}
	return password, nil
}

package provision

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// UserImport makes the users of a file, each by a POST of its own. Auth0's import
// job is not for them: it takes hashes of passwords that are there already, its
// upsert replaces all of a user's metadata, it tells of its users only together and
// at its end, and what a job has that nobody waits for is gone after a day.
//
// A user is made under an id that follows from its record, so a repeat meets it
// instead of making another. Its password is in a file, synced, before the POST. A
// run that is cut short is simply run again.
type UserImport struct {
	Users     Users
	Passwords *PasswordFolder // nil in a dry run
	Update    bool            // change those that are there and differ
	DryRun    bool            // look, and tell what would be done
}

// ImportOutcome is what became of a record.
type ImportOutcome string

// The outcomes. Those of a dry run that would change something are the same.
const (
	ImportMade      ImportOutcome = "made"      // it was not there
	ImportCompleted ImportOutcome = "completed" // a run that was cut short had begun it
	ImportSame      ImportOutcome = "same"      // it is there as the file has it
	ImportUpdated   ImportOutcome = "updated"   // it was there and differed
	ImportDiffers   ImportOutcome = "differs"   // it is there and differs: nothing was changed
	ImportFailed    ImportOutcome = "failed"
)

// ImportResult tells what became of a record.
type ImportResult struct {
	Line         int           `json:"line"`
	UserID       string        `json:"user_id,omitempty"`
	Login        string        `json:"login"`
	Outcome      ImportOutcome `json:"outcome"`
	PasswordFile string        `json:"password_file,omitempty"` // where this or a former run has put it
	Detail       string        `json:"detail,omitempty"`        // why, or what differs
	Err          error         `json:"-"`                       // of ImportFailed
}

// importUser is a record that is ready to be imported.
type importUser struct {
	*UserRecord
	new   NewUser
	roles []Role
}

// ImportPlan is a file of users that nothing is known to be wrong with.
type ImportPlan struct{ users []importUser }

// Len is how many users there are.
func (p *ImportPlan) Len() int { return len(p.users) }

// Plan looks for the connections, roles and permissions that records name. The
// error is RecordErrors with all that there are not.
func (i *UserImport) Plan(ctx context.Context, records []UserRecord) (*ImportPlan, error) {
	missing := missingNames{}
	roles := map[string]Role{}
	permissions := map[Permission]string{}
	connections := map[string]string{}
	plan := &ImportPlan{}
	for n := range records {
		r := &records[n]
		u := importUser{UserRecord: r, new: r.newUser()}
		if _, known := connections[r.Connection]; !known {
			problem, err := connectionProblem(ctx, i.Users.API, r.Connection)
			if err != nil {
				return nil, err
			}
			connections[r.Connection] = problem
		}
		missing.add(connections[r.Connection], r.Line)
		for _, name := range r.Roles {
			if _, known := roles[name]; !known {
				role, err := findRole(ctx, i.Users.API, name)
				if err != nil && !errors.Is(err, ErrNotFound) {
					return nil, err
				}
				roles[name] = role
			}
			if roles[name].ID == "" {
				missing.add(fmt.Sprintf("role %s: %v", name, ErrNotFound), r.Line)
			}
			u.roles = append(u.roles, roles[name])
		}
		for _, p := range r.Permissions {
			if _, known := permissions[p]; !known {
				unknown, err := unknownPermissions(ctx, i.Users.API, []Permission{p})
				if err != nil {
					return nil, err
				}
				permissions[p] = strings.Join(unknown, "")
			}
			missing.add(permissions[p], r.Line)
		}
		plan.users = append(plan.users, u)
	}
	return plan, missing.err()
}

// connectionProblem says why nobody can be made in a connection; "" where one can.
func connectionProblem(ctx context.Context, api API, name string) (string, error) {
	raws, err := collect(ctx, api, []string{"connections"}, "connections", url.Values{"name": {name}, "fields": {"name,strategy"}})
	if err != nil {
		return "", err
	}
	list, err := decode[struct{ Name, Strategy string }](raws)
	if err != nil {
		return "", err
	}
	for _, c := range list {
		switch {
		case c.Name != name:
		case c.Strategy != databaseProvider:
			return fmt.Sprintf("connection %s is no database: its users are not made here", name), nil
		default:
			return "", nil
		}
	}
	return fmt.Sprintf("connection %s: %v", name, ErrNotFound), nil
}

// missingNames are problems with the lines that have them.
type missingNames map[string][]int

func (m missingNames) add(problem string, line int) {
	if problem != "" && !slices.Contains(m[problem], line) {
		m[problem] = append(m[problem], line)
	}
}

// linesShown bounds how many lines are named that have one problem.
const linesShown = 10

func (m missingNames) err() error {
	var errs RecordErrors
	problems := make([]string, 0, len(m))
	for problem := range m {
		problems = append(problems, problem)
	}
	slices.SortFunc(problems, func(a, b string) int {
		return cmp.Or(m[a][0]-m[b][0], strings.Compare(a, b))
	})
	for _, problem := range problems {
		lines, more := m[problem], ""
		if len(lines) > linesShown {
			lines, more = lines[:linesShown], fmt.Sprintf(" and %d more", len(lines)-linesShown)
		}
		named := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(lines)), ", "), "[]")
		word := "line"
		if len(lines) > 1 {
			word = "lines"
		}
		errs = append(errs, fmt.Errorf("%s %s%s: %s", word, named, more, problem))
	}
	if errs == nil {
		return nil
	}
	return errs
}

// failuresInARow is after how many an import ends: what is wrong then is wrong with
// all that would follow.
const failuresInARow = 10

// ErrImportStopped is wrapped where records were left.
var ErrImportStopped = errors.New("the import ended early: run it again, nothing is made twice")

// Run imports the users of a plan one after another, and calls each with what
// became of it. The error is why it ended early; what went wrong with single users
// is told to each alone.
func (i *UserImport) Run(ctx context.Context, plan *ImportPlan, each func(ImportResult)) error {
	failed := 0
	for n := range plan.users {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ErrImportStopped, ctx.Err())
		}
		result := i.one(ctx, &plan.users[n])
		each(result)
		if failed++; result.Outcome != ImportFailed {
			failed = 0
		}
		if failed == failuresInARow {
			return fmt.Errorf("%w: %d users in a row failed", ErrImportStopped, failed)
		}
	}
	return nil
}

// one imports one user.
func (i *UserImport) one(ctx context.Context, u *importUser) ImportResult {
	result := ImportResult{Line: u.Line, UserID: databaseProvider + "|" + u.new.ID, Login: u.login()}
	err := i.into(ctx, u, &result)
	if err != nil {
		result.Outcome, result.Detail, result.Err = ImportFailed, err.Error(), err
	}
	return result
}

func (i *UserImport) into(ctx context.Context, u *importUser, result *ImportResult) error {
	if i.DryRun {
		return i.look(ctx, u, result)
	}
	entry := i.Passwords.entry(u.login(), u.new.ID)
	password, done, err := entry.left()
	if err != nil {
		return err
	}
	if password == "" && !done {
		return i.begin(ctx, u, entry, result)
	}
	if result.PasswordFile = entry.part(); done {
		result.PasswordFile = entry.path
	}
	u.new.Password = password
	user, err := i.Users.Get(ctx, result.UserID)
	switch {
	case err == nil && done:
		return i.compare(ctx, u, &user, result)
	case err == nil:
		return i.complete(ctx, u, &user, entry, result)
	case !errors.Is(err, ErrNotFound):
		return err
	case done:
		return fmt.Errorf("user %s is gone, and %s has the password that it had: remove that, and the user is made again", result.UserID, entry.path)
	}
	return i.make(ctx, u, entry, result)
}

// begin makes a user of whom nothing is known. Whether it is there the POST tells:
// it takes one call instead of two where it is not, which is the rule.
func (i *UserImport) begin(ctx context.Context, u *importUser, entry passwordEntry, result *ImportResult) (err error) {
	if u.new.Password, err = entry.begin(); err != nil {
		return err
	}
	result.PasswordFile = entry.part()
	return i.make(ctx, u, entry, result)
}

// make makes a user whose password is in its file. Whoever has its id then need not
// be the one that was made here, also where an answer was lost: see request.
func (i *UserImport) make(ctx context.Context, u *importUser, entry passwordEntry, result *ImportResult) error {
	find := func() (json.RawMessage, error) {
		return i.Users.API.Get(ctx, []string{"users", result.UserID}, nil)
	}
	raw, err := create(ctx, i.Users.API, []string{"users"}, u.body(), find)
	if errors.Is(err, ErrConflict) && !errors.Is(err, ErrMaybeDone) {
		found, failed := find() // one of ours whose answer was lost before may have come late
		switch {
		case failed == nil:
			raw, err = found, nil
		case !errors.Is(failed, ErrNotFound):
			return failed // the file stays, as below
		}
	}
	switch {
	case errors.Is(err, ErrMaybeDone):
		return err // the file stays: it is the password if it was done
	case err != nil:
		entry.giveUp()
		result.PasswordFile = ""
		if errors.Is(err, ErrConflict) {
			return i.meet(ctx, u, err, result)
		}
		return err
	}
	user, err := readUser(raw)
	if err != nil {
		return err
	}
	if !u.made(&user) {
		entry.giveUp()
		result.PasswordFile = ""
		return i.compare(ctx, u, &user, result)
	}
	result.Outcome = ImportMade
	return i.whole(ctx, u, entry, result)
}

// body is the POST's, with the request.
func (u *importUser) body() map[string]any {
	body := u.new.body()
	marks := maps.Clone(u.new.AppMetadata)
	marks[markRequest] = u.request()
	body["app_metadata"] = marks
	return body
}

// request is the mark by which a user is known to have the password of this record's
// file. An id says nothing of that: a person may have it, and so may a user that was
// imported elsewhere. It follows from the password, of 191 random bits, so that it
// cannot get apart from its file, and tells nobody anything of it.
func (u *importUser) request() string {
	mac := hmac.New(sha256.New, []byte(u.new.Password))
	mac.Write([]byte("m2mwatch users import\x00" + u.new.ID))
	return "import-" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// made reports whether a user was made with the password of this record's file.
func (u *importUser) made(is *User) bool { return is.Mark(markRequest) == u.request() }

// whole gives a user of an import what it should have, and says that it is done.
func (i *UserImport) whole(ctx context.Context, u *importUser, entry passwordEntry, result *ImportResult) error {
	if err := i.Users.give(ctx, result.UserID, u.roles, u.Permissions); err != nil {
		return fmt.Errorf("user %s is made, but not all that it should have (run it again): %w", result.UserID, err)
	}
	if err := entry.finish(); err != nil {
		return err
	}
	result.PasswordFile = entry.path
	return nil
}

// complete goes on with a user that a run has made which was cut short. A user that
// has its id and was made by others gets nothing, and the password opens nothing; nor
// does one get anything of whom somebody has taken the mark, whose password it is.
func (i *UserImport) complete(ctx context.Context, u *importUser, user *User, entry passwordEntry, result *ImportResult) error {
	if !u.made(user) {
		entry.giveUp()
		result.PasswordFile = ""
		return i.compare(ctx, u, user, result)
	}
	if user.Connection() != u.Connection || !user.Programmatic() {
		return i.compare(ctx, u, user, result)
	}
	if err := i.whole(ctx, u, entry, result); err != nil {
		return err
	}
	if err := i.compare(ctx, u, user, result); err != nil || result.Outcome != ImportSame {
		return err
	}
	result.Outcome = ImportCompleted
	return nil
}

// look is what a dry run does.
func (i *UserImport) look(ctx context.Context, u *importUser, result *ImportResult) error {
	user, err := i.Users.Get(ctx, result.UserID)
	switch {
	case err == nil:
		return i.compare(ctx, u, &user, result)
	case !errors.Is(err, ErrNotFound):
		return err
	}
	err = i.meet(ctx, u, ErrNotFound, result)
	if errors.Is(err, ErrNotFound) {
		result.Outcome = ImportMade
		return nil
	}
	return err
}

// meet finds whom a user would be the twin of: the one of its id, or the one of its
// connection and email address. because is the error where there is none.
func (i *UserImport) meet(ctx context.Context, u *importUser, because error, result *ImportResult) error {
	user, err := i.Users.Get(ctx, result.UserID)
	if errors.Is(err, ErrNotFound) && u.Email != "" {
		user, err = i.Users.withEmail(ctx, u.Connection, u.Email)
	}
	if errors.Is(err, ErrNotFound) {
		return because
	}
	if err != nil {
		return err
	}
	result.UserID = user.ID
	return i.compare(ctx, u, &user, result)
}

// withEmail is the user of a connection who has an email address, at once: not as
// searches see it.
func (u *Users) withEmail(ctx context.Context, connection, email string) (User, error) {
	raw, err := u.API.Get(ctx, []string{"users-by-email"}, url.Values{"email": {strings.ToLower(email)}})
	if err != nil {
		return User{}, err
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(raw, &raws); err != nil {
		return User{}, fmt.Errorf("read the users of an email address: %w", err)
	}
	for _, raw := range raws {
		user, err := readUser(raw)
		if err != nil || user.Connection() == connection {
			return user, err
		}
	}
	return User{}, fmt.Errorf("user %s: %w", email, ErrNotFound)
}

// compare holds a user that is there against its record, and changes it where that
// is asked for. What the record does not name is not looked at.
func (i *UserImport) compare(ctx context.Context, u *importUser, user *User, result *ImportResult) error {
	if user.Connection() != u.Connection {
		result.Outcome, result.Detail = ImportDiffers, fmt.Sprintf("it is of connection %s", user.Connection())
		return nil
	}
	if !user.Programmatic() {
		result.Outcome, result.Detail = ImportDiffers, "it is not marked as programmatic: users update --adopt marks it"
		return nil
	}
	changes := u.new.changes()
	differs, err := differences(user.Raw, changes)
	if err != nil {
		return err
	}
	var lacks []string
	if len(u.roles) > 0 {
		if lacks, err = rolesWhere(ctx, i.Users.API, []string{"users", user.ID, "roles"}, u.roles, false); err != nil {
			return err
		}
	}
	if len(u.Permissions) > 0 {
		more, err := permissionsWhere(ctx, i.Users.API, []string{"users", user.ID, "permissions"}, u.Permissions, false)
		if err != nil {
			return err
		}
		lacks = append(lacks, more...)
	}
	result.Detail = strings.Join(slices.Concat(differs, lacks), ", ")
	switch {
	case result.Detail == "":
		result.Outcome = ImportSame
	case !i.Update:
		result.Outcome = ImportDiffers
	case i.DryRun:
		result.Outcome = ImportUpdated
	default:
		result.Outcome = ImportUpdated
		return i.update(ctx, u, user.ID, changes, differs, len(lacks) > 0)
	}
	return nil
}

// changes are the members that a record names.
func (n *NewUser) changes() map[string]any {
	changes := n.logins()
	if n.Name != "" {
		changes["name"] = n.Name
	}
	changes["app_metadata"] = n.AppMetadata
	if len(n.UserMetadata) > 0 {
		changes["user_metadata"] = n.UserMetadata
	}
	return changes
}

// update changes what differs of a user: metadata member by member. A user name
// cannot be changed together with an email address.
func (i *UserImport) update(ctx context.Context, u *importUser, id string, changes map[string]any, differs []string, lacks bool) error {
	body, username := map[string]any{}, map[string]any{}
	for _, name := range differs {
		outer, member, nested := strings.Cut(name, ".")
		switch {
		case nested:
			part, _ := body[outer].(map[string]any)
			if part == nil {
				part = map[string]any{}
			}
			part[member] = changes[outer].(map[string]any)[member]
			body[outer] = part
		case name == "username":
			username[name] = changes[name]
		default:
			body[name] = changes[name]
		}
	}
	for _, part := range []map[string]any{body, username} {
		if len(part) == 0 {
			continue
		}
		if _, err := i.Users.Update(ctx, id, part); err != nil {
			return err
		}
	}
	if !lacks {
		return nil
	}
	return i.Users.give(ctx, id, u.roles, u.Permissions)
}

package provision

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// UserRecord is a user of a file that is imported.
type UserRecord struct {
	Line                   int // of the file, from 1
	UserID                 string
	Email, Username, Phone string // one of them at least
	Name                   string
	Connection             string
	Owner, Purpose         string
	Expires                string // a date or RFC 3339
	Roles                  []string
	Permissions            []Permission
	Metadata               map[string]any // of app_metadata, beside the marks
	UserMetadata           map[string]any
}

// login is what the user signs in as; Auth0 keeps it in lower case.
func (r *UserRecord) login() string {
	return strings.ToLower(cmp.Or(r.Email, r.Username, r.Phone))
}

// id is the part behind auth0|. Where the file has none, it follows from the
// connection and what the user signs in as, so that a repeat meets the same user.
func (r *UserRecord) id() string {
	if r.UserID != "" {
		return r.UserID
	}
	sum := sha256.Sum256([]byte("m2mwatch users import\x00" + r.Connection + "\x00" + r.login()))
	return hex.EncodeToString(sum[:])[:24] // of the form that Auth0 gives
}

// newUser is the user to make, without a password and roles.
func (r *UserRecord) newUser() NewUser {
	marks := Marks(r.Owner, r.Purpose, r.Expires)
	maps.Copy(marks, r.Metadata)
	return NewUser{
		ID: r.id(), Connection: r.Connection, Email: r.Email, Username: r.Username, Phone: r.Phone, Name: r.Name,
		AppMetadata: marks, UserMetadata: r.UserMetadata, Permissions: r.Permissions,
	}
}

// userMembers read the members that a record may have.
func userMembers() map[string]func(*UserRecord, any) error {
	text := func(field func(*UserRecord) *string, most int) func(*UserRecord, any) error {
		return func(r *UserRecord, v any) (err error) {
			*field(r), err = readText(v, most)
			return err
		}
	}
	return map[string]func(*UserRecord, any) error{ // with the limits of the OpenAPI document
		"user_id":       text(func(r *UserRecord) *string { return &r.UserID }, maxUserID),
		"email":         text(func(r *UserRecord) *string { return &r.Email }, maxUserText),
		"username":      text(func(r *UserRecord) *string { return &r.Username }, 128),
		"phone_number":  text(func(r *UserRecord) *string { return &r.Phone }, 16),
		"name":          text(func(r *UserRecord) *string { return &r.Name }, 300),
		"connection":    text(func(r *UserRecord) *string { return &r.Connection }, 128),
		"owner":         text(func(r *UserRecord) *string { return &r.Owner }, maxUserText),
		"purpose":       text(func(r *UserRecord) *string { return &r.Purpose }, maxUserText),
		"expires":       text(func(r *UserRecord) *string { return &r.Expires }, maxUserText),
		"metadata":      func(r *UserRecord, v any) (err error) { r.Metadata, err = readMetadata(v); return err },
		"user_metadata": func(r *UserRecord, v any) (err error) { r.UserMetadata, err = readMetadata(v); return err },
		"roles":         func(r *UserRecord, v any) (err error) { r.Roles, err = readTexts(v); return err },
		"permissions": func(r *UserRecord, v any) error {
			texts, err := readTexts(v)
			for _, t := range texts {
				p, failed := ParsePermission(t)
				err = errors.Join(err, failed)
				r.Permissions = append(r.Permissions, p)
			}
			return err
		},
	}
}

// maxUserText bounds texts for which Auth0 names no limit.
const maxUserText = 1000

func readText(v any, most int) (string, error) {
	text, ok := v.(string)
	switch {
	case v == nil:
		return "", nil
	case !ok:
		return "", errors.New("want a text")
	case utf8.RuneCountInString(text) > most:
		return "", fmt.Errorf("want %d characters at most", most)
	case strings.ContainsFunc(text, unicode.IsControl):
		return "", errors.New("there are control characters in it")
	}
	return strings.TrimSpace(text), nil
}

func readTexts(v any) ([]string, error) {
	list, ok := v.([]any)
	if v != nil && !ok {
		return nil, errors.New("want a list of texts")
	}
	var texts []string
	for _, element := range list {
		text, err := readText(element, maxUserText)
		if err == nil && text == "" {
			err = errors.New("one is empty")
		}
		if err != nil {
			return nil, err
		}
		if !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts, nil
}

func readMetadata(v any) (map[string]any, error) {
	object, ok := v.(map[string]any)
	if v != nil && !ok {
		return nil, errors.New("want a JSON object")
	}
	for name := range object {
		if strings.ContainsAny(name, ".$") || name == "" {
			return nil, fmt.Errorf("the name %q: Auth0 takes none that is empty or has a . or a $", name)
		}
	}
	return object, nil
}

// readUserRecord reads a record from its members and returns every problem.
func readUserRecord(line int, members map[string]any, connection string) (UserRecord, []error) {
	r := UserRecord{Line: line}
	var errs []error
	known := userMembers()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		read, ok := known[name]
		if !ok {
			errs = append(errs, fmt.Errorf("%s: there is no such member; there are %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
			continue
		}
		if err := read(&r, members[name]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	r.Connection = cmp.Or(r.Connection, connection)
	if len(errs) > 0 {
		return r, errs
	}
	return r, r.problems()
}

// problems are what is wrong with a record whose members are each well formed.
func (r *UserRecord) problems() (errs []error) {
	n := r.newUser()
	n.Password = "made later"
	if err := n.Validate(); err != nil {
		errs = append(errs, err)
	}
	if strings.HasPrefix(r.UserID, databaseProvider+"|") {
		errs = append(errs, errors.New("user_id: want the part behind auth0|"))
	}
	if before, after, _ := strings.Cut(r.Email, "@"); r.Email != "" && (before == "" || after == "" || strings.ContainsAny(after, "@") || strings.ContainsFunc(r.Email, unicode.IsSpace)) {
		errs = append(errs, fmt.Errorf("email %q: want one address", r.Email))
	}
	if r.Expires != "" && !isDate(r.Expires) {
		errs = append(errs, fmt.Errorf("expires %q: want a date (2027-06-30) or RFC 3339", r.Expires))
	}
	for _, mark := range []string{MarkProgrammatic, MarkOwner, MarkPurpose, MarkExpires} {
		if _, ok := r.Metadata[mark]; ok {
			errs = append(errs, fmt.Errorf("metadata: %s marks every user of an import, and has a member of its own", mark))
		}
	}
	if _, ok := r.Metadata[markRequest]; ok {
		errs = append(errs, fmt.Errorf("metadata: %s is what an import knows its own users by: leave it out", markRequest))
	}
	return errs
}

func isDate(text string) bool {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if _, err := time.Parse(layout, text); err == nil {
			return true
		}
	}
	return false
}

// RecordErrors are what is wrong with a file, by line.
type RecordErrors []error

// Error implements error: one line of text for each.
func (e RecordErrors) Error() string { return errors.Join(e...).Error() }

// ReadUserRecords reads the users of a file: a JSON array, a JSON object a line, or
// CSV with a header, told apart by the first character. connection is that of
// records that name none. The error is RecordErrors with every problem of every
// line; no record is good for anything then.
func ReadUserRecords(text []byte, connection string) ([]UserRecord, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !utf8.Valid(text) {
		return nil, errors.New("the file is not UTF-8")
	}
	var rows recordRows
	switch start := bytes.TrimSpace(text); {
	case len(start) == 0:
	case start[0] == '[':
		rows.array(text)
	case start[0] == '{':
		rows.lines(text)
	default:
		rows.csv(text)
	}
	records := make([]UserRecord, 0, len(rows.members))
	for i, members := range rows.members {
		r, errs := readUserRecord(rows.line[i], members, connection)
		for _, err := range errs {
			rows.wrong(r.Line, err)
		}
		records = append(records, r)
	}
	if len(rows.errs) == 0 {
		rows.twice(records)
	}
	if len(rows.errs) > 0 {
		slices.SortStableFunc(rows.errs, func(a, b lineError) int { return cmp.Compare(a.line, b.line) })
		var all RecordErrors
		for _, e := range rows.errs {
			all = append(all, e)
		}
		return nil, all
	}
	return records, nil
}

// lineError is a problem of a line.
type lineError struct {
	line int
	err  error
}

func (e lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }

// Unwrap has errors.Is find the cause.
func (e lineError) Unwrap() error { return e.err }

// twice tells of users who are in a file more than once.
func (r *recordRows) twice(records []UserRecord) {
	seen := map[string]int{}
	for i := range records {
		u := &records[i]
		keys := []string{"id " + u.id()}
		for kind, login := range map[string]string{"email ": u.Email, "user name ": u.Username, "phone number ": u.Phone} {
			if login != "" {
				keys = append(keys, kind+strings.ToLower(login)+" of "+u.Connection)
			}
		}
		slices.Sort(keys)
		for _, key := range keys {
			if first, ok := seen[key]; ok {
				r.wrong(u.Line, fmt.Errorf("the %s is that of line %d, too", key, first))
				break
			}
		}
		for _, key := range keys {
			if _, ok := seen[key]; !ok {
				seen[key] = u.Line
			}
		}
	}
}

// recordRows are the objects of a file before they are users.
type recordRows struct {
	line    []int
	members []map[string]any
	errs    []lineError
}

func (r *recordRows) wrong(line int, err error) { r.errs = append(r.errs, lineError{line, err}) }

// object adds one, whose text is JSON.
func (r *recordRows) object(line int, text json.RawMessage) {
	members, err := ReadObject(text)
	if err != nil {
		r.wrong(line, err)
		return
	}
	r.line, r.members = append(r.line, line), append(r.members, members)
}

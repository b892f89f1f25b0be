package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// maxUserFile bounds the file of an import.
const maxUserFile = 64 << 20

func newUsersImport(inv *invocation) *cobra.Command {
	var (
		p   = provisioning{inv: inv}
		run usersImport
	)
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Create the programmatic users of a file, or go on where an import was cut short",
		Long: `import makes the users of FILE (- is standard input): a JSON array, a JSON object a line, or CSV
with a header. Members: email, username, phone_number (one of these at least), name, connection,
owner, purpose, expires (a date), roles and permissions (lists; in CSV separated by ;), metadata (an
object, of app_metadata), user_metadata, user_id (the part behind auth0|; else one that follows from
connection and login).

All that is wrong with the file is told, with its lines, before anything is done. A user that is
there as the file has it is passed over, one that differs is told, and changed with --update alone:
the members that the file names, no other. Roles are given, never taken away. Each password is
generated and in a file of its own in --passwords-dir before the user is made. An import that was cut
short, or could not make some users, is run again: nothing is made twice.`,
		Example: `  m2mwatch users import machines.csv --passwords-dir passwords --dry-run
  m2mwatch users import machines.csv --passwords-dir passwords`,
		Args: theArgs(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if run.passwords == "" && !run.dryRun {
				return fmt.Errorf("%w: want --passwords-dir, the folder for the users' passwords; or --dry-run", errUsage)
			}
			records, err := readUserFile(inv, args[0], run.connection)
			if err != nil {
				return err
			}
			api, err := p.begin(cmd, run.when(records)...)
			if err != nil {
				return err
			}
			run.tenant = p.domain
			return run.do(cmd.Context(), inv, api, records)
		},
	}
	p.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(&run.connection, "connection", "Username-Password-Authentication", "the database connection of users for whom the file names none")
	f.StringVar(&run.passwords, "passwords-dir", "", "the folder for passwords, a file of mode 0600 each; made where there is none")
	f.BoolVar(&run.update, "update", false, "change users that are there and differ")
	f.BoolVar(&run.dryRun, "dry-run", false, "make and change nothing: look at each user, and tell what would become of it")
	run.out.flags(cmd)
	return cmd
}

// readUserFile reads the users of a file, or all that is wrong with it.
func readUserFile(inv *invocation, path, connection string) ([]provision.UserRecord, error) {
	in := inv.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read the users: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxUserFile+1))
	if err == nil && len(text) > maxUserFile {
		err = fmt.Errorf("it is longer than %d MiB", maxUserFile>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("read the users: %w", err)
	}
	records, err := provision.ReadUserRecords(text, connection)
	if err == nil && len(records) == 0 {
		err = errors.New("there are none")
	}
	return records, wrongFile(path, err)
}

// wrongFile says that nothing was done because of what is wrong with a file.
func wrongFile(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read the users of %s; nothing was done:\n%w", path, err)
}

// usersImport is one import.
type usersImport struct {
	connection, passwords string
	tenant                string // its domain
	update, dryRun        bool
	out                   output
}

// when says what the records need scopes for.
func (u *usersImport) when(records []provision.UserRecord) (when []string) {
	roles, permissions := false, false
	for i := range records {
		roles = roles || len(records[i].Roles) > 0
		permissions = permissions || len(records[i].Permissions) > 0
	}
	for _, need := range []struct {
		name  string
		there bool
	}{{provision.WhenRoles, roles}, {provision.WhenPermissions, permissions}, {provision.WhenUpdate, u.update}} {
		if need.there {
			when = append(when, need.name)
		}
	}
	return when
}

func (u *usersImport) do(ctx context.Context, inv *invocation, api provision.API, records []provision.UserRecord) error {
	i := provision.UserImport{Users: provision.Users{API: api}, Update: u.update, DryRun: u.dryRun}
	plan, err := i.Plan(ctx, records)
	if wrong, ok := errors.AsType[provision.RecordErrors](err); ok {
		return fmt.Errorf("nothing was done:\n%w", wrong)
	}
	if err != nil {
		return err
	}
	if !u.dryRun {
		if i.Passwords, err = provision.OpenPasswordFolder(u.passwords, u.tenant); err != nil {
			return err
		}
		defer func() { _ = i.Passwords.Close() }() // it only unlocks
	}
	t := importTally{dryRun: u.dryRun, total: plan.Len(), list: recordList{what: "users", raw: []json.RawMessage{}, header: []string{"LINE", "USER_ID", "LOGIN", "OUTCOME", "PASSWORD_FILE", "DETAIL"}}}
	bar := newProgress(inv.stderr, "users import")
	err = i.Run(ctx, plan, func(r provision.ImportResult) {
		t.add(r)
		bar.show(int64(t.done), int64(t.total), fmt.Sprintf("%d of %d users", t.done, t.total))
	})
	bar.done()
	if err = errors.Join(append(t.failed, err)...); err == nil && t.counts[provision.ImportDiffers] > 0 {
		err = fmt.Errorf("%d users are there and differ: --update changes them", t.counts[provision.ImportDiffers])
	}
	printed := t.list.print(inv, u.out)
	fmt.Fprintln(inv.stderr, t.String())
	return errors.Join(printed, err)
}

// importTally is what became of the records so far.
type importTally struct {
	dryRun      bool
	done, total int
	counts      map[provision.ImportOutcome]int
	list        recordList
	failed      []error
}

func (t *importTally) add(r provision.ImportResult) {
	if t.counts == nil {
		t.counts = map[provision.ImportOutcome]int{}
	}
	t.done++
	t.counts[r.Outcome]++
	if r.Err != nil {
		t.failed = append(t.failed, fmt.Errorf("line %d: %s: %w", r.Line, r.Login, r.Err))
	}
	raw, err := json.Marshal(r)
	if err != nil {
		t.failed = append(t.failed, err)
		return
	}
	t.list.raw = append(t.list.raw, raw)
	t.list.rows = append(t.list.rows, []string{strconv.Itoa(r.Line), r.UserID, r.Login, string(r.Outcome), r.PasswordFile, r.Detail})
}

// String says how many became what.
func (t *importTally) String() string {
	var parts []string
	for _, outcome := range []provision.ImportOutcome{
		provision.ImportMade, provision.ImportCompleted, provision.ImportUpdated, provision.ImportSame, provision.ImportDiffers, provision.ImportFailed,
	} {
		if n := t.counts[outcome]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, outcome))
		}
	}
	text := fmt.Sprintf("%d of %d users: %s", t.done, t.total, strings.Join(parts, ", "))
	if t.dryRun {
		text += " (a dry run: nothing was changed)"
	}
	return text
}

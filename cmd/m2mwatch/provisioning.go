package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/provision"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// provisioning is what every provisioning command begins with.
type provisioning struct {
	access
	inv *invocation
}

// begin checks the token's scopes before any call is made, and names all that are
// missing at once. when says what the command is asked beyond the least.
func (p *provisioning) begin(cmd *cobra.Command, when ...string) (provision.API, error) {
	client, credentials, err := p.client(p.inv)
	if err != nil {
		return nil, err
	}
	if err := checkScopes(cmd, client, when...); err != nil {
		return nil, err
	}
	return p.journaled(cmd, client, credentials.ClientID)
}

// checkScopes names the scopes that a command needs and a client lacks.
func checkScopes(cmd *cobra.Command, client *auth0.Client, when ...string) error {
	needed := provision.ScopesOf(commandName(cmd), when...)
	missing, err := missingScopes(cmd.Context(), client, needed)
	if err == nil && len(missing) > 0 { // they may have been granted since the token was issued
		if err = client.Renew(cmd.Context()); err == nil {
			missing, err = missingScopes(cmd.Context(), client, needed)
		}
	}
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("the application lacks scopes of the Management API that %s needs: %s", commandName(cmd), strings.Join(missing, " "))
	}
	return nil
}

// journaled is the tenant's API, whose changes are recorded.
func (p *provisioning) journaled(cmd *cobra.Command, client *auth0.Client, clientID string) (provision.API, error) {
	j, err := newJournal(p.inv, client.Domain())
	if err != nil {
		return nil, err
	}
	p.inv.atEnd = append(p.inv.atEnd, j.Close)
	of := schemas.ProvisionCall{Domain: client.Domain(), ClientID: clientID, Operator: operatorName(), Command: commandName(cmd)}
	return provision.Journaled(managementAPI{client}, j, of, time.Now), nil
}

func missingScopes(ctx context.Context, client *auth0.Client, needed []string) ([]string, error) {
	has, err := client.Scopes(ctx)
	return provision.Missing(has, needed), err
}

// commandName is a command as provision.Needs has it: users create.
func commandName(cmd *cobra.Command) string {
	_, name, _ := strings.Cut(cmd.CommandPath(), " ")
	return name
}

// theArgs refuses any other number of arguments.
func theArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("%w: %s takes %s, got %q", errUsage, commandName(cmd), what, args)
		}
		return notEmpty(cmd, args)
	}
}

// someArgs refuses fewer arguments.
func someArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return fmt.Errorf("%w: %s takes %s, got %q", errUsage, commandName(cmd), what, args)
		}
		return notEmpty(cmd, args)
	}
}

// notEmpty refuses what a variable that was never set leaves: as an id it would
// be the path of the whole collection.
func notEmpty(cmd *cobra.Command, args []string) error {
	for _, arg := range args {
		if strings.TrimSpace(arg) == "" {
			return fmt.Errorf("%w: an argument of %s is empty", errUsage, commandName(cmd))
		}
	}
	return nil
}

// asking is whether a command asks before it does what cannot be undone.
type asking struct{ force, noInput, dryRun bool }

func (a *asking) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&a.force, "force", false, "do not ask")
	f.BoolVar(&a.noInput, "no-input", false, "never ask: without --force, refuse")
	f.BoolVar(&a.dryRun, "dry-run", false, "do nothing: tell what it would be")
}

// check refuses before anything is done where there is nobody to ask.
func (a *asking) check(cmd *cobra.Command, inv *invocation) error {
	if a.force || a.dryRun || !a.noInput && isTerminal(inv.stdin) {
		return nil
	}
	return fmt.Errorf("%w: %s asks and there is nobody to ask: say --force, or --dry-run to see what it would do", errUsage, commandName(cmd))
}

// confirm asks, unless --force says not to.
func (a *asking) confirm(inv *invocation, question string) error {
	if a.force {
		return nil
	}
	fmt.Fprintf(inv.stderr, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(inv.stdin).ReadString('\n') // no answer is none
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was done")
}

// agreed asks whether to go on. Of a dry run it tells what would be done, and the
// answer is no.
func (a *asking) agreed(inv *invocation, would, question string) (bool, error) {
	if a.dryRun {
		fmt.Fprintln(inv.stderr, "would", would)
		return false, nil
	}
	err := a.confirm(inv, question)
	return err == nil, err
}

// newSecret is where a secret goes that a command makes.
type newSecret struct {
	file     string
	reveal   bool
	name     string              // of the flag
	again    bool                // a file that was reserved and never filled is taken
	reserved *provision.Reserved // the file, where reserve was called
}

func (s *newSecret) flags(cmd *cobra.Command, name, what string) {
	s.name = name
	cmd.Flags().StringVar(&s.file, name, "", "write "+what+" to this new file, which nobody else can read")
	cmd.Flags().BoolVar(&s.reveal, "reveal-secrets", false, "print "+what+" though standard output is no terminal")
}

// check wants a place for it where no log of a pipeline takes it by chance.
func (s *newSecret) check(inv *invocation) error {
	if s.file == "" && !s.reveal && !isTerminal(inv.stdout) {
		return fmt.Errorf("%w: where to put the secret? --%s FILE, or --reveal-secrets to print it", errUsage, s.name)
	}
	return nil
}

// reserve makes the file of a secret that Auth0 makes, so that nothing is left that
// could keep it from being written when it is there, and the old one is not.
func (s *newSecret) reserve() (err error) {
	if s.file == "" {
		return nil
	}
	if s.reserved, err = provision.Reserve(s.file); err != nil {
		return fmt.Errorf("--%s: %w", s.name, err)
	}
	return nil
}

// keep writes it before it is in use, so that a crash loses none.
func (s *newSecret) keep(secret string) error {
	switch {
	case s.file == "":
		return nil
	case s.reserved != nil:
		return s.reserved.Fill([]byte(secret + "\n"))
	}
	return provision.WriteSecret(s.file, []byte(secret+"\n"))
}

// forget removes the file of a secret that was never in use.
func (s *newSecret) forget() {
	switch {
	case s.reserved != nil:
		s.reserved.Remove()
	case s.file != "":
		_ = os.Remove(s.file) // it opens nothing
	}
}

// printed reports whether it is printed, rather than in a file.
func (s *newSecret) printed() bool { return s.file == "" }

// recordList prints a list: a table, comma-separated values, or raw as answered.
type recordList struct {
	what   string
	header []string
	rows   [][]string
	raw    []json.RawMessage
}

func (l *recordList) print(inv *invocation, out output) error {
	switch {
	case out.json:
		return inv.printJSON(l.raw)
	case out.csv:
		w := csv.NewWriter(inv.stdout)
		names := make([]string, 0, len(l.header))
		for _, name := range l.header {
			names = append(names, strings.ToLower(name))
		}
		return errors.Join(w.Write(names), w.WriteAll(l.rows))
	case len(l.rows) == 0:
		fmt.Fprintln(inv.stderr, "no", l.what)
		return nil
	}
	w := table(inv.stdout)
	writeRow(w, l.header)
	for _, row := range l.rows {
		writeRow(w, row)
	}
	return w.Flush()
}

// printDocument prints a raw document member by member.
func printDocument(inv *invocation, raw json.RawMessage, asJSON bool) error {
	if asJSON {
		return inv.printJSON(raw)
	}
	w := table(inv.stdout)
	if err := writeMembers(w, "", raw); err != nil {
		return err
	}
	return w.Flush()
}

// with is a raw object with one more member.
func with(raw json.RawMessage, name string, value any) (json.RawMessage, error) {
	members, err := provision.ReadObject(raw)
	if err != nil {
		return nil, err
	}
	members[name] = value
	return json.Marshal(members)
}

// readExpiry reads when something ends: a date, RFC 3339, or 90d from now. A date
// is kept as one.
func readExpiry(text string, now time.Time) (string, error) {
	var days int
	if n, err := fmt.Sscanf(text, "%dd", &days); err == nil && n == 1 && text == fmt.Sprintf("%dd", days) && days > 0 {
		return now.UTC().AddDate(0, 0, days).Format(time.DateOnly), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if _, err := time.Parse(layout, text); err == nil {
			return text, nil
		}
	}
	return "", fmt.Errorf("%w: --expires %q: want a date (2027-06-30), RFC 3339, or 90d from now", errUsage, text)
}

// each does something to all of the ids, and tells at the end of those it could
// not be done to.
func each(ctx context.Context, ids []string, do func(id string) error) error {
	var errs []error
	for _, id := range ids {
		if ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...)
		}
		if err := do(id); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Command m2mwatch watches the machine users of an Auth0 tenant.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == clickhouse.EngineCommand {
		os.Exit(clickhouse.EngineMain(os.Args[2:]))
	}
	os.Exit(run(os.Args, os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// invocation is what a command gets from outside: the code below main reads
// nothing else of the process.
type invocation struct {
	name           string // how the program was called, for commands to copy
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
	config         string // --config
	data           string // --data; "" where it was not given
	compact        bool   // --json-compact
	// transport sends what goes to Auth0; nil is the network. Tests record by it.
	transport http.RoundTripper

	atEnd []func() error // what a command leaves to do, whether it did well or not
}

// errUsage is wrapped by errors about how a command was called.
var errUsage = errors.New("usage")

func run(args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	inv := &invocation{name: args[0], environ: environ, stdin: stdin, stdout: shown(stdout), stderr: stderr}
	return inv.run(args[1:], stdout)
}

// run runs a command and returns its exit code. The words of cobra's own go to out.
func (inv *invocation) run(args []string, out io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once

	root := newRoot(inv)
	root.SetArgs(args)
	root.SetIn(inv.stdin)
	root.SetOut(out)
	root.SetErr(inv.stderr)
	err := root.ExecuteContext(ctx)
	for _, f := range inv.atEnd {
		if err := f(); err != nil {
			fmt.Fprintln(inv.stderr, "m2mwatch:", legible(err.Error()))
		}
	}
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(inv.stderr, "m2mwatch:", legible(err.Error()))
	switch {
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, errDiffers):
		return exitDiffers
	}
	return exitError
}

func newRoot(inv *invocation) *cobra.Command {
	root := &cobra.Command{
		Use:   "m2mwatch",
		Short: "Watches the machine users of an Auth0 tenant",
		Long: `m2mwatch receives the log stream of an Auth0 tenant, tells machine activity from human
activity, stores it, and finds what is wrong with it: failed M2M logins first.

Settings come from a file (--config), the environment (M2MWATCH_…) and flags, the later over
the earlier.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, c.CommandPath())
	})
	root.PersistentFlags().StringVar(&inv.config, "config", lookup(inv.environ, "M2MWATCH_CONFIG"), "configuration file, YAML")
	root.PersistentFlags().StringVar(&inv.data, "data", "", `data directory (default "data")`)
	root.AddCommand(
		newUp(inv), newStage(inv, stageIngest), newStage(inv, stageProcess), newStage(inv, stageQuery),
		newDemo(inv),
		newImport(inv), newBackfill(inv), newAssess(inv),
		newCustom(inv),
		newMigrate(inv),
		newReprocess(inv),
		newEvents(inv),
		newIdentities(inv), newInventory(inv),
		newFindings(inv),
		newDigest(inv),
		newSilences(inv),
		newRules(inv),
		newDead(inv),
		newReport(inv),
		newTokens(inv),
		newUsers(inv),
		newRoles(inv),
		newApps(inv),
		newActions(inv),
		newAPIs(inv),
		newGrants(inv),
		newStreams(inv),
		newExport(inv),
		newPlan(inv),
		newApply(inv),
		newScopes(inv),
		newJournalCommand(inv),
		newNotify(inv),
		newStatus(inv),
		newReady(inv),
		newDoctor(inv),
		newVersion(inv),
	)
	addCompact(inv, root)
	return root
}

// lookup is the value of a name in an environment, "" where it is not set.
func lookup(environ []string, name string) string {
	for _, pair := range environ {
		if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
			return pair[len(name)+1:]
		}
	}
	return ""
}

package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newAppsUsage(inv *invocation) *cobra.Command {
	var (
		from, rotated string
		watch         rotationWatch
		asJSON        bool
	)
	cmd := &cobra.Command{
		Use:   "usage CLIENT_ID",
		Short: "Tell when an application was last used and from where, or what uses its old secret",
		Long: `usage asks the running instance, not Auth0, from where an application succeeded, by which runtime
and for which API. With --rotated, the time of a rotation, it tells which of the networks that it
had succeeded from in the 30 days before still use the old secret or key: those that are refused
since. --watch waits until all of them use the new one.`,
		Example: `  m2mwatch apps usage 2vJ0oYqkYc0Yy3tQm1oXhYV5sJdVn4Rk --from 90d
  m2mwatch apps usage 2vJ0oYqkYc0Yy3tQm1oXhYV5sJdVn4Rk --rotated 2026-03-01T12:00:00Z --watch`,
		Args: theArgs(1, "one client id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			since, ok := query.ReadTime(from, time.Now())
			if !ok {
				return fmt.Errorf("%w: --from %q: want RFC 3339, a date, or 24h, 7d ago", errUsage, from)
			}
			if err := watch.check(); err != nil {
				return err
			}
			if rotated == "" && watch.on {
				return fmt.Errorf("%w: --watch needs --rotated, the time of the rotation", errUsage)
			}
			if rotated == "" {
				return printUsage(cmd.Context(), inv, args[0], since, asJSON)
			}
			at, ok := query.ReadTime(rotated, time.Now())
			if !ok {
				return fmt.Errorf("%w: --rotated %q: want RFC 3339, a date, or 24h, 7d ago", errUsage, rotated)
			}
			a, err := newActivity(cmd.Context(), inv, args[0])
			if err != nil {
				return err
			}
			defer a.client.Close()
			return watch.print(cmd.Context(), inv, inv.stdout, a, at, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "30d", "since: RFC 3339, a date, or 24h, 7d ago")
	f.StringVar(&rotated, "rotated", "", "when its secret or key was rotated: tell what still uses the old one")
	f.BoolVar(&asJSON, "json", false, "JSON: last, places; with --rotated sources")
	watch.flags(cmd)
	return cmd
}

func printUsage(ctx context.Context, inv *invocation, clientID string, from time.Time, asJSON bool) error {
	usage, err := usageOf(ctx, inv, clientID, from)
	switch {
	case err != nil:
		return err
	case asJSON:
		return inv.printJSON(usage)
	case usage.Last == nil:
		fmt.Fprintln(inv.stderr, "it was never used, as far as is stored")
		return nil
	}
	fmt.Fprintln(inv.stderr, lastUse(usage.Last))
	if len(usage.Places) == 0 {
		return nil
	}
	return writePlaces(inv.stdout, usage.Places)
}

// rotationWatch is how long to look at what uses an old secret.
type rotationWatch struct {
	on       bool
	every    time.Duration
	activity *activity // where a command asks for it before the rotation
}

func (r *rotationWatch) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&r.on, "watch", false, "wait until no source uses the old secret or key any more")
	cmd.Flags().DurationVar(&r.every, "every", 10*time.Second, "how often --watch looks")
}

// check refuses to look without a pause.
func (r *rotationWatch) check() error {
	if r.every <= 0 {
		return fmt.Errorf("%w: --every %s: want more than nothing", errUsage, r.every)
	}
	return nil
}

// close gives up the connection to the instance.
func (r *rotationWatch) close() {
	if r.activity != nil {
		r.activity.client.Close()
	}
}

// after watches what uses the secret that was replaced at a time, or says how to.
func (r *rotationWatch) after(ctx context.Context, inv *invocation, clientID string, at time.Time) error {
	if r.on {
		return r.print(ctx, inv, inv.stderr, r.activity, at, false)
	}
	id := printable(clientID)
	fmt.Fprintf(inv.stderr, "what still uses the old one: m2mwatch apps usage %s --rotated %s --watch\n", id, moment(at))
	fmt.Fprintf(inv.stderr, "each refusal: m2mwatch events list --identity %s --outcome failure --cause %s --from %s\n", schemas.AppID(id), refusedCauses, moment(at))
	return nil
}

// print tells which sources use the old secret, with --watch when none does or
// the command is interrupted.
func (r *rotationWatch) print(ctx context.Context, inv *invocation, out io.Writer, a provision.Activity, at time.Time, asJSON bool) error {
	sources, err := provision.SourcesSince(ctx, a, at, usedWithin)
	if err == nil && r.on {
		sources, err = r.wait(ctx, inv, a, at, sources)
	}
	switch {
	case err != nil:
		return err
	case asJSON:
		return inv.printJSON(map[string]any{"rotated": at.UTC(), "sources": sources})
	case len(sources) == 0:
		fmt.Fprintln(inv.stderr, "nothing had used it in the 30 days before")
		return nil
	}
	w := table(out)
	writeRow(w, []string{"NETWORK", "USES", "BEFORE", "OLD", "NEW", "LAST"})
	for i := range sources {
		s, last := &sources[i], ""
		if s.Last != nil {
			last = clock(*s.Last)
		}
		writeRow(w, []string{s.Network, s.Uses, count(s.Before), count(s.Old), count(s.New), last})
	}
	return w.Flush()
}

// wait looks again and again, and says what changes.
func (r *rotationWatch) wait(ctx context.Context, inv *invocation, a provision.Activity, at time.Time, sources []provision.Source) ([]provision.Source, error) {
	told := map[string]string{}
	for {
		for i := range sources {
			s := &sources[i]
			state := s.Uses
			if s.Uses == provision.UsesOld {
				state = fmt.Sprintf("%s, refused %d times", s.Uses, s.Old)
			}
			if told[s.Network] != state {
				fmt.Fprintf(inv.stderr, "%s  %s: %s\n", clock(time.Now()), printable(s.Network), state)
				told[s.Network] = state
			}
		}
		if provision.Moved(sources) {
			return sources, nil
		}
		select {
		case <-ctx.Done():
			return sources, nil
		case <-time.After(r.every):
		}
		again, err := provision.SourcesSince(ctx, a, at, usedWithin)
		if ctx.Err() != nil {
			return sources, nil
		}
		if err != nil {
			return nil, fmt.Errorf("watch what uses the old one (m2mwatch apps usage goes on): %w", err)
		}
		sources = again
	}
}

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newStreams(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "streams",
		Short: "Log streams of a tenant: create, list, show, pause, resume, update, delete",
		Long: `A log stream delivers the logs of a tenant; create makes the webhook by which m2mwatch gets
them. What opens its sink is never printed: Auth0 answers that in clear to whoever may read log streams.`,
		Args: noArgs,
	}
	cmd.AddCommand(newStreamsCreate(inv), newStreamsList(inv), newStreamsShow(inv), newStreamsPause(inv), newStreamsResume(inv), newStreamsUpdate(inv), newStreamsDelete(inv))
	return cmd
}

func newStreamsList(inv *invocation) *cobra.Command {
	var (
		p   = provisioning{inv: inv}
		out output
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List log streams and whether they deliver",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			streams, err := (&provision.Streams{API: api}).List(cmd.Context())
			if err != nil {
				return err
			}
			l := recordList{what: "log streams", raw: []json.RawMessage{}, header: []string{"STREAM_ID", "NAME", "TYPE", "STATUS", "CATEGORIES", "ENDPOINT"}}
			for i := range streams {
				s := &streams[i]
				l.raw = append(l.raw, s.Raw)
				l.rows = append(l.rows, []string{s.ID, s.Name, s.Type, s.Status, delivered(s), s.Endpoint})
			}
			if err := l.print(inv, out); err != nil {
				return err
			}
			for i := range streams {
				tellHealth(inv, &streams[i])
			}
			return nil
		},
	}
	p.flags(cmd, inv)
	out.flags(cmd)
	return cmd
}

// delivered says in a word what a stream delivers.
func delivered(s *provision.Stream) string {
	switch n := len(s.Filters); {
	case s.Priority:
		return "priority"
	case n == 0:
		return "all"
	default:
		return fmt.Sprint(n)
	}
}

// tellHealth says what to do about a stream that does not deliver.
func tellHealth(inv *invocation, s *provision.Stream) {
	if health := s.Health(); health != "" {
		fmt.Fprintf(inv.stderr, "%s (%s) is %s: %s\n", printable(s.Name), printable(s.ID), printable(s.Status), health)
	}
}

func newStreamsShow(inv *invocation) *cobra.Command {
	var (
		p      = provisioning{inv: inv}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "show STREAM_ID",
		Short: "Show a log stream without its secrets, and what its status means",
		Args:  theArgs(1, "one log stream's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			stream, err := (&provision.Streams{API: api}).Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			tellHealth(inv, &stream)
			return printDocument(inv, stream.Raw, asJSON)
		},
	}
	p.flags(cmd, inv)
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it, without secrets")
	return cmd
}

func newStreamsPause(inv *invocation) *cobra.Command {
	return newStreamsStatus(inv, &cobra.Command{
		Use:   "pause STREAM_ID",
		Short: "Have a log stream deliver nothing; what it would deliver waits, as long as the tenant keeps logs",
	}, provision.StreamPaused)
}

func newStreamsResume(inv *invocation) *cobra.Command {
	return newStreamsStatus(inv, &cobra.Command{
		Use:   "resume STREAM_ID",
		Short: "Have a log stream deliver again that was paused, or that Auth0 has suspended",
	}, provision.StreamActive)
}

// newStreamsStatus makes pause and resume.
func newStreamsStatus(inv *invocation, cmd *cobra.Command, status string) *cobra.Command {
	p := provisioning{inv: inv}
	cmd.Args = theArgs(1, "one log stream's id")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := p.begin(cmd)
		if err != nil {
			return err
		}
		stream, err := (&provision.Streams{API: api}).SetStatus(cmd.Context(), args[0], status)
		if err != nil {
			return err
		}
		fmt.Fprintf(inv.stderr, "%s (%s) is %s\n", printable(stream.Name), printable(stream.ID), printable(stream.Status))
		return nil
	}
	p.flags(cmd, inv)
	return cmd
}

func newStreamsDelete(inv *invocation) *cobra.Command {
	var (
		p    = provisioning{inv: inv}
		ask  asking
		keep plainBackups
	)
	cmd := &cobra.Command{
		Use:   "delete STREAM_ID",
		Short: "Delete a log stream, after a file has what it was, without its secrets",
		Long: `delete writes what a log stream was to a file first, without what opens its sink. What it has not
delivered yet is lost to it: a new one that starts early enough (--start-from) brings it, as far
back as the tenant keeps logs. pause can be undone.`,
		Args: theArgs(1, "one log stream's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ask.check(cmd, inv); err != nil {
				return err
			}
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			streams := &provision.Streams{API: api}
			stream, err := streams.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			what := printable(fmt.Sprintf("log stream %s (%s, %s, delivers to %s)", stream.Name, stream.ID, stream.Status, cmp.Or(stream.Endpoint, stream.Type)))
			if yes, err := ask.agreed(inv, "delete "+what, "Delete "+what+"?"); !yes {
				return err
			}
			var save func(*provision.StreamBackup) error
			if !keep.none {
				save = func(b *provision.StreamBackup) error {
					b.Tenant, b.At = p.domain, time.Now().UTC()
					return keep.keep(inv, "log-stream-"+stream.ID, b.At, b)
				}
			}
			if err := streams.Delete(cmd.Context(), stream.ID, save); err != nil {
				return err
			}
			fmt.Fprintln(inv.stderr, what, "is deleted")
			return nil
		},
	}
	p.flags(cmd, inv)
	ask.flags(cmd)
	keep.flags(cmd)
	return cmd
}

// plainBackups are the flags of backups that hold no secret, and so are not
// encrypted.
type plainBackups struct {
	dir  string
	none bool
}

func (b *plainBackups) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&b.dir, "backup-dir", "backups", "the folder for backups")
	cmd.Flags().BoolVar(&b.none, "no-backup", false, "keep nothing")
}

// keep writes what something was to a new file, and prints which. It is on disk
// when there is no error.
func (b *plainBackups) keep(inv *invocation, name string, at time.Time, content any) error {
	text, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	if err := provision.MakeDir(b.dir); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	path := provision.BackupPath(b.dir, name, at, ".json")
	if err := provision.WriteSecret(path, append(text, '\n')); err != nil {
		return err
	}
	_, err = fmt.Fprintln(inv.stdout, path)
	return err
}

// streamSink are the flags that say where a webhook delivers and what.
type streamSink struct {
	tenant, endpoint    string
	format, contentType string
	filters             []string
	all                 bool
	made                newSecret // generated
	kept                string    // --from-secret-file
	wait                time.Duration
	changed             func(string) bool
}

func (s *streamSink) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	s.changed, s.made.name = f.Changed, "secret-file"
	f.StringVar(&s.endpoint, "endpoint", "", "where it delivers: https://your-host, or the whole payload URL")
	f.StringVar(&s.format, "format", "", "JSONLINES, JSONARRAY or JSONOBJECT")
	f.StringVar(&s.contentType, "content-type", "", "the header that goes with it")
	f.StringArrayVar(&s.filters, "filter", nil, "a category to deliver, such as management.fail; again for more (default: "+strings.Join(provision.MachineCategories(), ", ")+")")
	f.BoolVar(&s.all, "all", false, "deliver all categories")
	f.StringVar(&s.made.file, "secret-file", "", "write a generated secret to this new file, which nobody else can read")
	f.StringVar(&s.kept, "from-secret-file", "", "a file with the secret that the instance knows already")
	f.DurationVar(&s.wait, "wait", 2*time.Minute, "for how long to wait at most until the webhook knows the secret, and then for an event; 0 not to look")
	cmd.MarkFlagsMutuallyExclusive("filter", "all")
	cmd.MarkFlagsMutuallyExclusive("secret-file", "from-secret-file")
}

// check refuses what is wrong before anything is done.
func (s *streamSink) check() error {
	errs := []error{s.made.free()}
	for _, name := range s.filters {
		if !slices.Contains(provision.LogCategories(), name) {
			errs = append(errs, fmt.Errorf("%w: --filter %q: want one of %s", errUsage, name, strings.Join(provision.LogCategories(), ", ")))
		}
	}
	if s.format != "" && !slices.Contains([]string{"JSONLINES", "JSONARRAY", "JSONOBJECT"}, s.format) {
		errs = append(errs, fmt.Errorf("%w: --format %q: want JSONLINES, JSONARRAY or JSONOBJECT", errUsage, s.format))
	}
	if s.wait < 0 {
		errs = append(errs, fmt.Errorf("%w: --wait: want 0 or more", errUsage))
	}
	if s.changed("endpoint") {
		endpoint, err := payloadURL(s.endpoint, s.tenant, takesLogs)
		if err != nil {
			errs = append(errs, err)
		}
		s.endpoint = endpoint
	}
	return errors.Join(errs...)
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newBackfill(inv *invocation) *cobra.Command {
	var (
		a                access
		b                backfill
		from, to         string
		asJSON, dryRun   bool
		readTime         = func(flag, text string) (time.Time, error) { return readWhen(flag, text, time.Now()) }
		oneAfterTheOther = func() error {
			if !b.from.IsZero() && !b.to.IsZero() && !b.from.Before(b.to) {
				return fmt.Errorf("%w: --from is not before --to", errUsage)
			}
			return nil
		}
	)
	cmd := &cobra.Command{
		Use:   "backfill",
		Short: "Bring in what Auth0 still keeps of a tenant's logs",
		Long: `backfill reads a tenant's logs through its Management API and sends them to the running instance,
as an import: they are stored once, whatever is there already, and what is found in them alerts
nobody. Auth0 keeps logs for 1 to 30 days, by the tenant's plan; it says from when on. One that
was interrupted is simply run again.

Who reads is given by flags or the environment (AUTH0_…), else it is the application that the
configuration has for the tenant. It needs the scope read:logs.

  m2mwatch backfill --tenant acme --from 2d`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := schemas.CheckTenant(b.tenant); err != nil {
				return fmt.Errorf("%w: --tenant: %w", errUsage, err)
			}
			if b.from, err = readTime("--from", from); err != nil {
				return err
			}
			if b.to, err = readTime("--to", to); err != nil {
				return err
			}
			if err := oneAfterTheOther(); err != nil {
				return err
			}
			return b.command(cmd, inv, &a, dryRun, asJSON)
		},
	}
	a.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(&b.tenant, "tenant", "", "the tenant that the logs belong to")
	f.StringVar(&from, "from", "", "logs since: RFC 3339, a date, or 24h, 7d ago (default: the oldest)")
	f.StringVar(&to, "to", "", "logs before (default: now)")
	f.BoolVar(&dryRun, "dry-run", false, "send nothing: count what would be")
	f.BoolVar(&asJSON, "json", false, "JSON: what was sent, of which time, and from when on Auth0 has logs")
	return cmd
}

// readWhen reads a time of a flag; "" is the zero time.
func readWhen(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, ok := query.ReadTime(text, now)
	if !ok {
		return at, fmt.Errorf("%w: %s %q: want RFC 3339, a date, or 24h, 7d ago", errUsage, flag, text)
	}
	return at.UTC(), nil
}

// backfill reads a tenant's logs from its Management API.
type backfill struct {
	tenant   string
	from, to time.Time // by the date of the log; zero: the oldest, now
	logs     logPages
	pace     time.Duration // between two calls
	// send takes logs; an error ends it all.
	send func(ctx context.Context, logs []json.RawMessage) (schemas.Accepted, error)
	bar  *progress

	done backfilled
}

// logPages is what an auth0.Client has of logs.
type logPages interface {
	Logs(ctx context.Context, from string) (logs []json.RawMessage, next string, err error)
	OldestLog(ctx context.Context) (string, error)
	NewestLog(ctx context.Context) (string, error)
}

// backfilled is what a backfill did.
type backfilled struct {
	Tenant   string `json:"tenant"`
	DryRun   bool   `json:"dry_run"`
	Logs     int    `json:"logs"`     // of the time that was asked for
	Accepted int    `json:"accepted"` // by the instance; of a dry run 0
	Dead     int    `json:"dead"`
	// Kept is from when on Auth0 has logs.
	Kept *time.Time `json:"kept_from"`
	// First and Last are when the first and the last of Logs came about.
	First *time.Time `json:"first"`
	Last  *time.Time `json:"last"`
}

// pageEvery is the pace of commands: the 100 calls a minute that the smaller plans
// have for reading logs.
const pageEvery = 600 * time.Millisecond

func (b *backfill) command(cmd *cobra.Command, inv *invocation, a *access, dryRun, asJSON bool) error {
	cfg, err := config.Load(config.Origin{File: inv.config, Environ: inv.environ})
	if err != nil {
		return err
	}
	client, err := a.tenantClient(inv, cfg, b.tenant)
	if err != nil {
		return err
	}
	if keep := retention(cfg).Of("events"); keep > 0 { // what is older would all go to DEAD
		if edge := time.Now().UTC().Add(lateness - keep); b.from.Before(edge) {
			b.from = edge
		}
	}
	if err := checkScopes(cmd, client); err != nil {
		return err
	}
	pace, err := parsePace(inv.environ)
	if err != nil {
		return err
	}
	b.logs, b.pace, b.bar = client, pace.or("page", pageEvery), newProgress(inv.stderr, "backfill")
	b.done = backfilled{Tenant: b.tenant, DryRun: dryRun}
	b.send = func(context.Context, []json.RawMessage) (schemas.Accepted, error) { return schemas.Accepted{}, nil }
	if !dryRun {
		instance, err := inv.client()
		if err != nil {
			return err
		}
		defer instance.Close()
		b.send = func(ctx context.Context, logs []json.RawMessage) (schemas.Accepted, error) {
			return sendChunk(ctx, instance, b.tenant, arrayOf(logs))
		}
	}
	err = b.run(cmd.Context())
	b.bar.done()
	if err != nil {
		return b.resume(err)
	}
	return b.print(inv, asJSON)
}

// resume says how to go on after an error. What was not sent may have been taken in
// late, with a date before that of what was.
func (b *backfill) resume(err error) error {
	if b.done.Last == nil {
		return err
	}
	from := b.done.Last.Add(-lateness)
	if from.Before(b.from) {
		from = b.from
	}
	return fmt.Errorf("backfill after %d logs (go on with --from %s; nothing is stored twice): %w", b.done.Logs, from.Format(time.RFC3339), err)
}

func (b *backfill) print(inv *invocation, asJSON bool) error {
	d := &b.done
	if d.Kept == nil {
		fmt.Fprintln(inv.stderr, "Auth0 has no logs of this tenant")
	} else if b.from.Before(*d.Kept) {
		fmt.Fprintf(inv.stderr, "Auth0 has logs from %s on: what was before is beyond the retention of the tenant's plan\n", clock(*d.Kept))
	}
	if asJSON {
		return inv.printJSON(d)
	}
	what := fmt.Sprintf("%d events accepted, %d of them unreadable", d.Accepted, d.Dead)
	if d.DryRun {
		what = fmt.Sprintf("would send %d events", d.Logs)
	}
	if d.First != nil {
		what += fmt.Sprintf("; of %s to %s", clock(*d.First), clock(*d.Last))
	}
	fmt.Fprintln(inv.stdout, what)
	return nil
}

// lateness is by how much Auth0 may take a log in after its date, at the most that
// is looked for. It has been seen to be some seconds.
const lateness = 10 * time.Minute

// run reads page by page. What was sent is on disk.
func (b *backfill) run(ctx context.Context) error {
	at, until, err := b.ends(ctx)
	if err != nil || until == "" {
		return err
	}
	begun, _ := schemas.LogIDTime(at)
	if at == "" {
		begun = *b.done.Kept
	}
	end, _ := schemas.LogIDTime(until)
	made := at != ""
	for read := at; read < until; {
		logs, next, err := b.logs.Logs(ctx, at)
		if err != nil {
			return err
		}
		if len(logs) == 0 && made { // Auth0 did not understand it, as there are logs behind it
			at, made = "", false
			continue
		}
		made = false
		if len(logs) == 0 {
			return nil
		}
		read = idOf(logs[len(logs)-1])
		if err := b.page(ctx, logs); err != nil {
			return err
		}
		at = next
		if reached, ok := schemas.LogIDTime(read); ok {
			b.bar.show(int64(reached.Sub(begun)), int64(end.Sub(begun)), fmt.Sprintf("%s events, until %s", thousands(b.done.Logs), clock(reached)))
		}
		if err := wait(ctx, b.pace); err != nil {
			return err
		}
	}
	return nil
}

// ends finds the log_ids behind which to begin and with which to end; "" as the end
// where there is nothing.
func (b *backfill) ends(ctx context.Context) (at, until string, err error) {
	oldest, err := b.logs.OldestLog(ctx)
	if err != nil || oldest == "" {
		return "", "", err
	}
	kept, _ := schemas.LogIDTime(oldest)
	b.done.Kept = &kept
	if until, err = b.logs.NewestLog(ctx); err != nil {
		return "", "", err
	}
	if last := auth0.Checkpoint(b.to.Add(lateness)); !b.to.IsZero() && last < until {
		until = last
	}
	if b.from.After(kept) {
		at = auth0.Checkpoint(b.from)
	}
	return at, until, nil
}

// page sends those of a page whose date is wanted.
func (b *backfill) page(ctx context.Context, logs []json.RawMessage) error {
	var wanted []json.RawMessage
	var first, last time.Time
	for _, raw := range logs {
		at := dateOf(raw)
		if at.Before(b.from) || !b.to.IsZero() && !at.Before(b.to) {
			continue
		}
		wanted = append(wanted, raw)
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	got, err := b.send(ctx, wanted)
	if err != nil {
		return err
	}
	d := &b.done
	d.Logs += len(wanted)
	d.Accepted += got.Accepted
	d.Dead += got.Dead
	if d.First == nil || first.Before(*d.First) {
		d.First = &first
	}
	if d.Last == nil || last.After(*d.Last) {
		d.Last = &last
	}
	return nil
}

// dateOf is when a log came about: by its date or else by its log_id, as it will be
// stored.
func dateOf(raw json.RawMessage) time.Time {
	var log struct {
		Date  string `json:"date"`
		LogID string `json:"log_id"`
	}
	_ = json.Unmarshal(raw, &log) // what cannot be read goes to DEAD
	if at, err := schemas.ParseDate(log.Date); err == nil {
		return at
	}
	at, _ := schemas.LogIDTime(log.LogID)
	return at
}

// idOf reads the log_id of a log.
func idOf(raw json.RawMessage) string {
	var log struct {
		LogID string `json:"log_id"`
	}
	_ = json.Unmarshal(raw, &log)
	return log.LogID
}

// arrayOf is logs as a JSON array, each as it was answered.
func arrayOf(logs []json.RawMessage) []byte {
	parts := make([][]byte, 0, len(logs))
	for _, raw := range logs {
		parts = append(parts, raw)
	}
	return append(append([]byte("["), bytes.Join(parts, []byte(","))...), ']')
}

// wait waits d, or until ctx ends, which is an error.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// tenantClient is a client of the tenant's Management API: whom flags and
// environment say, or else whom the configuration has for the tenant.
func (a *access) tenantClient(inv *invocation, cfg *config.Config, tenant string) (*auth0.Client, error) {
	for _, t := range cfg.Tenants {
		if t.Name != tenant {
			continue
		}
		if a.domain == "" && a.clientID == "" && t.Managed() {
			return (&watchers{}).client(t)
		}
		if a.domain != "" && t.Domain != "" && a.domain != t.Domain {
			return nil, fmt.Errorf("%w: the configuration has %s as the domain of tenant %s, not %s", errUsage, t.Domain, tenant, a.domain)
		}
	}
	client, _, err := a.client(inv)
	return client, err
}

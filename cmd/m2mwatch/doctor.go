package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
	"github.com/m2mwatch/m2mwatch/internal/doctor"
)

// doctorFlags are what the command line says.
type doctorFlags struct {
	url          string
	monitors     []string
	deep, asJSON bool
}

func newDoctor(inv *invocation) *cobra.Command {
	flags := doctorFlags{}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what m2mwatch stands on, and say what to do about what is wrong",
		Long: `doctor checks configuration, secrets, ports, disk, clock, servers and their durability settings,
and says what to do about each check that fails. It works beside a running instance, which it
asks, and without one. It changes nothing: it writes one file into the data directory to see how
long a sync takes, and removes it.

It exits with 1 where a check failed; a warning is none.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			return runDoctor(cmd.Context(), inv, flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.url, "url", "", "the address that Auth0 delivers to, https://your-host: send it a delivery that must be refused")
	f.StringArrayVar(&flags.monitors, "nats-monitor", nil, "monitoring of an outside NATS server, http://host:8222, to read how it syncs; once for each")
	f.BoolVar(&flags.deep, "deep", false, "start the embedded ClickHouse to look at its tables, where no instance runs")
	f.BoolVar(&flags.asJSON, "json", false, "as JSON")
	return cmd
}

// check refuses what is no address before anything is looked at.
func (f doctorFlags) check() error {
	addresses := f.monitors
	if f.url != "" {
		addresses = append([]string{f.url}, addresses...)
	}
	for _, address := range addresses {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("%w: --url and --nats-monitor: want http://HOST[:PORT] or https://HOST[:PORT]", errUsage)
		}
	}
	return nil
}

// diagnosis is what the command answers in JSON.
type diagnosis struct {
	OK     bool            `json:"ok"`
	Checks []doctor.Report `json:"checks"`
}

func runDoctor(ctx context.Context, inv *invocation, flags doctorFlags) error {
	origin := (&serverFlags{}).origin(inv)
	cfg, problem := config.Inspect(origin)
	problem = errors.Join(problem, retention(cfg).Validate()) // else a start tells
	cfg.Data = runningData(cfg.Data)
	d, err := doctor.New(doctor.Config{
		Settings: cfg, Problem: problem, Origin: origin,
		Broker: outsideBroker(cfg), Limits: streamLimits(cfg), Monitors: flags.monitors,
		OpenStore: storeOpener(inv, cfg, origin, flags.deep), StoreTimeout: storeTimeout(flags.deep),
		URL: flags.url, Built: builtAt(),
	})
	if err != nil {
		return err
	}
	defer d.Close()
	tell := func(r doctor.Report) { writeReport(inv.stdout, r) }
	if flags.asJSON {
		tell = func(doctor.Report) {}
	}
	reports := doctor.Run(ctx, d.Checks(), tell)
	if ctx.Err() != nil {
		return fmt.Errorf("stopped after %d checks", len(reports))
	}
	failed := 0
	for _, r := range reports {
		if r.State == doctor.StateFail {
			failed++
		}
	}
	if flags.asJSON {
		if err := inv.printJSON(diagnosis{OK: failed == 0, Checks: reports}); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, len(reports))
	}
	return nil
}

// writeReport prints a check as it ends, a line for each thing it found and
// one for what to do about it.
func writeReport(w io.Writer, r doctor.Report) {
	name := r.Name
	for _, n := range r.Notes {
		fmt.Fprintf(w, "%-4s  %-14s  %s\n", n.State, name, oneLine(n.Found))
		if n.Advice != "" {
			fmt.Fprintf(w, "%-4s  %-14s  → %s\n", "", "", oneLine(n.Advice))
		}
		name = ""
	}
}

func oneLine(s string) string { return printable(strings.Join(strings.Fields(s), " ")) }

// storeTimeout is longer where an engine has to start first.
func storeTimeout(deep bool) time.Duration {
	if deep {
		return 90 * time.Second
	}
	return 20 * time.Second
}

// storeOpener connects to the outside store, or, where that is asked for, to
// an embedded one that it starts. Nil is a store that is not to be looked at.
func storeOpener(inv *invocation, cfg *config.Config, origin config.Origin, deep bool) func(context.Context) (*clickhouse.DB, func(), error) {
	outside := cfg.ClickHouse.URL != ""
	if !outside && (!deep || startsEmpty(cfg)) {
		return nil
	}
	return func(ctx context.Context) (*clickhouse.DB, func(), error) {
		if outside {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			db, err := clickhouse.Connect(ctx, outsideStore(cfg))
			return db, func() { _ = db.Close() }, err
		}
		s, err := newServer(inv, cfg, origin, serveOptions{stages: []stage{stageProcess}, purpose: purposeOf(cfg.Data)})
		if err != nil {
			return nil, nil, err
		}
		db, err := s.openStoreAlone(ctx)
		if err != nil {
			s.stop()
			return nil, nil, err
		}
		return db, s.stop, nil
	}
}

// purposeOf is what a data directory was made for.
func purposeOf(data string) datadir.Purpose {
	if s, err := datadir.Inspect(data); err == nil && s.Purpose != "" {
		return s.Purpose
	}
	return datadir.Live
}

// builtAt is the time of the commit that was built, zero where it is not known.
func builtAt() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			t, _ := time.Parse(time.RFC3339, s.Value) // zero where it is none
			return t
		}
	}
	return time.Time{}
}

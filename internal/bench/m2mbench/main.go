// Command m2mbench fills a data directory with a simulated month and measures
// the store on it. `make bench-data` and `make bench-store` run it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/bench"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == clickhouse.EngineCommand {
		os.Exit(clickhouse.EngineMain(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{Use: "m2mbench", Short: "Measures the store", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(newFill(), newStore(), newLive(), newRoad(), newWebhook(), newDetect(), newRules())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "m2mbench:", err)
		os.Exit(1)
	}
}

const gib = 1 << 30

func newFill() *cobra.Command {
	c := bench.FillConfig{Progress: os.Stderr}
	var memory float64
	cmd := &cobra.Command{
		Use:   "fill",
		Short: "Fill a data directory; called again it goes on where it ended",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Memory = int64(memory * gib)
			return bench.Fill(cmd.Context(), c)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Dir, "dir", "", "the data directory")
	flags.IntVar(&c.Events, "events", 10_000_000, "how many events, spread over 30 days")
	flags.Uint64Var(&c.Seed, "seed", 1, "seed of the population and of every event")
	flags.BoolVar(&c.Now, "now", false, "go on to this minute, so that machines do not rest since the month was filled")
	flags.IntVar(&c.Batch, "batch", 250_000, "events per insert")
	flags.Float64Var(&memory, "engine-memory", 8, "memory of the engine, in GiB")
	_ = cmd.MarkFlagRequired("dir")
	return cmd
}

func newStore() *cobra.Command {
	c := bench.StoreConfig{Progress: os.Stderr}
	var memory float64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Measure a filled data directory, and print a table",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Memory = int64(memory * gib)
			report, err := bench.Measure(cmd.Context(), c)
			return printed(report, asJSON, err)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Dir, "dir", "", "the data directory")
	flags.IntVar(&c.Runs, "runs", 100, "how often each question is asked")
	flags.IntVar(&c.Rounds, "rounds", 8, "inserts of 25,000 events by each way")
	flags.BoolVar(&c.Merge, "merge", false, "merge every day into one part first")
	flags.Float64Var(&memory, "engine-memory", 1, "memory of the engine, in GiB")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("dir")
	return cmd
}

func newLive() *cobra.Command {
	c := bench.LiveConfig{Progress: os.Stderr}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "live",
		Short: "Run a whole instance on a filled data directory under load, and print its memory",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := bench.Live(cmd.Context(), c)
			return printed(report, asJSON, err)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Dir, "dir", "", "the data directory")
	flags.StringVar(&c.Program, "program", "bin/m2mwatch", "the program")
	flags.IntVar(&c.Rate, "rate", 1000, "events per second")
	flags.DurationVar(&c.For, "for", 2*time.Minute, "how long to send")
	flags.DurationVar(&c.Warmup, "warmup", 0, "how long to send before that, so that what is known of the machines is read")
	flags.BoolVar(&c.Judged, "judged", false, "take what the rules have matched of the month for judged, as in an instance that has run for it")
	flags.StringSliceVar(&c.Backtests, "backtest", nil, "rules to run over the month in the end, by code")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("dir")
	return cmd
}

func newRoad() *cobra.Command {
	c := bench.RoadConfig{Progress: os.Stderr}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "road",
		Short: "Measure the way from the webhook to the rows against the least programs that could do it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if c.Self, err = os.Executable(); err != nil {
				return err
			}
			report, err := bench.Road(cmd.Context(), c)
			return printed(report, asJSON, err)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Program, "program", "bin/m2mwatch", "the program")
	flags.DurationVar(&c.For, "for", 5*time.Second, "how long each webhook is loaded")
	flags.IntVar(&c.Events, "events", 500_000, "how many events go the whole way")
	flags.StringVar(&c.Profile, "profile", "", "file for a CPU profile of m2mwatch on the whole way")
	flags.DurationVar(&c.Probe, "probe", 30*time.Second, "how long the delay is looked at")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// newWebhook is what road starts.
func newWebhook() *cobra.Command {
	var kind, dir string
	cmd := &cobra.Command{
		Use: "webhook", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return bench.Webhook(cmd.Context(), kind, dir) },
	}
	cmd.Flags().StringVar(&kind, "kind", bench.WebhookOurs, "which one")
	cmd.Flags().StringVar(&dir, "dir", "", "where its broker keeps messages")
	return cmd
}

func printed(report bench.Report, asJSON bool, err error) error {
	switch {
	case err != nil:
		return err
	case asJSON:
		return json.NewEncoder(os.Stdout).Encode(report)
	}
	return report.Print(os.Stdout)
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
)

// stage is one part of the pipeline; each can be a process of its own.
type stage string

const (
	stageIngest  stage = "ingest"
	stageProcess stage = "process"
	stageQuery   stage = "query"
)

func newUp(inv *invocation) *cobra.Command {
	flags := &serverFlags{}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the whole pipeline in one process",
		Long: `up runs ingest, process and query in one process. Without NATS_URL and CLICKHOUSE_URL it
brings its own servers, with their files in the data directory.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), inv, flags, serveOptions{
				stages:  []stage{stageIngest, stageProcess, stageQuery},
				purpose: datadir.Live,
			})
		},
	}
	flags.add(cmd, true)
	return cmd
}

func newStage(inv *invocation, s stage) *cobra.Command {
	short := map[stage]string{
		stageIngest:  "Run the webhook alone, against an outside NATS",
		stageProcess: "Run a processor alone, against an outside NATS and ClickHouse",
		stageQuery:   "Run the query API alone, against an outside ClickHouse",
	}[s]
	flags := &serverFlags{}
	cmd := &cobra.Command{
		Use:   string(s),
		Short: short,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), inv, flags, serveOptions{stages: []stage{s}, purpose: datadir.Live, outside: true})
		},
	}
	flags.add(cmd, s == stageIngest)
	return cmd
}

// noArgs is cobra.NoArgs with an exit code for wrong usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%w: %s takes no arguments, got %q", errUsage, cmd.CommandPath(), args)
	}
	return nil
}

// serverFlags are the settings that make sense on a command line.
type serverFlags struct {
	listen, webhookListen, logLevel, logFormat string
}

func (f *serverFlags) add(cmd *cobra.Command, webhook bool) {
	cmd.Flags().StringVar(&f.listen, "listen", "", `address of API, health and metrics (default "127.0.0.1:8080")`)
	if webhook {
		cmd.Flags().StringVar(&f.webhookListen, "webhook-listen", "", "address of the webhook and nothing else (default: on --listen)")
	}
	cmd.Flags().StringVar(&f.logLevel, "log-level", "", `debug, info, warn or error (default "info")`)
	cmd.Flags().StringVar(&f.logFormat, "log-format", "", `text or json (default "text")`)
}

// origin is where the settings of a server command come from.
func (f *serverFlags) origin(inv *invocation) config.Origin {
	flags := map[string]any{}
	for key, value := range map[string]string{
		"data": inv.data, "listen": f.listen, "webhook_listen": f.webhookListen,
		"log.level": f.logLevel, "log.format": f.logFormat,
	} {
		if value != "" {
			flags[key] = value
		}
	}
	return config.Origin{File: inv.config, Environ: inv.environ, Flags: flags}
}

// serve loads the configuration and runs until ctx ends.
func serve(ctx context.Context, inv *invocation, flags *serverFlags, opts serveOptions) error {
	origin := flags.origin(inv)
	cfg, err := config.Load(origin)
	if err != nil {
		return err
	}
	if opts.outside {
		if err := needOutside(cfg, opts); err != nil {
			return err
		}
	}
	s, err := newServer(inv, cfg, origin, opts)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.start(ctx); err != nil {
		return unlessStopped(ctx, err)
	}
	return s.life.wait(ctx)
}

// unlessStopped is nil where whatever failed did so because the process was
// asked to stop.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// needOutside refuses to run one stage on servers that no other process could
// reach.
func needOutside(cfg *config.Config, opts serveOptions) error {
	var missing []string
	if cfg.NATS.URL == "" && (opts.has(stageIngest) || opts.has(stageProcess)) {
		missing = append(missing, "NATS_URL")
	}
	if cfg.ClickHouse.URL == "" && (opts.has(stageProcess) || opts.has(stageQuery)) {
		missing = append(missing, "CLICKHOUSE_URL")
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w: one stage alone needs outside servers: set %s, or run `m2mwatch up`, which brings its own",
		errUsage, strings.Join(missing, " and "))
}

func newLogger(inv *invocation, cfg config.Log) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(inv.stderr, opts))
	}
	return slog.New(slog.NewTextHandler(inv.stderr, opts))
}

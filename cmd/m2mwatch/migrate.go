package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
	schemasql "github.com/m2mwatch/m2mwatch/schemas/clickhouse"
)

// migrateFlags are what the command line says.
type migrateFlags struct {
	dryRun, all, asJSON bool
}

func newMigrate(inv *invocation) *cobra.Command {
	flags := migrateFlags{}
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the store's tables to what this build needs",
		Long: `migrate applies what the store has not had: to the server or cluster of CLICKHOUSE_URL, else to
the data directory's own, which no other process may have open. up and process do the same when
they start, so it is for looking first, or for a user of the server with more rights than theirs.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.all && !flags.dryRun {
				return fmt.Errorf("%w: --all only prints: say --dry-run too", errUsage)
			}
			return migrate(cmd.Context(), inv, flags)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&flags.dryRun, "dry-run", false, "print the statements and run none")
	f.BoolVar(&flags.all, "all", false, "with --dry-run: the whole schema, without asking a server")
	f.BoolVar(&flags.asJSON, "json", false, "as JSON")
	return cmd
}

// migrated is what the command answers in JSON.
type migrated struct {
	Database   string                 `json:"database"`
	Cluster    string                 `json:"cluster"` // empty for one server
	DryRun     bool                   `json:"dry_run"`
	Migrations []clickhouse.Migration `json:"migrations"`
}

func migrate(ctx context.Context, inv *invocation, flags migrateFlags) error {
	origin := (&serverFlags{}).origin(inv)
	cfg, err := config.Load(origin)
	if err != nil {
		return err
	}
	to, err := topology(cfg)
	if err != nil {
		return err
	}
	answer := migrated{Database: to.Database, Cluster: to.Cluster, DryRun: flags.dryRun, Migrations: []clickhouse.Migration{}}
	if flags.all || flags.dryRun && startsEmpty(cfg) {
		answer.Migrations, err = clickhouse.Schema(schemasql.Migrations, to)
	} else {
		err = migrateStore(ctx, inv, cfg, origin, clickhouse.MigrateOptions{
			DryRun: flags.dryRun,
			Tell:   func(m clickhouse.Migration) { answer.Migrations = append(answer.Migrations, m) },
		})
	}
	if err != nil {
		return err
	}
	if flags.asJSON {
		return inv.printJSON(answer)
	}
	writeMigrated(inv, answer)
	return nil
}

// topology is where the configured store's tables lie.
func topology(cfg *config.Config) (clickhouse.Topology, error) {
	to := clickhouse.Topology{Database: cfg.ClickHouse.Database, Cluster: cfg.ClickHouse.Cluster}
	if cfg.ClickHouse.URL == "" {
		return to, nil
	}
	var err error
	to.Database, err = outsideStore(cfg).DatabaseName()
	return to, err
}

// startsEmpty tells that the embedded server was never started here: to look
// at it would make a data directory.
func startsEmpty(cfg *config.Config) bool {
	if cfg.ClickHouse.URL != "" {
		return false
	}
	_, err := os.Stat(filepath.Join(cfg.Data, "FORMAT"))
	return errors.Is(err, fs.ErrNotExist)
}

// migrateStore opens the store as a processor does, and nothing else.
func migrateStore(ctx context.Context, inv *invocation, cfg *config.Config, origin config.Origin, o clickhouse.MigrateOptions) error {
	s, err := newServer(inv, cfg, origin, serveOptions{
		stages: []stage{stageProcess}, purpose: datadir.Live, outside: cfg.ClickHouse.URL != "",
	})
	if err != nil {
		return err
	}
	defer s.stop()
	db, err := s.openStoreAlone(ctx)
	if err != nil {
		return err
	}
	_, err = clickhouse.Migrate(ctx, db, schemasql.Migrations, o)
	return err
}

// openStoreAlone opens the store for writing, with what it needs and as it is.
func (s *server) openStoreAlone(ctx context.Context) (*clickhouse.DB, error) {
	if err := s.openDir(ctx); err != nil {
		return nil, err
	}
	writer, _, err := s.storeConfigs(ctx)
	if err != nil {
		return nil, err
	}
	db, err := clickhouse.Connect(ctx, writer)
	if err != nil {
		return nil, err
	}
	s.life.closes("store", db)
	return db, nil
}

// writeMigrated prints SQL that a person may run, or names what was applied.
func writeMigrated(inv *invocation, m migrated) {
	if len(m.Migrations) == 0 {
		fmt.Fprintln(inv.stderr, "nothing to migrate")
	}
	for _, migration := range m.Migrations {
		if !m.DryRun {
			fmt.Fprintln(inv.stdout, "applied", migration.Name)
			continue
		}
		writeStatements(inv.stdout, migration)
	}
}

func writeStatements(out io.Writer, m clickhouse.Migration) {
	fmt.Fprintf(out, "-- migration %s\n", m.Name)
	for _, statement := range m.Statements {
		fmt.Fprintf(out, "%s;\n\n", statement)
	}
}

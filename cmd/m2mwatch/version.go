package main

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/nats"
)

// version of the program; a release sets it with -ldflags "-X main.version=…".
var version = "0.1.0-dev"

func newVersion(inv *invocation) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of the program and of the servers it brings",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return inv.printJSON(map[string]string{
					"m2mwatch": version, "nats": nats.EmbeddedVersion, "clickhouse": clickhouse.LibraryVersion, "go": runtime.Version(),
				})
			}
			w := table(inv.stdout)
			fmt.Fprintf(w, "m2mwatch\t%s\t%s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			fmt.Fprintf(w, "nats-server\t%s\tembedded\n", nats.EmbeddedVersion)
			fmt.Fprintf(w, "clickhouse\t%s\tembedded; %s\n", clickhouse.LibraryVersion, engineState(inv))
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// engineState says whether the engine library is there.
func engineState(inv *invocation) string {
	cfg, err := config.Load(config.Origin{File: inv.config, Environ: inv.environ})
	if err != nil {
		return err.Error()
	}
	path, err := clickhouse.FindLibrary(cfg.ClickHouse.Library)
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return first
	}
	return "library " + path
}

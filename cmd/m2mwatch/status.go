package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func newStatus(inv *invocation) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "How far the pipeline is",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := inv.client()
			if err != nil {
				return err
			}
			s, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(inv.stdout, s)
			}
			return writeStatus(inv, s)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

func writeStatus(inv *invocation, s schemas.StatusView) error {
	w := table(inv.stdout)
	about := map[bool]string{true: "about ", false: ""}[s.PendingEstimated]
	fmt.Fprintf(w, "pending\t%s%s records accepted and not yet stored\n", about, orUnknown(s.Pending))
	fmt.Fprintf(w, "uncorrelated\t%d touches not yet judged by the rules\n", s.Uncorrelated)
	fmt.Fprintf(w, "dead\t%s records that could not be read\n", orUnknown(s.Dead))
	fmt.Fprintf(w, "alerts\t%s not yet delivered\n", orUnknown(s.Alerts))
	if s.DelaySeconds != nil {
		fmt.Fprintf(w, "delay\t%.1f s from arrival to store\n", *s.DelaySeconds)
	}
	fmt.Fprintf(w, "events\tabout %d, %s on disk\n", s.Events, size(s.Bytes))
	if s.LastEvent != nil {
		fmt.Fprintf(w, "last event\t%s\n", clock(*s.LastEvent))
	}
	fmt.Fprintf(w, "versions\tm2mwatch %s, nats %s, clickhouse %s\n", s.Versions.M2MWatch, orNone(s.Versions.NATS), orNone(s.Versions.ClickHouse))
	return w.Flush()
}

func orUnknown(n *uint64) string {
	if n == nil {
		return "unknown"
	}
	return fmt.Sprint(*n)
}

func orNone(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

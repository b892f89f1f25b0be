package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/bench"
)

func newRules() *cobra.Command {
	var c bench.RulesConfig
	var memory float64
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Measure what a look of each rule costs on a filled data directory",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Memory = int64(memory * gib)
			return bench.Rules(cmd.Context(), c, os.Stdout)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Dir, "dir", "", "the data directory")
	flags.IntVar(&c.Keys, "keys", 500, "how many keys are touched together")
	flags.StringSliceVar(&c.Rules, "rules", nil, "only these, by code")
	flags.Float64Var(&memory, "engine-memory", 1, "memory of the engine, in GiB")
	_ = cmd.MarkFlagRequired("dir")
	return cmd
}

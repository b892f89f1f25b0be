package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/bench/deteval"
)

func newDetect() *cobra.Command {
	c := deteval.Config{Progress: os.Stderr}
	var asJSON, strict bool
	var networks, falseFile, missedFile, pagesFile, writeTo string
	cmd := &cobra.Command{
		Use:   "detect",
		Short: "Try the shipped rules on made-up tenants, or on given logs with labels, and print how good they are",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if writeTo != "" {
				_, err := deteval.Write(c, writeTo)
				return err
			}
			c.Networks = deteval.Networks(networks)
			for path, to := range map[string]*io.Writer{falseFile: &c.False, missedFile: &c.Missed, pagesFile: &c.Pages} {
				if path == "" {
					continue
				}
				f, err := os.Create(path)
				if err != nil {
					return err
				}
				defer f.Close()
				*to = f
			}
			report, err := deteval.Evaluate(cmd.Context(), c)
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(os.Stdout).Encode(report)
			} else {
				err = report.Print(os.Stdout)
			}
			if err == nil && strict && !report.Met() {
				err = errors.New("a target is missed")
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&c.Seeds, "seeds", 1, "how many made-up tenants")
	flags.Uint64Var(&c.First, "seed", 1, "the first one's seed")
	flags.IntVar(&c.Events, "size", 0, "about how many events each has (default 120000)")
	flags.IntVar(&c.Machines, "machines", 0, "how many machine identities each has (default 200)")
	flags.StringVar(&c.Given.Events, "events", "", "file of given logs, one a line, instead of made-up ones")
	flags.StringVar(&c.Given.Labels, "labels", "", "file of their labels, one a line")
	flags.StringVar(&networks, "networks", "both", "with or without a database of networks, or both")
	flags.DurationVar(&c.Step, "step", 0, "how far the clock goes at once (default 120h)")
	flags.StringVar(&falseFile, "false", "", "file for the false findings")
	flags.StringVar(&missedFile, "missed", "", "file for the labels that were not found")
	flags.StringVar(&pagesFile, "pages", "", "file for what somebody was woken by in a week in which nothing was to be found")
	flags.StringVar(&writeTo, "write", "", "folder to write events.ndjson and labels.ndjson of the first seed to, instead of trying rules on it")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	flags.BoolVar(&strict, "strict", false, "fail where a target is missed")
	return cmd
}

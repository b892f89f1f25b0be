// Package deteval tells how good the shipped rules are: it takes the logs of a
// tenant through normalizing, matching, storing and correlating, and compares what
// is found with labels that say what happened. The rules never see the labels.
package deteval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/bench/synth"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// Config says what to evaluate. Every field has a default.
type Config struct {
	// Seeds is how many made-up tenants are tried, from First on. Default 1, 1.
	Seeds int
	First uint64
	// Events is about how many events each has, Machines how many identities.
	Events, Machines int
	// Given are the files of one tenant that is tried instead.
	Given Given
	// Networks tells which runs there are: with a database of networks, without
	// one, or both.
	Networks Networks
	// Step is how far the clock goes at once, since each of its steps costs a look by
	// every rule. What is found does not depend on it, only what was a page for a
	// while. Default 5 days.
	Step time.Duration
	// False and Missed receive the false findings and the labels that were not
	// found, Pages what somebody was woken by in a quiet week, a line each. Default:
	// nobody does.
	False, Missed, Pages io.Writer
	// Progress is told what happens meanwhile.
	Progress io.Writer
}

// Networks is which runs are made.
type Networks string

// The runs.
const (
	NetworksBoth    Networks = "both"
	NetworksWith    Networks = "with"
	NetworksWithout Networks = "without"
)

func (c Config) withDefaults() Config {
	c.Seeds, c.First = cmp.Or(c.Seeds, 1), cmp.Or(c.First, 1)
	c.Step = cmp.Or(c.Step, 5*24*time.Hour)
	c.Networks = cmp.Or(c.Networks, NetworksBoth)
	for _, w := range []*io.Writer{&c.False, &c.Missed, &c.Pages, &c.Progress} {
		if *w == nil {
			*w = io.Discard
		}
	}
	return c
}

// tenant is one tenant's time, made up or given.
type tenant struct {
	name   string
	title  string // of its runs
	seed   uint64
	logs   []synth.Log
	from   time.Time // the time that counts: what is before it is only history
	to     time.Time
	labels []synth.Label
	places processor.Places // nil for given data
	doing  func(identity string, first, last time.Time) []string
}

// Evaluate tries the rules on each tenant, one after the other.
func Evaluate(ctx context.Context, c Config) (*Report, error) {
	c = c.withDefaults()
	rules, err := detect.Parse(processor.Rules())
	if err != nil {
		return nil, fmt.Errorf("load the rules: %w", err)
	}
	dir, err := os.MkdirTemp("", "m2mwatch-deteval-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the store: %w", err)
	}
	defer os.RemoveAll(dir)
	e, err := startEngine(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer e.Close()

	report := &Report{}
	for i := range c.tenants() {
		t, err := c.tenant(i)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		outcomes, err := c.run(ctx, t, rules, e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.title, err)
		}
		for i, with := range c.runs(t) {
			s := score(t.name, t.labels, outcomes[i])
			report.add(t, with, len(t.logs), s)
			c.tell(t, with, s)
			fmt.Fprintf(c.Progress, "%s, %s: %d events, %d findings, recall %s\n", t.title, placesText(with), len(t.logs), s.Findings, percent(s.Found, s.Labels))
		}
		fmt.Fprintf(c.Progress, "%s took %s\n", t.title, time.Since(began).Round(time.Second))
	}
	return report, nil
}

// run makes the runs of a tenant side by side: each leaves the other time while its
// rules wait for the store.
func (c *Config) run(ctx context.Context, t *tenant, rules *detect.Set, e *engine) ([]*outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	with := c.runs(t)
	outcomes, errs := make([]*outcome, len(with)), make([]error, len(with))
	var running sync.WaitGroup
	for i := range with {
		r := &run{config: *c, tenant: t, rules: rules, engine: e}
		if with[i] {
			r.places = t.places
		}
		running.Go(func() {
			if outcomes[i], errs[i] = r.do(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	running.Wait()
	return outcomes, errors.Join(errs...)
}

func (c *Config) tenants() int {
	if c.Given.Events != "" {
		return 1
	}
	return c.Seeds
}

func (c *Config) tenant(i int) (*tenant, error) {
	if c.Given.Events != "" {
		return c.Given.read()
	}
	seed := c.First + uint64(i)
	fmt.Fprintf(c.Progress, "seed %d: making its tenant\n", seed)
	h := synth.Generate(synth.Config{Seed: seed, Events: c.Events, Machines: c.Machines})
	return &tenant{
		name: h.Tenant, title: fmt.Sprintf("seed %d", seed), seed: seed, logs: h.Logs, from: h.From, to: h.To,
		labels: h.Labels, places: places{h}, doing: h.Doing,
	}, nil
}

// runs are whether there is a database of networks, for each run of a tenant.
func (c *Config) runs(t *tenant) []bool {
	switch {
	case t.places == nil || c.Networks == NetworksWithout:
		return []bool{false}
	case c.Networks == NetworksWith:
		return []bool{true}
	}
	return []bool{true, false}
}

// tell writes what was false, what was missed, and what paged in quiet weeks.
func (c *Config) tell(t *tenant, with bool, s *Score) {
	head := t.title + ", " + placesText(with)
	t.tellFindings(c.False, head, s.falseFindings)
	t.tellFindings(c.Pages, head, s.quietPages)
	for _, m := range s.missed {
		faint := ""
		if m.Faint {
			faint = "\tfaint"
		}
		fmt.Fprintf(c.Missed, "%s\t%s\t%s\t%s to %s\t%s%s\n", head, m.Kind, m.Identity,
			m.From.Format(time.DateTime), m.To.Format(time.DateTime), strings.Join(m.Rules, " "), faint)
	}
}

func (t *tenant) tellFindings(to io.Writer, head string, findings []schemas.Finding) {
	for i := range findings {
		f := &findings[i]
		fmt.Fprintf(to, "%s\t%s\t%s\t%s\t%s to %s\t%d\t%s\tmeanwhile: %s\n", head, f.RuleID, f.Level, identityOf(t.name, f),
			f.First.Format(time.DateTime), f.Last.Format(time.DateTime), f.Count, f.Evidence.Summary,
			cmp.Or(strings.Join(t.doing(identityOf(t.name, f), f.First, f.Last), "; "), "nothing unusual"))
	}
}

func placesText(with bool) string {
	if with {
		return "with networks"
	}
	return "without networks"
}

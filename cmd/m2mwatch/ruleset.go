package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
)

// ruleSources are the shipped rules and the folders of the configuration.
func ruleSources(dirs []string) ([]detect.Source, error) {
	sources := []detect.Source{{Name: "shipped", FS: processor.Rules(), Shipped: true}}
	var errs []error
	for _, dir := range dirs {
		switch info, err := os.Stat(dir); {
		case err != nil:
			errs = append(errs, fmt.Errorf("rules.dirs: %w", err))
		case !info.IsDir():
			errs = append(errs, fmt.Errorf("rules.dirs: %s is no folder", dir))
		default:
			sources = append(sources, detect.Source{Name: filepath.ToSlash(dir), FS: os.DirFS(dir)})
		}
	}
	return sources, errors.Join(errs...)
}

// loadRules reads all rules that a configuration has.
func loadRules(cfg *config.Config, counters *detect.Counters) (*detect.Set, error) {
	sources, err := ruleSources(cfg.Rules.Dirs)
	if err != nil {
		return nil, err
	}
	set, err := detect.Load(detect.Options{
		Sources: sources, Placeholders: cfg.Rules.Placeholders, Catalogue: cfg.Catalogue(), Counters: counters,
		Kept: retention(cfg).Evidence(),
	})
	if err != nil {
		return nil, fmt.Errorf("load rules: %w", err)
	}
	return set, nil
}

// rules are the ones in force, and how they become others.
type rules struct {
	*detect.Live
	counters detect.Counters
	log      *slog.Logger
	check    func(processor.RuleSet) error // what else they must fit; nil for nothing
	told     func(*detect.Set)             // hears of those that come into force; nil for nobody
	known    func(*detect.Set) error       // notes their selectors before they come into force; nil for nobody
	cfg      atomic.Pointer[config.Config] // that they were loaded by
}

// openRules loads the rules that a process begins with.
func openRules(cfg *config.Config, log *slog.Logger, registry prometheus.Registerer) (*rules, error) {
	r := &rules{log: log}
	set, err := loadRules(cfg, &r.counters)
	if err != nil {
		return nil, err
	}
	r.Live = detect.NewLive(set)
	r.cfg.Store(cfg)
	r.tell(set)
	return r, errors.Join(r.register(registry)...)
}

// next loads the rules of a configuration. What it returns puts them into force.
func (r *rules) next(cfg *config.Config) (commit func(), err error) {
	set, err := loadRules(cfg, &r.counters)
	if err != nil {
		return nil, err
	}
	if r.check != nil {
		if err := r.check(set); err != nil {
			return nil, err
		}
	}
	return func() {
		if r.known != nil {
			if err := r.known(set); err != nil { // the warmer does it a moment later
				r.log.Warn("the selectors of the new rules are not noted yet: what they find may page before history is matched", "error", err)
			}
		}
		r.Replace(set)
		r.cfg.Store(cfg)
		r.tell(set)
		if r.told != nil {
			r.told(set)
		}
	}, nil
}

// compile compiles one file beside them, with what the configuration fills.
func (r *rules) compile(file, text string) (*detect.Set, error) {
	cfg := r.cfg.Load()
	return detect.Load(detect.Options{
		Sources: []detect.Source{{Name: file, Text: text}}, Placeholders: cfg.Rules.Placeholders, Catalogue: cfg.Catalogue(), Counters: &r.counters,
	})
}

// tell says which rules are not evaluated, and what is odd.
func (r *rules) tell(set *detect.Set) {
	for _, a := range set.Asides() {
		r.log.Warn("a rule is not evaluated", "rule", a.Title, "reason", a.Reasons.Error())
	}
	for _, n := range set.Notes() {
		r.log.Warn("a rule is odd", "problem", n.String())
	}
	for _, o := range overdue(set, time.Now()) {
		r.log.Warn("an exception is to be looked at again", "problem", o.String())
	}
	for _, d := range set.Disabled() {
		r.log.Warn("a rule is disabled", "rule", d.Title, "reason", d.Reason, "file", d.ByFile)
	}
	if n := len(set.Rules()); n > 0 {
		r.log.Info("rules loaded", "rules", n, "not_evaluated", len(set.Asides()))
	}
}

// reprocess is what a reprocess selects by.
func (r *rules) reprocess() (processor.Matcher, []string) {
	set := r.Set()
	return set, set.Selectors()
}

func (r *rules) register(registry prometheus.Registerer) []error {
	gauge := func(name, help string, of func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "m2mwatch", Subsystem: "rules", Name: name, Help: help}, func() float64 { return float64(of()) })
	}
	counter := func(name, help string, of func() uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "m2mwatch", Subsystem: "rules", Name: name, Help: help}, func() float64 { return float64(of()) })
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		gauge("loaded", "Rules that are in force.", func() int { return len(r.Set().Rules()) }),
		gauge("set_aside", "Rules that are understood and not evaluated: see m2mwatch rules list.", func() int { return len(r.Set().Asides()) }),
		counter("timeouts_total", "Values that an expression with look-around was given up for.", r.counters.TimedOut),
		counter("skipped_total", "Values that were not tried after too many time-outs.", r.counters.Skipped),
		counter("cut_total", "Values of which only the beginning was looked at.", r.counters.Cut),
	} {
		errs = append(errs, registry.Register(c))
	}
	return errs
}

// openRules loads the rules of a process that evaluates some.
func (s *server) openRules(context.Context) error {
	if !s.opts.has(stageProcess) {
		return nil
	}
	s.rulesSeen = digestOf(s.cfg.Rules.Dirs) // before the load: a change during it is seen the next time
	var err error
	s.rules, err = openRules(s.cfg, s.log, s.registry)
	return err
}

// ruleFiles are the rule files below a folder, as detect.Load reads them.
func ruleFiles(dir string) []string {
	var files []string
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil //nolint:nilerr // what cannot be read is told by who loads it
		case path != dir && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
		case !entry.IsDir() && (filepath.Ext(path) == ".yml" || filepath.Ext(path) == ".yaml"):
			files = append(files, path)
		}
		return nil
	})
	return files
}

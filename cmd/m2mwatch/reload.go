package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/config"
)

// reloader applies a changed configuration file, or a changed secret or rule
// file, without a restart. It looks at the content and not at events of the file
// system, because mounted secrets are swapped by links, which such events
// miss. What is not valid is refused as a whole and the old configuration
// stays; so is what would be valid only beside settings that wait for a start.
type reloader struct {
	origin  config.Origin
	current *config.Config // as it was read last
	running *config.Config // what is in force of all that was read
	apply   func(*config.Config)
	log     *slog.Logger
	every   time.Duration // default 2 s

	files []string // what is looked at: those of the file as it is, refused or not
	seen  [sha256.Size]byte

	// rules loads the rules of a configuration; what it returns puts them into
	// force. nil where there are none.
	rules     func(*config.Config) (commit func(), err error)
	dirs      []string // of rules, looked at like files
	rulesSeen [sha256.Size]byte
}

func newReloader(origin config.Origin, current *config.Config, log *slog.Logger, apply func(*config.Config)) *reloader {
	return &reloader{
		origin: origin, current: current, running: current, apply: apply, log: log, every: 2 * time.Second,
		files: current.Files(origin.File),
	}
}

// watchRules has the rules replaced, too. seen is what their folders held when
// those in force were loaded.
func (r *reloader) watchRules(load func(*config.Config) (commit func(), err error), seen [sha256.Size]byte) {
	r.rules, r.rulesSeen, r.dirs = load, seen, r.current.Rules.Dirs
}

// Run looks until ctx ends.
func (r *reloader) Run(ctx context.Context) error {
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.look()
		}
	}
}

func (r *reloader) look() {
	digest := digestOf(slices.Concat(r.files, r.dirs)) // before the load: a change during it is seen the next time
	if digest == r.seen {
		return
	}
	next, err := config.Inspect(r.origin)
	if files, dirs := next.Files(r.origin.File), r.folders(next); !slices.Equal(files, r.files) || !slices.Equal(dirs, r.dirs) {
		// A file that is named now and not there yet has to be looked for, too.
		r.files, r.dirs, digest = files, dirs, digestOf(slices.Concat(files, dirs))
		next, err = config.Inspect(r.origin)
	}
	r.seen = digest
	if err != nil {
		r.log.Error("the changed configuration is not valid, the old one stays", "error", err)
		return
	}
	rulesSeen := digestOf(r.folders(next))
	if reflect.DeepEqual(*next, *r.current) && (r.rules == nil || rulesSeen == r.rulesSeen) {
		return // so is the first look, which is for changes made during the start
	}
	running := reloaded(r.running, next)
	if err := running.Validate(); err != nil {
		r.log.Error("the changed configuration needs a restart to be valid, the old one stays until then", "error", err)
		return
	}
	commit := func() {}
	if r.rules != nil && (rulesSeen != r.rulesSeen || !reflect.DeepEqual(running.Rules, r.running.Rules)) {
		if commit, err = r.rules(running); err != nil {
			r.log.Error("the changed rules are not valid: they and the configuration stay as they were", "error", err)
			return
		}
	}
	if restartNeeded(r.current, next) {
		r.log.Warn("the changed configuration holds changes that apply at the next start; tenants, API tokens, trusted proxies, rules and ingest.allow apply now")
	}
	r.apply(running)
	commit()
	r.current, r.running, r.rulesSeen = next, running, rulesSeen
	r.log.Info("configuration reloaded", "tenants", len(next.Tenants), "api_tokens", len(next.API.Tokens))
}

// reloaded is before, but for what applies without a restart, which is as
// after has it.
func reloaded(before, after *config.Config) *config.Config {
	c := *before
	c.Tenants, c.API, c.TrustedProxies = after.Tenants, after.API, after.TrustedProxies
	c.Ingest.Allow, c.Rules = after.Ingest.Allow, after.Rules
	return &c
}

// restartNeeded reports whether more has changed than what is reloaded.
func restartNeeded(before, after *config.Config) bool {
	return !reflect.DeepEqual(reloaded(before, after), after)
}

// folders are those of the rules that a configuration has, where any are
// evaluated here.
func (r *reloader) folders(c *config.Config) []string {
	if r.rules == nil {
		return nil
	}
	return c.Rules.Dirs
}

// digestOf is over the content of files, and of the rule files of folders; one
// that cannot be read counts by its error.
func digestOf(paths []string) [sha256.Size]byte {
	h := sha256.New()
	var files []string
	for _, path := range paths {
		files = append(files, path)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			files = append(files, ruleFiles(path)...)
		}
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		fmt.Fprintf(h, "%s %d %v\n", path, len(b), err)
		h.Write(b)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

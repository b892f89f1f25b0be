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

// reloader applies a changed configuration file, or a changed secret file,
// without a restart. It looks at the content and not at events of the file
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
}

func newReloader(origin config.Origin, current *config.Config, log *slog.Logger, apply func(*config.Config)) *reloader {
	return &reloader{
		origin: origin, current: current, running: current, apply: apply, log: log, every: 2 * time.Second,
		files: current.Files(origin.File),
	}
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
	digest := digestOf(r.files) // before the load: a change during it is seen the next time
	if digest == r.seen {
		return
	}
	next, err := config.Inspect(r.origin)
	if files := next.Files(r.origin.File); !slices.Equal(files, r.files) {
		// A file that is named now and not there yet has to be looked for, too.
		r.files, digest = files, digestOf(files)
		next, err = config.Inspect(r.origin)
	}
	r.seen = digest
	if err != nil {
		r.log.Error("the changed configuration is not valid, the old one stays", "error", err)
		return
	}
	if reflect.DeepEqual(*next, *r.current) {
		return // so is the first look, which is for changes made during the start
	}
	running := reloaded(r.running, next)
	if err := running.Validate(); err != nil {
		r.log.Error("the changed configuration needs a restart to be valid, the old one stays until then", "error", err)
		return
	}
	if restartNeeded(r.current, next) {
		r.log.Warn("the changed configuration holds changes that apply at the next start; tenants, API tokens, trusted proxies and ingest.allow apply now")
	}
	r.apply(running)
	r.current, r.running = next, running
	r.log.Info("configuration reloaded", "tenants", len(next.Tenants), "api_tokens", len(next.API.Tokens))
}

// reloaded is before, but for what applies without a restart, which is as
// after has it.
func reloaded(before, after *config.Config) *config.Config {
	c := *before
	c.Tenants, c.API, c.TrustedProxies = after.Tenants, after.API, after.TrustedProxies
	c.Ingest.Allow = after.Ingest.Allow
	return &c
}

// restartNeeded reports whether more has changed than what is reloaded.
func restartNeeded(before, after *config.Config) bool {
	return !reflect.DeepEqual(reloaded(before, after), after)
}

// digestOf is over the content of files; one that cannot be read counts by its
// error.
func digestOf(files []string) [sha256.Size]byte {
	h := sha256.New()
	for _, path := range files {
		b, err := os.ReadFile(path)
		fmt.Fprintf(h, "%s %d %v\n", path, len(b), err)
		h.Write(b)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/config"
)

// reloader applies a changed configuration file, or a changed secret file,
// without a restart. It looks at the content and not at events of the file
// system, because mounted secrets are swapped by links, which such events
// miss. What is not valid is refused as a whole and the old configuration
// stays.
type reloader struct {
	origin  config.Origin
	current *config.Config
	apply   func(*config.Config)
	log     *slog.Logger
	every   time.Duration // default 2 s

	seen [sha256.Size]byte
}

func newReloader(origin config.Origin, current *config.Config, log *slog.Logger, apply func(*config.Config)) *reloader {
	return &reloader{origin: origin, current: current, apply: apply, log: log, every: 2 * time.Second}
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
	digest := r.digest() // before the load: a change during it is seen the next time
	if digest == r.seen {
		return
	}
	r.seen = digest
	next, err := config.Load(r.origin)
	if err != nil {
		r.log.Error("the changed configuration is not valid, the old one stays", "error", err)
		return
	}
	if reflect.DeepEqual(*next, *r.current) {
		return // so is the first look, which is for changes made during the start
	}
	if restartNeeded(r.current, next) {
		r.log.Warn("the changed configuration holds changes that apply at the next start; tenants and API tokens apply now")
	}
	r.apply(next)
	r.current = next
	r.log.Info("configuration reloaded", "tenants", len(next.Tenants), "api_tokens", len(next.API.Tokens))
}

// restartNeeded reports whether more has changed than what is reloaded.
func restartNeeded(before, after *config.Config) bool {
	b, a := *before, *after
	b.Tenants, a.Tenants = nil, nil
	b.API, a.API = config.API{}, config.API{}
	return !reflect.DeepEqual(b, a)
}

// digest is over the content of every file that the configuration rests on; a
// file that cannot be read counts by its error.
func (r *reloader) digest() [sha256.Size]byte {
	h := sha256.New()
	for _, path := range r.current.Files(r.origin.File) {
		b, err := os.ReadFile(path)
		fmt.Fprintf(h, "%s %d %v\n", path, len(b), err)
		h.Write(b)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

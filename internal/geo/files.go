package geo

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Config says which files there are.
type Config struct {
	// Paths of the files. Of two that know the same of an address the first
	// counts.
	Paths []string
	// Logger hears of files that were replaced, or could not be. Default:
	// nothing is logged.
	Logger *slog.Logger
	// Changed is called when other files are in memory than before, by the
	// goroutine of Run. Default: nobody is.
	Changed func()
	// Every is how often Run looks whether a file was replaced. Default 10 s.
	Every time.Duration
}

// Files are .mmdb files that may be replaced while they are in use. Place may
// be called concurrently, and beside Run.
type Files struct {
	log     *slog.Logger
	every   time.Duration
	changed func()
	watched []watched // of Run alone, once it runs
	current atomic.Pointer[edition]
}

// watched is a file and what was last seen of it.
type watched struct {
	path     string
	seen     stamp
	database *database
}

// edition is all files at one time. It never changes.
type edition struct {
	databases []*database
	number    uint16
}

// Open reads the files. Its error names each that is missing or cannot be
// used.
func Open(cfg Config) (*Files, error) {
	f := &Files{log: cfg.Logger, every: cfg.Every, changed: cfg.Changed}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	if f.changed == nil {
		f.changed = func() {}
	}
	if f.every == 0 {
		f.every = 10 * time.Second
	}
	var errs []error
	for _, path := range cfg.Paths {
		db, seen, err := read(path, f.log)
		errs = append(errs, err)
		f.watched = append(f.watched, watched{path, seen, db})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, w := range f.watched {
		f.log.Info("an .mmdb file is in use", "path", w.path, "type", w.database.kind, "built", w.database.built)
	}
	f.publish()
	return f, nil
}

// Place is what the files tell of an address. One that is no address, or that
// they do not know, has only an edition.
func (f *Files) Place(addr netip.Addr) schemas.Place {
	now := f.current.Load()
	p := schemas.Place{Edition: now.number}
	if !addr.IsValid() {
		return p
	}
	addr = addr.Unmap()
	for _, db := range now.databases {
		found := db.find(addr)
		if p.Country == "" {
			p.Country = found.country
		}
		if p.ASN == 0 { // number and organization come of one file, or disagree
			p.ASN, p.ASOrg = found.asn, found.organization
		}
	}
	return p
}

// Bytes is how much memory the files take.
func (f *Files) Bytes() int64 {
	var sum int64
	for _, db := range f.current.Load().databases {
		sum += db.bytes
	}
	return sum
}

// Run replaces files in memory by those that replaced them on disk, until ctx
// ends. Where the new file cannot be used the old one stays.
func (f *Files) Run(ctx context.Context) error {
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.look()
		}
	}
}

func (f *Files) look() {
	changed := false
	for i := range f.watched {
		if f.watched[i].look(f.log) {
			changed = true
		}
	}
	if changed {
		f.publish()
		f.changed()
	}
}

// look reads the file anew where it is another one than before, and reports
// whether that is in use now.
func (w *watched) look(log *slog.Logger) bool {
	if stampOf(w.path).same(w.seen) {
		return false
	}
	db, seen, err := read(w.path, log)
	if errors.Is(err, errUnsettled) {
		return false // whoever writes it is not done: the next look sees more
	}
	w.seen = seen
	if err != nil {
		log.Error("a changed .mmdb file cannot be used, the old one stays", "error", err)
		return false
	}
	w.database = db
	log.Info("a changed .mmdb file is in use", "path", w.path, "type", db.kind, "built", db.built)
	return true
}

func (f *Files) publish() {
	next := &edition{}
	days := 0 // their sum: a newer file makes it higher, and so does one more
	for _, w := range f.watched {
		next.databases = append(next.databases, w.database)
		days += w.database.day()
	}
	next.number = uint16(min(days, 1<<16-1))
	f.current.Store(next)
}

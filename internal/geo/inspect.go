package geo

import (
	"log/slog"
	"time"
)

// FileState is what one file tells.
type FileState struct {
	Path  string
	Kind  string // what the file calls itself
	Built time.Time
	// Country and ASN say what the file knows of its first networks.
	Country, ASN bool
	Err          error // the file cannot be used
}

// Inspect looks at files and keeps nothing of them in memory.
func Inspect(paths []string) []FileState {
	states := make([]FileState, 0, len(paths))
	for _, path := range paths {
		db, _, err := read(path, slog.New(slog.DiscardHandler))
		if err != nil {
			states = append(states, FileState{Path: path, Err: err})
			continue
		}
		s := FileState{Path: path, Kind: db.kind, Built: db.built}
		s.Err = db.walk(func(f found) bool {
			s.Country = s.Country || f.country != ""
			s.ASN = s.ASN || f.asn != 0
			return s.Country && s.ASN
		})
		states = append(states, s)
	}
	return states
}

package processor

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// maxUnknownTypes bounds the codes that are counted by name: a code is
// whatever a record says.
const maxUnknownTypes = 50

// otherTypes stands for the codes past maxUnknownTypes and for what does not
// look like a code.
const otherTypes = "(other)"

// unknownTypes counts the records whose type is not in the catalogue, by code,
// and logs each code the first time. Not for concurrent use.
type unknownTypes struct {
	counter *prometheus.CounterVec
	log     *slog.Logger
	seen    map[string]prometheus.Counter
	named   int // of seen: all but otherTypes
}

func newUnknownTypes(counter *prometheus.CounterVec, log *slog.Logger) *unknownTypes {
	return &unknownTypes{counter: counter, log: log, seen: map[string]prometheus.Counter{}}
}

// note counts one record of the type.
func (u *unknownTypes) note(tenant, code, logID string) {
	if !looksLikeCode(code) {
		code = otherTypes
	}
	counter, ok := u.seen[code]
	if !ok && u.named >= maxUnknownTypes {
		code = otherTypes
		counter, ok = u.seen[code]
	}
	if !ok {
		counter = u.counter.WithLabelValues(code)
		u.seen[code] = counter
		if code != otherTypes {
			u.named++
		}
		u.log.Warn("a type is not in the catalogue: its records are stored, with an unknown outcome; event_types can name a file that has it",
			"type", code, "tenant", tenant, "log_id", logID)
	}
	counter.Inc()
}

// looksLikeCode reports whether a type is made like Auth0's codes, so that it
// can be a label and a word in a log.
func looksLikeCode(code string) bool {
	if code == "" || len(code) > 64 {
		return false
	}
	for i := range len(code) {
		switch c := code[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '.':
		default:
			return false
		}
	}
	return true
}

package schemas

import "fmt"

// Source says by which way a log came in.
type Source uint8

// The sources. The numbers are written to disk (group framing, ClickHouse
// Enum8) and never change.
const (
	SourceStream Source = 1 // a log stream delivered it to the webhook
	SourcePull   Source = 2 // read from the Management API's log checkpoint
	SourceImport Source = 3 // history that the operator brought in; pages nobody
	SourceRepair Source = 4 // a gap in live coverage that was closed afterwards
	SourceCustom Source = 5 // sent by an Auth0 Action or by one's own API
)

var sourceNames = map[Source]string{
	SourceStream: "stream",
	SourcePull:   "pull",
	SourceImport: "import",
	SourceRepair: "repair",
	SourceCustom: "custom",
}

func (s Source) String() string {
	if name, ok := sourceNames[s]; ok {
		return name
	}
	return fmt.Sprintf("source(%d)", uint8(s))
}

// Valid reports whether s is one of the sources above.
func (s Source) Valid() bool { return sourceNames[s] != "" }

// ParseSource is the inverse of String.
func ParseSource(name string) (Source, error) {
	for s, n := range sourceNames {
		if n == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("source %q: want stream, pull, import, repair or custom", name)
}

// rank orders the copies of one log. No two sources share a rank: of copies
// with the same bytes the store would else keep an arbitrary one, and with it
// an arbitrary source, which decides whether a finding pages. What was there
// live wins over what closed a gap, and that over history; and the log stream's
// copy over the Management API's, whose user agent has been rewritten.
func (s Source) rank() uint64 {
	switch s {
	case SourceStream:
		return 5
	case SourceCustom:
		return 4
	case SourcePull:
		return 3
	case SourceRepair:
		return 2
	default: // SourceImport
		return 1
	}
}

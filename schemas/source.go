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

// rank orders the copies of one log: the log stream's copy wins over the
// Management API's, whose user agent has been rewritten
// (reference: a webhook copy and a Management API copy differ).
func (s Source) rank() uint64 {
	switch s {
	case SourceStream, SourceCustom:
		return 2
	default:
		return 1
	}
}

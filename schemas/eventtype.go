package schemas

import (
	_ "embed" // for the table of event types
	"fmt"
	"maps"
	"slices"
	"strings"
)

// eventTypesTSV is the table of event types: one line per code with its
// title, the log stream category that carries it, its outcome and its machine
// class, the last two in this package's words. Category is no outcome: Auth0
// lists feta, a failure, among the successes. It is empty for codes that no
// list of categories names.
//
//go:embed event_types.tsv
var eventTypesTSV string

// MachineClass says which part machines play in the events of a type.
type MachineClass string

// The machine classes.
const (
	MachineClassNone         MachineClass = ""
	MachineClassM2M          MachineClass = "m2m"          // client credentials and their quota
	MachineClassManagement   MachineClass = "management"   // an application's or a person's call of the Management API
	MachineClassDelegated    MachineClass = "delegated"    // a token on behalf of somebody: agents, delegation, exchange
	MachineClassDevice       MachineClass = "device"       // device flow: command line tools, appliances
	MachineClassCIBA         MachineClass = "ciba"         // backchannel authentication
	MachineClassPassword     MachineClass = "password"     // the password grant: scripted logins
	MachineClassRefresh      MachineClass = "refresh"      // refresh tokens
	MachineClassProvisioning MachineClass = "provisioning" // SCIM, directory sync, user import
	MachineClassKeys         MachineClass = "keys"         // key management
	MachineClassAction       MachineClass = "action"       // an Action, perhaps that of the credentials exchange
	MachineClassLimit        MachineClass = "limit"        // rate limits and attack protection
	MachineClassNotice       MachineClass = "notice"       // Auth0's notices about an integration
)

func (c MachineClass) valid() bool {
	switch c {
	case MachineClassNone, MachineClassM2M, MachineClassManagement, MachineClassDelegated, MachineClassDevice,
		MachineClassCIBA, MachineClassPassword, MachineClassRefresh, MachineClassProvisioning, MachineClassKeys,
		MachineClassAction, MachineClassLimit, MachineClassNotice:
		return true
	}
	return false
}

// EventType is what is known of one of Auth0's event type codes.
type EventType struct {
	Code     string
	Title    string
	Category string // of a log stream's filter; "" where none is documented
	Outcome  Outcome
	Machine  MachineClass
}

// Catalogue holds the event types by code. It does not change once made.
type Catalogue struct {
	types map[string]EventType
}

// EventTypes reads the table that comes with the program. Make it once and
// hand it on.
func EventTypes() *Catalogue {
	c, err := new(Catalogue).With("event_types.tsv", eventTypesTSV)
	if err != nil { // the table is part of the program, and tested
		panic(err)
	}
	return c
}

// With returns a catalogue that also has the rows of a table in the form of
// the program's own: a header line, then code, title, category, outcome and
// machine class, tabs between them. A row takes the place of what c has for
// its code. Empty lines and lines that begin with # are passed over, and a
// line may end as on Windows. Any other line that is no row is an error, which
// begins with name and the number of the line. c stays as it is.
func (c *Catalogue) With(name, tsv string) (*Catalogue, error) {
	added := map[string]EventType{}
	header, number := false, 0
	for line := range strings.Lines(tsv) {
		number++
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case !header:
			if line != eventTypesHeader {
				return nil, fmt.Errorf("%s:%d: unexpected header %q, want %q", name, number, clip(line, 64), eventTypesHeader)
			}
			header = true
		default:
			t, err := parseEventType(line)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, number, err)
			}
			if _, twice := added[t.Code]; twice {
				return nil, fmt.Errorf("%s:%d: %s is there twice", name, number, t.Code)
			}
			added[t.Code] = t
		}
	}
	if !header {
		return nil, fmt.Errorf("%s:%d: no header, want %q", name, number+1, eventTypesHeader)
	}
	types := maps.Clone(c.types)
	if types == nil {
		types = map[string]EventType{}
	}
	maps.Copy(types, added)
	return &Catalogue{types: types}, nil
}

// Lookup returns the event type of a code. Auth0 adds codes every few months:
// one that is not found is as good an event as any other.
func (c *Catalogue) Lookup(code string) (EventType, bool) {
	t, ok := c.types[code]
	return t, ok
}

// All returns every event type, by code.
func (c *Catalogue) All() []EventType {
	return slices.SortedFunc(maps.Values(c.types), func(a, b EventType) int { return strings.Compare(a.Code, b.Code) })
}

// Len is the number of codes.
func (c *Catalogue) Len() int { return len(c.types) }

const eventTypesHeader = "code\ttitle\tcategory\toutcome\tmachine"

func parseEventType(line string) (EventType, error) {
	f := strings.Split(line, "\t")
	if len(f) != 5 || f[0] == "" {
		return EventType{}, fmt.Errorf("line %q: want 5 columns, the first not empty", clip(line, 64))
	}
	t := EventType{Code: f[0], Title: f[1], Category: f[2], Outcome: Outcome(f[3]), Machine: MachineClass(f[4])}
	switch t.Outcome {
	case OutcomeSuccess, OutcomeFailure, OutcomeInfo, OutcomeLimit:
	default:
		return EventType{}, fmt.Errorf("%s: unknown outcome %q", clip(t.Code, 64), clip(f[3], 32))
	}
	if !t.Machine.valid() {
		return EventType{}, fmt.Errorf("%s: unknown machine class %q", clip(t.Code, 64), clip(f[4], 32))
	}
	return t, nil
}

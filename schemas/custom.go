package schemas

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// CustomPrefix begins the type of every custom event, so that none is taken
// for one of Auth0's.
const CustomPrefix = "custom:"

// TokenUsed is the type of the CloudEvent by which an API or a gateway tells
// where an access token was used; its data name the token by its jti.
const TokenUsed = "token.used"

// customLogID begins the log_id of every custom event. Auth0's begin with a
// digit, so that none of them is ever replaced.
const customLogID = "custom-"

// What the attributes of a CloudEvent may be long, in bytes.
const (
	maxCloudEventText = 1024
	maxCloudEventType = 128
)

// ErrCloudEventTime is wrapped by the errors of Check that are about time.
var ErrCloudEventTime = errors.New("time")

// CloudEvent is the context of a CloudEvent 1.0, as far as it is asked.
type CloudEvent struct {
	SpecVersion string
	ID          string
	Source      string
	Type        string
	Time        string
}

// Check returns an error that says which attribute cannot be taken and why, or
// nil. CloudEvents leave time open; here it is needed.
func (e *CloudEvent) Check() error {
	switch {
	case e.SpecVersion == "":
		return errors.New("specversion is missing: want a CloudEvent 1.0 with specversion, id, source, type and time")
	case e.SpecVersion != "1.0":
		return fmt.Errorf("specversion is %q, want 1.0", clip(e.SpecVersion, 16))
	}
	if err := checkText("id", e.ID); err != nil {
		return err
	}
	if err := checkText("source", e.Source); err != nil {
		return err
	}
	if err := checkCloudEventType(e.Type); err != nil {
		return err
	}
	if e.Time == "" {
		return fmt.Errorf("%w is missing: give each event the time at which it happened (RFC 3339). The time of a delivery would differ at each repeat, and the event be stored twice", ErrCloudEventTime)
	}
	if _, err := e.time(); err != nil {
		return fmt.Errorf("%w is %q, want RFC 3339, like 2006-01-02T15:04:05.000Z", ErrCloudEventTime, clip(e.Time, 64))
	}
	return nil
}

func checkText(name, text string) error {
	switch {
	case text == "":
		return fmt.Errorf("%s is missing", name)
	case len(text) > maxCloudEventText:
		return fmt.Errorf("%s is longer than %d bytes", name, maxCloudEventText)
	}
	return nil
}

// checkCloudEventType bounds what becomes a type: rules and filters name it.
func checkCloudEventType(t string) error {
	switch {
	case t == "":
		return errors.New("type is missing")
	case len(t) > maxCloudEventType:
		return fmt.Errorf("type is longer than %d characters", maxCloudEventType)
	}
	for i := range len(t) {
		switch c := t[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-', c == '/', c == ':':
		default:
			return fmt.Errorf("type is %q, want letters, digits and . _ - / : alone", clip(t, 64))
		}
	}
	return nil
}

func (e *CloudEvent) time() (time.Time, error) { return time.Parse(time.RFC3339, e.Time) }

// At is the time of an event that passed Check: UTC, cut to the millisecond,
// which is what the store keeps.
func (e *CloudEvent) At() time.Time {
	at, _ := e.time()
	return at.UTC().Truncate(time.Millisecond)
}

// LogID is a hash of source and id, by which CloudEvents tell one event from
// another. The length of the source stands before it, so that no two pairs are
// one text; 128 bits, since a sender that wants two events to be one may as
// well give them the same id.
func (e *CloudEvent) LogID() string {
	text := binary.AppendUvarint(nil, uint64(len(e.Source)))
	text = append(append(text, e.Source...), e.ID...)
	sum := sha256.Sum256(text)
	return customLogID + hex.EncodeToString(sum[:16])
}

// EventType is the type that the event has in the store.
func (e *CloudEvent) EventType() string { return CustomPrefix + e.Type }

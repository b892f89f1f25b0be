package schemas

import (
	"crypto/sha256"
	"encoding/hex"
)

// The JetStream streams, their durable consumers and their buckets.
const (
	StreamLogs   = "LOGS"   // groups of logs, until they are stored
	StreamDead   = "DEAD"   // logs that cannot be read, until somebody looks
	StreamAlerts = "ALERTS" // findings on their way to people
	StreamOutbox = "OUTBOX" // alerts on their way to one channel each

	ConsumerProcessor = "processor" // the one reader of LOGS, shared by all processors
	ConsumerNotify    = "notify"    // the one reader of ALERTS

	BucketLeases  = "LEASES"     // key-value: who does what one alone does
	BucketCursors = "CURSORS"    // key-value: how far each tenant has been pulled
	BucketDead    = "DEAD_LARGE" // objects: dead logs larger than a message may be
)

// SubjectLogs is where a tenant's groups are published.
func SubjectLogs(tenant string) string { return "logs." + tenant }

// SubjectDead is where one dead log is published. The hash makes a repeat of
// the same log land on the same subject, of which DEAD keeps one message.
//
// A log that was replayed may fail while the message that it was replayed from
// is still in DEAD, about to be removed: it must not be taken for a repeat of
// that one, or it would go with it. So the replay's name enters the hash.
func SubjectDead(tenant string, raw []byte, replay string) string {
	h := sha256.New()
	h.Write(raw)
	if replay != "" {
		h.Write([]byte{0})
		h.Write([]byte(replay))
	}
	return "dead." + tenant + "." + hex.EncodeToString(h.Sum(nil)[:16])
}

// SubjectOutbox is where the alerts for one channel are published.
func SubjectOutbox(channel string) string { return "outbox." + channel }

// ConsumerOutbox is the one reader of a channel's alerts.
func ConsumerOutbox(channel string) string { return "notify-" + channel }

// SubjectAlerts is where a tenant's alerts are published.
func SubjectAlerts(tenant string) string { return "alerts." + tenant }

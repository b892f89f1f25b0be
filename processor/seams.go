package processor

import (
	"context"
	"net/netip"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Source is the work queue of groups. internal/nats has the one for JetStream.
type Source interface {
	// Fetch returns up to maxMessages messages whose payloads sum to about maxBytes
	// (at least one message may exceed it), waiting at most wait for the first.
	// No message and no error means that there was none. It may be called
	// again after an error: the source reconnects by itself, for ever.
	Fetch(ctx context.Context, maxMessages, maxBytes int, wait time.Duration) ([]schemas.Message, error)
}

// DeadLetters takes the logs that cannot be decoded or stored. PublishDead
// returns nil only when d is on disk; a repeat of the same log is harmless.
type DeadLetters interface {
	PublishDead(ctx context.Context, d schemas.Dead) error
}

// Matcher selects what the rules want to see. It appends one match per selector
// that selects e, keeps no reference to e, does not allocate on a miss, and may
// be called concurrently. processor/detect has it.
type Matcher interface {
	Match(dst []schemas.Match, e *schemas.Event) []schemas.Match
}

// Places tells what is known of an address beside the log. It does not fail:
// what is not known is empty, and so is what is known of the invalid address
// but for the edition. It may be called concurrently. internal/geo has the one
// for .mmdb files.
type Places interface {
	Place(addr netip.Addr) schemas.Place
}

// Store is where a flush goes. internal/clickhouse has the one for ClickHouse.
// Each insert returns nil only when the rows are synced; it may have stored
// some or all rows even after an error, and may be repeated: rows are keyed.
// An error that wraps schemas.ErrRefused means that the store looked at the rows and
// refuses at least one of them; any other means that it is away or busy, and
// the same call may succeed later.
type Store interface {
	InsertEvents(ctx context.Context, events []schemas.Event) error
	InsertMatches(ctx context.Context, matches []schemas.Match) error
	InsertTouches(ctx context.Context, touches []schemas.Touch) error
}

// Epochs is the store's part in a lease. What a holder writes is dropped,
// without an error, where a later epoch has begun.
type Epochs interface {
	// LastEpoch is the highest epoch that began, 0 where none has.
	LastEpoch(ctx context.Context) (uint64, error)
	// BeginEpoch records an epoch, before its holder reads anything, and
	// returns when nothing of an earlier one can be written any more.
	BeginEpoch(ctx context.Context, epoch uint64) error
}

// FindingStore is what the correlator needs of the store. Reads see every
// insert that has returned, whoever made it. What is written carries its epoch
// (Ver >> 32).
type FindingStore interface {
	Epochs

	// Touched returns the touches of up to maxFlushes flushes that the
	// correlator has not marked done, oldest first, and the ids of those flushes;
	// those of history come when there are no others. Flushes that are known are left
	// out.
	Touched(ctx context.Context, maxFlushes int, known ...string) ([]schemas.Touch, []string, error)
	// MarkTouched records that the correlator has done these flushes.
	MarkTouched(ctx context.Context, epoch uint64, flushes []string) error
	// DropTouched drops the days before the given one whose touches their
	// readers have done.
	DropTouched(ctx context.Context, before time.Time) error

	// WarmingSelectors are those for which history is not matched yet: what rules
	// find by them meanwhile pages nobody.
	WarmingSelectors(ctx context.Context) (map[string]bool, error)
	// Ticks are up to when rules have looked for what time alone changes.
	Ticks(ctx context.Context) ([]schemas.Tick, error)
	// InsertTicks stores them, of one epoch, Ver >> 32.
	InsertTicks(ctx context.Context, ticks []schemas.Tick) error
	// Expectations are those that are declared.
	Expectations(ctx context.Context) ([]schemas.Expectation, error)
	// Correlate runs a compiled correlation and returns its rows.
	Correlate(ctx context.Context, q schemas.Query) ([]schemas.CorrelationRow, error)
	// Findings returns the stored findings, withdrawn ones too, of a rule and
	// of keys of a tenant whose period starts in [from, to).
	Findings(ctx context.Context, tenant, ruleID string, keys []string, from, to time.Time) ([]schemas.Finding, error)
	// FindingKeys are up to limit of the keys that have findings, withdrawn ones too.
	FindingKeys(ctx context.Context, limit int) ([]schemas.FindingKey, error)
	// LatestMatches are when keys last had a match of some selectors, believed or not,
	// but for those that had none since a time: up to limit keys of each selector.
	LatestMatches(ctx context.Context, selectors []string, since time.Time, limit int) ([]schemas.LatestMatch, error)
	// OpenFindings are up to limit findings that are open: of rules that are not
	// among these, or of one rule, those behind an id, by id.
	OpenFindings(ctx context.Context, rules schemas.OpenFindings, limit int) ([]schemas.Finding, error)
	InsertFindings(ctx context.Context, findings []schemas.Finding) error
	// InsertFindingChanges stores changes of findings. Of one N of a finding the
	// highest Ver counts.
	InsertFindingChanges(ctx context.Context, changes []schemas.FindingChange) error

	// Acts are what people did about findings of a tenant, and ActedFindings those
	// of them that they did something about.
	Acts(ctx context.Context, tenant string, findings []string) ([]schemas.FindingAct, error)
	InsertFindingActs(ctx context.Context, acts []schemas.FindingAct) error
	ActedFindings(ctx context.Context, tenant string, findings []string) ([]schemas.Finding, error)
	// OverdueFindings are up to limit findings that stand and of which nothing
	// happened and nothing was found since before.
	OverdueFindings(ctx context.Context, before time.Time, limit int) ([]schemas.Finding, error)
	// HeldFindings are up to limit findings that are open and whose page was held back
	// for a time: by a rotation, a silence or a storm.
	HeldFindings(ctx context.Context, limit int) ([]schemas.Finding, error)
	// FoundLate are those identities that have a finding of which people were told
	// since a time when a gap was closed.
	FoundLate(ctx context.Context, tenant string, identities []string, since time.Time) ([]string, error)
	// Silences are those that end after a time.
	Silences(ctx context.Context, after time.Time) ([]schemas.Silence, error)
	// Owners are those that the inventory knows of identities of a tenant.
	Owners(ctx context.Context, tenant string, identities []string) (map[string]string, error)

	InsertDelivery(ctx context.Context, d schemas.Delivery) error
}

// CountStore is what the recount needs of the store. Reads see every insert
// that has returned, whoever made it.
type CountStore interface {
	Epochs

	// TouchedFlushes are the flushes, up to limit and oldest first, that are
	// not recounted.
	TouchedFlushes(ctx context.Context, limit int) ([]schemas.Flush, error)
	// TouchedHours are the hours that flushes have touched, by tenant and time.
	TouchedHours(ctx context.Context, flushes []string) ([]schemas.TouchedHour, error)
	// Recount counts anew what r names. For the correlator it touches the keys
	// and hours of matches that are believed no more: the copy that survived was
	// selected by another selector, by none, or under another key, so that its
	// own flush did not touch them.
	Recount(ctx context.Context, r schemas.Recount) error
	// FoldTouches puts what flushes have touched, without the given hours, into
	// one flush and marks them done.
	FoldTouches(ctx context.Context, epoch uint64, into string, flushes []string, without []schemas.TouchedHour) error
}

// ReprocessStore is what a reprocess needs of the store. Reads see every insert
// that has returned, whoever made it. Methods with an epoch, and SaveReprocess
// (Ver >> 32), are those of a holder. schemas.ErrRefused means what it does to a
// Store, an error that wraps schemas.ErrQueryTooLarge that fewer records may do.
type ReprocessStore interface {
	Epochs

	// OpenReprocess are the jobs that are not over, the oldest first.
	OpenReprocess(ctx context.Context) ([]schemas.Reprocess, error)
	SaveReprocess(ctx context.Context, job schemas.Reprocess) error
	// ReprocessCanceled tells whether somebody asked to cancel a job.
	ReprocessCanceled(ctx context.Context, id string) (bool, error)

	// RecordDays are the days that have records in [from, to), the first first.
	RecordDays(ctx context.Context, tenant string, from, to time.Time) ([]schemas.RecordDay, error)
	// StoredRecords are the records of r in their order, and whether those are
	// all.
	StoredRecords(ctx context.Context, r schemas.RecordRange) (records []schemas.StoredRecord, all bool, err error)
	// LastGeneration is the highest generation that began and its basis, 0 where
	// none has.
	LastGeneration(ctx context.Context) (generation uint64, basis string, err error)
	// BeginGeneration records a generation, before anything is written by it.
	BeginGeneration(ctx context.Context, epoch, generation uint64, basis string) error

	// ReplaceMatches stores matches, ReplaceRecords events and the marks of
	// events that moved, in place of what they were.
	ReplaceMatches(ctx context.Context, epoch uint64, matches []schemas.Match) error
	ReplaceRecords(ctx context.Context, epoch uint64, records []schemas.StoredRecord) error
	InsertTouches(ctx context.Context, touches []schemas.Touch) error
}

// Lease says who correlates, who recounts and who reprocesses. It does not
// fence: a holder that stalled may find out late that it is none. The store's
// epochs do.
type Lease interface {
	// Acquire blocks until the lease is held or ctx ends. The epoch is greater
	// than every one handed out before, and greater than atLeast. The returned
	// context ends when the lease is lost; release gives it up early.
	Acquire(ctx context.Context, atLeast uint64) (held context.Context, epoch uint64, release func(), err error)
}

// Alerts carries findings to notify. Publish returns nil only when the alert
// is synced to disk; a repeat of the same id within the broker's duplicate
// window is dropped, a later one is delivered again with the same id.
type Alerts interface {
	PublishAlert(ctx context.Context, a schemas.Alert) error
}

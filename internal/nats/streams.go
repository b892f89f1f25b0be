package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	declareTimeout = 30 * time.Second

	// logsDuplicates must outlast every repeat within one publish.
	logsDuplicates = time.Minute
	// alertsDuplicates drops the alert of a correlator that was restarted.
	alertsDuplicates = 10 * time.Minute

	// maxWaiting is how many alerts wait for one channel at most.
	maxWaiting = 5000

	// leasesBytes has room for some thousands of tenants, each pulled by one.
	leasesBytes = 8 << 20
	// noBound of a consumer is none on what is with its readers.
	noBound = -1
	// cursorsBytes has room for some thousands of tenants.
	cursorsBytes = 16 << 20

	// The library's names of the streams beneath a key-value bucket and an
	// object store.
	streamLeases    = "KV_" + schemas.BucketLeases
	streamCursors   = "KV_" + schemas.BucketCursors
	streamDeadLarge = "OBJ_" + schemas.BucketDead
)

// Declare makes the streams, buckets and consumers, or brings those that are
// there to these limits. It may be called by any number of processes, at any
// time. It drops nothing: a stream that holds more than its new limit refuses
// what is new until it has been worked off. Where a stream of that name is
// there and is another thing (another retention, other subjects), it says so
// and changes nothing of it.
func (c *Conn) Declare(ctx context.Context, limits Limits) error {
	if err := limits.Validate(); err != nil {
		return err
	}
	limits = limits.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, declareTimeout)
	defer cancel()
	for _, cfg := range []jetstream.StreamConfig{logsConfig(limits), deadConfig(limits), alertsConfig(limits), outboxConfig(limits)} {
		if err := c.declareStream(ctx, cfg, c.createStream); err != nil {
			return fmt.Errorf("declare stream %s: %w", cfg.Name, err)
		}
	}
	if err := c.declareBuckets(ctx, limits); err != nil {
		return err
	}
	if err := c.declareConsumer(ctx, schemas.StreamLogs, schemas.ConsumerProcessor, limits); err != nil {
		return err
	}
	// An alert that one channel has no room for is put off, and counts as with its
	// reader: a bound would let a dead channel hold up all others' alerts in the end.
	limits.MaxAckPending = noBound
	return c.declareConsumer(ctx, schemas.StreamAlerts, schemas.ConsumerNotify, limits)
}

// logsConfig has no limit of age or number: nothing that was accepted goes
// away unacked.
func logsConfig(l Limits) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              schemas.StreamLogs,
		Description:       "groups of logs, until they are stored",
		Subjects:          []string{schemas.SubjectLogs(">")},
		Retention:         jetstream.WorkQueuePolicy,
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardNew,
		MaxBytes:          l.LogsBytes,
		MaxMsgs:           -1,
		MaxMsgsPerSubject: -1,
		Duplicates:        logsDuplicates,
		Replicas:          l.Replicas,
	}
}

// deadConfig keeps one message per subject, which names the log: the broker
// itself refuses a repeat, at any distance in time.
func deadConfig(l Limits) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                 schemas.StreamDead,
		Description:          "logs that cannot be read, until somebody looks",
		Subjects:             []string{"dead.>"},
		Retention:            jetstream.LimitsPolicy,
		Storage:              jetstream.FileStorage,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxMsgsPerSubject:    1,
		MaxBytes:             l.DeadBytes,
		MaxMsgs:              -1,
		Replicas:             l.Replicas,
	}
}

func alertsConfig(l Limits) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              schemas.StreamAlerts,
		Description:       "findings on their way to people",
		Subjects:          []string{schemas.SubjectAlerts(">")},
		Retention:         jetstream.WorkQueuePolicy,
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardNew,
		MaxBytes:          l.AlertsBytes,
		MaxMsgs:           -1,
		MaxMsgsPerSubject: -1,
		Duplicates:        alertsDuplicates,
		Replicas:          l.Replicas,
	}
}

// outboxConfig bounds each channel by itself, so that one that is dead does not
// take the room of the others.
func outboxConfig(l Limits) jetstream.StreamConfig {
	cfg := alertsConfig(l)
	cfg.Name, cfg.Description = schemas.StreamOutbox, "alerts on their way to one channel each"
	cfg.Subjects = []string{schemas.SubjectOutbox("*")}
	cfg.MaxMsgsPerSubject, cfg.DiscardNewPerSubject = maxWaiting, true
	return cfg
}

func (c *Conn) createStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	_, err := c.js.CreateStream(ctx, cfg)
	return err
}

// declareStream makes the stream with create where there is none, and else
// updates it. Processes that start together may race: who loses looks again.
func (c *Conn) declareStream(ctx context.Context, want jetstream.StreamConfig, create func(context.Context, jetstream.StreamConfig) error) error {
	err := c.updateStream(ctx, want)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	err = create(ctx, want)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return c.updateStream(ctx, want)
	}
	return err
}

// updateStream brings a stream that is there to what we want of it. What we
// have no opinion of (placement, compression, metadata) stays as it is.
func (c *Conn) updateStream(ctx context.Context, want jetstream.StreamConfig) error {
	stream, err := c.js.Stream(ctx, want.Name)
	if err != nil {
		return err
	}
	is := stream.CachedInfo().Config
	if err := conflict(is, want); err != nil {
		return err
	}
	cfg := wanted(is, want)
	if len(differences(is, cfg)) == 0 {
		return nil
	}
	_, err = c.js.UpdateStream(ctx, cfg)
	return err
}

// wanted is what an update makes of a stream that is there.
func wanted(is, want jetstream.StreamConfig) jetstream.StreamConfig {
	cfg := is
	cfg.Discard = want.Discard
	cfg.MaxBytes, cfg.MaxMsgs, cfg.MaxMsgSize, cfg.MaxAge = want.MaxBytes, -1, -1, 0
	cfg.MaxMsgsPerSubject, cfg.DiscardNewPerSubject = want.MaxMsgsPerSubject, want.DiscardNewPerSubject
	cfg.Replicas = want.Replicas
	cfg.NoAck = false
	if want.Duplicates != 0 {
		cfg.Duplicates = want.Duplicates
	}
	return cfg
}

// conflict says what makes a stream another thing than the one we want: what
// the server does not let be changed, and what could not be changed without
// dropping messages.
func conflict(is, want jetstream.StreamConfig) error {
	differs := func(what string, is, want any) error {
		return fmt.Errorf("a stream of that name is there with %s %v, want %v: rename or remove it", what, is, want)
	}
	switch {
	case is.Retention != want.Retention:
		return differs("retention", is.Retention, want.Retention)
	case is.Storage != want.Storage:
		return differs("storage", is.Storage, want.Storage)
	case !slices.Equal(is.Subjects, want.Subjects):
		return differs("subjects", is.Subjects, want.Subjects)
	case want.MaxMsgsPerSubject == 1 && is.MaxMsgsPerSubject != 1:
		return differs("messages per subject", is.MaxMsgsPerSubject, 1)
	case is.PersistMode != want.PersistMode: // asynchronous: acked before it is on disk
		return differs("persist mode", is.PersistMode, want.PersistMode)
	case is.Sealed:
		return errors.New("a stream of that name is there and is sealed: rename or remove it")
	case is.Mirror != nil || len(is.Sources) > 0:
		return errors.New("a stream of that name is there and copies another: rename or remove it")
	}
	return nil
}

// leasesConfig is the stream beneath the bucket of leases.
func leasesConfig(l Limits) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: streamLeases, Subjects: []string{"$KV." + schemas.BucketLeases + ".>"},
		Discard: jetstream.DiscardNew, MaxBytes: leasesBytes, MaxMsgsPerSubject: 1, Replicas: l.Replicas,
	}
}

// cursorsConfig is the stream beneath the bucket of cursors.
func cursorsConfig(l Limits) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: streamCursors, Subjects: []string{"$KV." + schemas.BucketCursors + ".>"},
		Discard: jetstream.DiscardNew, MaxBytes: cursorsBytes, MaxMsgsPerSubject: 1, Replicas: l.Replicas,
	}
}

// deadLargeConfig is the stream beneath the store of large dead logs.
func deadLargeConfig(l Limits) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: streamDeadLarge, Subjects: []string{"$O." + schemas.BucketDead + ".C.>", "$O." + schemas.BucketDead + ".M.>"},
		Discard: jetstream.DiscardNew, MaxBytes: l.DeadLargeBytes, MaxMsgsPerSubject: -1, Replicas: l.Replicas,
	}
}

func (c *Conn) declareBuckets(ctx context.Context, l Limits) error {
	for _, bucket := range []struct {
		name, description string
		stream            jetstream.StreamConfig
	}{
		{schemas.BucketLeases, "who does what one alone does", leasesConfig(l)},
		{schemas.BucketCursors, "how far tenants have been pulled", cursorsConfig(l)},
	} {
		err := c.declareStream(ctx, bucket.stream, func(ctx context.Context, s jetstream.StreamConfig) error {
			_, err := c.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
				Bucket: bucket.name, Description: bucket.description,
				MaxBytes: s.MaxBytes, Replicas: s.Replicas, Storage: jetstream.FileStorage,
			})
			return err
		})
		if err != nil {
			return fmt.Errorf("declare bucket %s: %w", bucket.name, err)
		}
	}
	err := c.declareStream(ctx, deadLargeConfig(l), func(ctx context.Context, s jetstream.StreamConfig) error {
		_, err := c.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: schemas.BucketDead, Description: "dead logs larger than a message may be",
			MaxBytes: s.MaxBytes, Replicas: s.Replicas, Storage: jetstream.FileStorage,
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("declare object store %s: %w", schemas.BucketDead, err)
	}
	return nil
}

// declareConsumer declares the one reader of a work queue. It gives no message
// up, however often it was delivered.
func (c *Conn) declareConsumer(ctx context.Context, stream, name string, l Limits) error {
	_, err := c.js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable:       name,
		AckPolicy:     jetstream.AckExplicitPolicy,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait:       l.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: l.MaxAckPending,
	})
	if err != nil {
		return fmt.Errorf("declare consumer %s of %s: %w", name, stream, err)
	}
	return nil
}

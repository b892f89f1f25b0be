package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	// headerRoom is what headers may take of a message: max_payload counts them.
	headerRoom = 1 << 10

	defaultPublishTimeout = 10 * time.Second
	defaultAttemptTimeout = 4 * time.Second
	firstRetryWait        = 20 * time.Millisecond
	maxRetryWait          = time.Second
)

// PublisherConfig configures a Publisher.
type PublisherConfig struct {
	// Timeout bounds a whole publish, repeats included. It must stay below the
	// minute in which the broker recognises a repeat. Default 10 s.
	Timeout time.Duration
	// AttemptTimeout is how long one attempt waits for its ack before the
	// message is sent again with the same id. Default 4 s.
	AttemptTimeout time.Duration
}

// Publisher writes to LOGS, DEAD and ALERTS. It is an ingest.Publisher, a
// processor.DeadLetters and a processor.Alerts.
//
// Each method returns nil only after the server has acked the message, which
// it does when the message is synced (with sync_interval: always). An error
// that wraps schemas.ErrFull means that the stream has no room.
type Publisher struct {
	conn *Conn
	cfg  PublisherConfig
	// large lets one large dead log at a time into the object store: it bounds
	// memory, and keeps two copies of one log from being written side by side.
	large     chan struct{}
	orphanAge time.Duration
	afterPut  func() // for tests: a large log is stored and not yet named in DEAD
}

// NewPublisher makes a publisher on the streams that Declare has declared.
func NewPublisher(c *Conn, cfg PublisherConfig) (*Publisher, error) {
	orElse(&cfg.Timeout, defaultPublishTimeout)
	orElse(&cfg.AttemptTimeout, defaultAttemptTimeout)
	if cfg.Timeout < 0 || cfg.Timeout >= logsDuplicates {
		return nil, fmt.Errorf("nats: a publish timeout of %s: want less than %s, in which a repeat is recognised", cfg.Timeout, logsDuplicates)
	}
	return &Publisher{conn: c, cfg: cfg, large: make(chan struct{}, 1), orphanAge: orphanAge, afterPut: func() {}}, nil
}

// MaxGroup is the largest group, in bytes, that PublishGroup accepts now: it
// follows the server's max_payload.
func (p *Publisher) MaxGroup() int {
	return max(0, int(p.conn.nc.MaxPayload())-headerRoom)
}

// PublishGroup stores one framed group. A repeat with the same id within a
// minute is stored once. The message has the traceparent of ctx, if it has one.
func (p *Publisher) PublishGroup(ctx context.Context, tenant, id string, group []byte) error {
	return p.publishGroup(ctx, tenant, id, "", group)
}

// publishGroup is PublishGroup with the name of the replay that the group is,
// if it is one.
func (p *Publisher) publishGroup(ctx context.Context, tenant, id, replay string, group []byte) error {
	if err := schemas.CheckTenant(tenant); err != nil {
		return fmt.Errorf("publish a group: %w", err)
	}
	if limit := p.MaxGroup(); len(group) > limit {
		return fmt.Errorf("publish a group of %s: %d bytes, the server takes %d", tenant, len(group), limit)
	}
	msg := newMessage(schemas.StreamLogs, schemas.SubjectLogs(tenant), group)
	msg.Header[jetstream.MsgIDHeader] = []string{id}
	if replay != "" {
		msg.Header[headerReplay] = []string{replay}
	}
	if traceparent := schemas.Traceparent(ctx); traceparent != "" {
		msg.Header[schemas.HeaderTraceparent] = []string{headerText(traceparent, maxHeaderWord)}
	}
	if err := p.publish(ctx, msg); err != nil {
		return fmt.Errorf("publish a group of %s: %w", tenant, err)
	}
	return nil
}

// PublishAlert stores an alert for notify.
func (p *Publisher) PublishAlert(ctx context.Context, a schemas.Alert) error {
	if err := schemas.CheckTenant(a.Finding.Tenant); err != nil {
		return fmt.Errorf("publish alert %s: %w", a.ID, err)
	}
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("publish alert %s: %w", a.ID, err)
	}
	msg := newMessage(schemas.StreamAlerts, schemas.SubjectAlerts(a.Finding.Tenant), data)
	msg.Header[jetstream.MsgIDHeader] = []string{headerText(a.ID, maxHeaderText)}
	if err := p.publish(ctx, msg); err != nil {
		return fmt.Errorf("publish alert %s: %w", a.ID, err)
	}
	return nil
}

// newMessage names the stream that must take the message: an ack of another
// one that happens to listen to the subject is none.
func newMessage(stream, subject string, data []byte) *nats.Msg {
	header := nats.Header{jetstream.ExpectedStreamHeader: []string{stream}}
	return &nats.Msg{Subject: subject, Header: header, Data: data}
}

// publish sends msg until it is acked, refused, or out of time.
func (p *Publisher) publish(ctx context.Context, msg *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	wait := firstRetryWait
	for {
		err := p.attempt(ctx, msg)
		if err == nil || !retryable(err) || ctx.Err() != nil {
			return full(err)
		}
		p.conn.metrics.retries.Inc()
		if pause(ctx, wait) != nil {
			return err
		}
		wait = min(2*wait, maxRetryWait)
	}
}

// attempt publishes once. The library waits for the ack on one inbox that all
// publishes of the connection share.
func (p *Publisher) attempt(ctx context.Context, msg *nats.Msg) error {
	if err := p.conn.waitConnected(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.AttemptTimeout)
	defer cancel()
	_, err := p.conn.js.PublishMsg(ctx, msg)
	return err
}

// The server's codes for an answer that another attempt may change.
const (
	codeNotLeader       jetstream.ErrorCode = 10009
	codeStreamOffline   jetstream.ErrorCode = 10118
	codeDuplicateInWork jetstream.ErrorCode = 10158
	codeTooManyRequests jetstream.ErrorCode = 10167
)

// The server's codes for no room.
const (
	codeAccountExceeded jetstream.ErrorCode = 10002
	codeInsufficient    jetstream.ErrorCode = 10023
	codeStorageExceeded jetstream.ErrorCode = 10047
	codeStoreFailed     jetstream.ErrorCode = 10077
)

// retryable reports whether the message may have been lost on the way, or the
// server was not ready for it.
func retryable(err error) bool {
	if code, _ := apiError(err); code != 0 {
		return code == codeNotLeader || code == codeStreamOffline || code == codeDuplicateInWork || code == codeTooManyRequests
	}
	for _, lost := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, jetstream.ErrNoStreamResponse,
		nats.ErrDisconnected, nats.ErrReconnectBufExceeded, nats.ErrConnectionReconnecting, nats.ErrStaleConnection,
	} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}

// full marks the errors that mean that there is no room.
func full(err error) error {
	code, text := apiError(err)
	switch code {
	case codeAccountExceeded, codeInsufficient, codeStorageExceeded:
		return fmt.Errorf("%w: %s", schemas.ErrFull, text)
	case codeStoreFailed:
		if strings.Contains(text, "maximum bytes") || strings.Contains(text, "maximum messages exceeded") {
			return fmt.Errorf("%w: %s", schemas.ErrFull, text)
		}
	}
	return err
}

// taken reports whether the stream refused msg because its subject has one.
func taken(err error) bool {
	code, text := apiError(err)
	return code == codeStoreFailed && strings.Contains(text, "maximum messages per subject")
}

func apiError(err error) (code jetstream.ErrorCode, text string) {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return 0, ""
	}
	return api.ErrorCode, api.Description
}

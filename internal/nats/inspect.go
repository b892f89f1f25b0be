package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamState is how a stream is against how Declare would have it.
type StreamState struct {
	Name    string
	Missing bool
	// Err says why the stream cannot be used as it is, or could not be read.
	Err error
	// Differs lists what the next Declare changes.
	Differs  []string
	Bytes    uint64
	MaxBytes int64
	// Servers are the names of the servers of a cluster that keep it, those that
	// are away too; none where there is no cluster.
	Servers []string
	// Now is the server's clock when it answered.
	Now time.Time
}

// ErrNoJetStream means that the server, or the user's account, has none.
var ErrNoJetStream = errors.New("JetStream is not enabled")

// Inspect looks at the streams that Declare would make of these limits, and
// changes nothing.
func (c *Conn) Inspect(ctx context.Context, limits Limits) ([]StreamState, error) {
	if _, err := c.js.AccountInfo(ctx); err != nil {
		if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			return nil, ErrNoJetStream
		}
		return nil, fmt.Errorf("ask for JetStream: %w", err)
	}
	limits = limits.withDefaults()
	var states []StreamState
	for _, want := range []jetstream.StreamConfig{logsConfig(limits), deadConfig(limits), alertsConfig(limits), outboxConfig(limits), leasesConfig(limits), cursorsConfig(limits), deadLargeConfig(limits)} {
		states = append(states, c.inspectStream(ctx, want))
	}
	return states, nil
}

func (c *Conn) inspectStream(ctx context.Context, want jetstream.StreamConfig) StreamState {
	s := StreamState{Name: want.Name, MaxBytes: want.MaxBytes}
	stream, err := c.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s.Missing = true
		return s
	}
	if err != nil {
		s.Err = fmt.Errorf("read the stream: %w", err)
		return s
	}
	info := stream.CachedInfo()
	s.Bytes, s.Now, s.Servers = info.State.Bytes, info.TimeStamp, serversOf(info.Cluster)
	if s.Err = conflict(info.Config, want); s.Err == nil {
		s.Differs = differences(info.Config, wanted(info.Config, want))
	}
	return s
}

func serversOf(c *jetstream.ClusterInfo) []string {
	if c == nil {
		return nil
	}
	var names []string
	if c.Leader != "" {
		names = append(names, c.Leader)
	}
	for _, peer := range c.Replicas {
		names = append(names, peer.Name)
	}
	return names
}

// differences names what an update of is to want changes.
func differences(is, want jetstream.StreamConfig) []string {
	var names []string
	add := func(name string, is, want any) {
		if is != want {
			names = append(names, fmt.Sprintf("%s is %v, want %v", name, is, want))
		}
	}
	add("discard", is.Discard, want.Discard)
	add("max_bytes", is.MaxBytes, want.MaxBytes)
	add("max_msgs", is.MaxMsgs, want.MaxMsgs)
	add("max_msg_size", is.MaxMsgSize, want.MaxMsgSize)
	add("max_age", is.MaxAge, want.MaxAge)
	add("max_msgs_per_subject", is.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	add("discard_new_per_subject", is.DiscardNewPerSubject, want.DiscardNewPerSubject)
	add("num_replicas", is.Replicas, want.Replicas)
	add("no_ack", is.NoAck, want.NoAck)
	add("duplicate_window", is.Duplicates, want.Duplicates)
	return names
}

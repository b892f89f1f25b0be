package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/ingest"
	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// The kinds of webhook that are compared.
const (
	// WebhookOurs is ingest as it is.
	WebhookOurs = "ours"
	// WebhookCeiling reads a body and publishes it as one message. It looks at
	// nothing, and keeps the same promise: the answer follows the sync.
	WebhookCeiling = "the ceiling's"
)

// Webhook serves one kind of webhook on a broker of its own until ctx ends.
func Webhook(ctx context.Context, kind, dir string) error {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ready := func() { log.Info("ready", "listen", ln.Addr().String()) }
	switch kind {
	case WebhookOurs:
		return serveOurs(ctx, dir, ln, log, ready)
	case WebhookCeiling:
		return serveCeiling(ctx, dir, ln, ready)
	}
	return fmt.Errorf("webhook %q: want %s or %s", kind, WebhookOurs, WebhookCeiling)
}

func serveOurs(ctx context.Context, dir string, ln net.Listener, log *slog.Logger, ready func()) error {
	server, err := nats.StartServer(nats.ServerConfig{Dir: dir, Logger: log})
	if err != nil {
		return err
	}
	defer server.Close()
	conn, err := nats.Connect(ctx, nats.Config{Server: server, Logger: log})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Declare(ctx, nats.Limits{Replicas: 1, LogsBytes: maxLogs, DeadBytes: maxLogs, AlertsBytes: maxLogs}); err != nil {
		return err
	}
	publisher, err := nats.NewPublisher(conn, nats.PublisherConfig{})
	if err != nil {
		return err
	}
	tenants := &ingest.TenantSet{}
	tenants.Store(map[string]ingest.TenantSecrets{Tenant: {Stream: []string{liveSecret}}})
	in, err := ingest.New(ingest.Config{Publisher: publisher, Tenants: tenants, Logger: log})
	if err != nil {
		return err
	}
	e := httpserver.New(httpserver.Config{Name: "webhook", Logger: slog.New(slog.DiscardHandler)})
	in.Webhook(e)
	ready()
	return httpserver.Serve(ctx, e, ln, httpserver.Limits{})
}

// maxLogs is room for all that a webhook is sent.
const maxLogs = 64 << 30

// serveCeiling is the least program that a webhook can be: net/http and a
// JetStream that syncs, one message per request.
func serveCeiling(ctx context.Context, dir string, ln net.Listener, ready func()) error {
	broker, err := server.NewServer(&server.Options{JetStream: true, StoreDir: dir, SyncAlways: true, JetStreamMaxStore: 2 * maxLogs, DontListen: true, MaxPayload: 8 << 20, NoSigs: true})
	if err != nil {
		return err
	}
	broker.Start()
	defer broker.Shutdown()
	if !broker.ReadyForConnections(10 * time.Second) {
		return errors.New("the ceiling's broker does not start")
	}
	conn, err := natsgo.Connect("", natsgo.InProcessServer(broker))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	subject := schemas.SubjectLogs(Tenant)
	stream := jetstream.StreamConfig{Name: "LOGS", Subjects: []string{subject}, Storage: jetstream.FileStorage, MaxBytes: maxLogs}
	if _, err := js.CreateStream(ctx, stream); err != nil {
		return err
	}
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = js.Publish(r.Context(), subject, body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"accepted":1,"dead":0}`)
	})}
	context.AfterFunc(ctx, func() { srv.Close() })
	ready()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

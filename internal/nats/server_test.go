package nats_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestEmbeddedServerSyncsAlways(t *testing.T) {
	h := natstest.New(t)
	js, err := h.Server.Inner().Jsz(&server.JSzOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !js.Config.SyncAlways {
		t.Error("the server's JetStream monitoring says that it does not always sync")
	}
	if always, err := h.Server.SyncAlways(); err != nil || !always {
		t.Errorf("SyncAlways() = %v, %v; want true", always, err)
	}
	for _, name := range nats.Streams {
		s, err := h.Conn.JetStream().Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if cfg := s.CachedInfo().Config; cfg.Storage != jetstream.FileStorage || cfg.PersistMode != jetstream.DefaultPersistMode {
			t.Errorf("%s: storage %v, persist mode %v; want file storage that is synced before the ack", name, cfg.Storage, cfg.PersistMode)
		}
	}
}

func TestEmbeddedServerDoesNotListen(t *testing.T) {
	h := natstest.New(t)
	if addr := h.Server.Inner().Addr(); addr != nil {
		t.Errorf("the server listens on %s", addr)
	}
}

// TestServerSaysThatAStreamIsNotRecovered takes the description of a stream
// away, without which the server leaves its files alone.
func TestServerSaysThatAStreamIsNotRecovered(t *testing.T) {
	h := natstest.New(t)
	if err := h.Server.Check(); err != nil {
		t.Fatal(err)
	}
	if err := h.Server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(h.Dir, "jetstream", "$G", "streams", "LOGS", "meta.inf")); err != nil {
		t.Fatal(err)
	}
	s, err := nats.StartServer(nats.ServerConfig{Dir: h.Dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Check(); err == nil || !strings.Contains(err.Error(), "LOGS") {
		t.Errorf("Check() = %v, want an error that names LOGS", err)
	}
}

// TestStartTakesAwayWhatALookForRoomLeft has the file of a process that died
// while it looked: a MiB of a disk that was short of it.
func TestStartTakesAwayWhatALookForRoomLeft(t *testing.T) {
	dir := t.TempDir()
	room := filepath.Join(dir, "room")
	if err := os.WriteFile(room, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	natstest.New(t, natstest.WithDir(dir))
	if _, err := os.Stat(room); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a start: %v, want no such file", err)
	}
}

func TestServerSaysWhyItDoesNotStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := nats.StartServer(nats.ServerConfig{Dir: file}); err == nil {
		t.Error("started on a file in place of a directory")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := nats.StartServer(nats.ServerConfig{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "storage directory") {
		t.Errorf("err = %v, want one that names the broken store", err)
	}
	if _, err := nats.StartServer(nats.ServerConfig{Dir: t.TempDir(), MaxPayload: 1 << 30}); err == nil {
		t.Error("started with messages of 1 GiB")
	}
}

// BenchmarkStart is from nothing to a server with a connection and its streams.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		natstest.New(b)
	}
}

func TestAckedPublishesSurviveRestart(t *testing.T) {
	h := natstest.New(t)
	p := h.Publisher(t)
	const groups = 20
	for i := range groups {
		publish(t, p, i)
	}
	if err := p.PublishDead(t.Context(), schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Raw: []byte("{")}); err != nil {
		t.Fatal(err)
	}
	h.Restart(t)
	got := drain(t, h.Logs(t), groups)
	for i := range groups {
		if string(got[i].Data()) != string(group(i)) {
			t.Errorf("group %d came back as %.40q", i, got[i].Data())
		}
	}
	b, err := h.Conn.Backlog(t.Context())
	if err != nil || b.Pending != 0 || b.Dead != 1 {
		t.Errorf("Backlog() = %+v, %v; want 0 pending and 1 dead", b, err)
	}
}

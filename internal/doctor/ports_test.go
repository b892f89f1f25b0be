package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/certificate"
	"github.com/m2mwatch/m2mwatch/internal/certificate/certificatetest"
	"github.com/m2mwatch/m2mwatch/internal/httpserver"
)

func TestPortsAreFreeOrTakenByTheInstance(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := settings(t)
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateOK, "any that is free")
	s.Listen = ln.Addr().String()
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateFail, "in use by another process")
	s.WebhookListen = "203.0.113.1:8081"
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateFail, "no address of this machine")
	s.WebhookListen = ""
	(&instance{}).run(t, s)
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateOK, "taken while the instance runs")
	ln.Close()
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateWarn, "nobody listens on")
	s.Data = settings(t).Data
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateOK, "is free")
}

// stage is the API listener of a stage that runs alone, as far as others see it.
func stage(t *testing.T, health *httpserver.Health) *httptest.Server {
	t.Helper()
	e := httpserver.New(httpserver.Config{Name: "api"})
	health.Register(e)
	srv := httptest.NewUnstartedServer(e)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail
	t.Cleanup(srv.Close)
	return srv
}

func TestPortsOfAStageThatRunsAloneAreRecognised(t *testing.T) {
	health := &httpserver.Health{}
	api, hook := stage(t, health), stage(t, &httpserver.Health{})
	hook.Config.Handler = httpserver.New(httpserver.Config{Name: "webhook"})
	api.Start()
	hook.Start()
	s := settings(t)
	s.Listen, s.WebhookListen = api.Listener.Addr().String(), hook.Listener.Addr().String()
	s.NATS.URL = "nats://there"
	r := look(t, Config{Settings: s}, "ports")
	wantNote(t, r, StateOK, s.Listen+" is taken by m2mwatch, which runs")
	wantNote(t, r, StateOK, s.WebhookListen+" is taken by m2mwatch, which runs")

	health.Add("nats", func(context.Context) error { return errors.New("not connected") })
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateFail, "not ready: nats: not connected")
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	s.Listen = other.Listener.Addr().String()
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateFail, "in use by another process")
	// What brings its own servers has a data directory, in which it would answer.
	s.Listen, s.NATS.URL = api.Listener.Addr().String(), ""
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateFail, "in use by another m2mwatch")
}

func TestPortsOfAStageWithTLSAreRecognised(t *testing.T) {
	api := stage(t, &httpserver.Health{})
	dir, authority := t.TempDir(), certificatetest.New(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	authority.Write(t, in("cert.pem"), in("key.pem"), time.Now().Add(time.Hour), "m2mwatch.example.com")
	authority.Write(t, in("other.pem"), in("other-key.pem"), time.Now().Add(time.Hour), "m2mwatch.example.com")
	files, err := certificate.Open(certificate.Config{CertFile: in("cert.pem"), KeyFile: in("key.pem")})
	if err != nil {
		t.Fatal(err)
	}
	api.Listener = tls.NewListener(api.Listener, files.TLS())
	api.Start()
	s := settings(t)
	s.Listen, s.NATS.URL = api.Listener.Addr().String(), "nats://there"
	s.TLS.CertFile = in("cert.pem")
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateOK, "taken by m2mwatch, which runs")
	s.TLS.CertFile = in("other.pem")
	wantNote(t, look(t, Config{Settings: s}, "ports"), StateFail, "in use by another process")
}

package httpserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
)

func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	t.Parallel()
	logs, registry := &logBuffer{}, prometheus.NewPedanticRegistry()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := httpserver.LimitConnections(tcp, httpserver.ConnectionLimit{
		Max: 2, Name: "webhook", Logger: slog.New(slog.NewJSONHandler(logs, nil)), Registerer: registry,
	})
	e := httpserver.New(httpserver.Config{Name: "webhook"})
	e.GET("/x", func(c echo.Context) error { return c.NoContent(204) })
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- httpserver.Serve(ctx, e, ln, httpserver.Limits{}) }()

	ask := func(conn net.Conn) string {
		fmt.Fprint(conn, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
		return answerOf(conn)
	}
	var conns [4]net.Conn
	for i := range conns {
		conns[i] = dial(t, tcp.Addr().String())
		if i < 2 {
			if got := ask(conns[i]); !strings.HasPrefix(got, "HTTP/1.1 204") {
				t.Fatalf("connection %d: got %q", i, got)
			}
		}
	}
	fmt.Fprint(conns[2], "GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := conns[2].SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conns[2].Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection too many: read %d, %v", n, err)
	}
	if got := gauge(t, registry); got != 2 {
		t.Errorf("%g connections are counted, want 2", got)
	}
	const told = `"as many connections are open as may be; further ones wait","server":"webhook","connections":2`
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(logs.String(), told); {
		if time.Now().After(deadline) {
			t.Fatalf("not told: %s", logs)
		}
		runtime.Gosched()
	}
	conns[0].Close()
	if err := conns[2].SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := answerOf(conns[2]); !strings.HasPrefix(got, "HTTP/1.1 204") {
		t.Errorf("when there is room: got %q", got)
	}
	stop() // while the fourth waits
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if n := strings.Count(logs.String(), told); n != 1 {
		t.Errorf("told %d times, want once: %s", n, logs)
	}
	if got := gauge(t, registry); got != 0 {
		t.Errorf("%g connections are left", got)
	}
}

func answerOf(conn net.Conn) string {
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

func gauge(t *testing.T, g prometheus.Gatherer) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("%v, %v", families, err)
	}
	return families[0].GetMetric()[0].GetGauge().GetValue()
}

// TestLimitedConnectionsAreClosedAsOthersAre: a refusal is read although the
// body was not.
func TestLimitedConnectionsAreClosedAsOthersAre(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := httpserver.LimitConnections(tcp, httpserver.ConnectionLimit{Max: 1})
	defer ln.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- conn
	}()
	dial(t, tcp.Addr().String())
	conn := <-accepted
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		t.Fatal("it cannot be closed by half")
	}
	if err := half.CloseWrite(); err != nil {
		t.Error(err)
	}
	conn.Close()
	conn.Close() // leaves one place, not two
	if same := httpserver.LimitConnections(tcp, httpserver.ConnectionLimit{}); same != tcp {
		t.Error("no limit is a limit")
	}
}

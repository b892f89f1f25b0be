package httpserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
)

// serve runs e until the returned stop, which gives what Serve returned.
func serve(t *testing.T, e *echo.Echo, limits httpserver.Limits) (addr string, stop func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- httpserver.Serve(ctx, e, ln, limits) }()
	stop = func() error {
		cancel()
		select {
		case err := <-done:
			done <- err
			return err
		case <-time.After(10 * time.Second):
			return errors.New("serve did not return")
		}
	}
	t.Cleanup(func() { _ = stop() })
	return ln.Addr().String(), stop
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestServeFinishesWhatItBegan(t *testing.T) {
	e, _, _ := newEcho(t)
	began, finish := make(chan struct{}), make(chan struct{})
	e.GET("/x", func(c echo.Context) error {
		close(began)
		<-finish
		return c.String(200, "done")
	})
	addr, stop := serve(t, e, httpserver.Limits{Shutdown: 10 * time.Second})
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + addr + "/x")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answer <- string(b)
	}()
	<-began
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for { // until new connections are refused
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		conn.Close()
	}
	close(finish)
	if got := <-answer; got != "done" {
		t.Errorf("the running request got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeCutsOffWhatDoesNotEnd(t *testing.T) {
	e, _, _ := newEcho(t)
	began := make(chan struct{})
	e.GET("/x", func(c echo.Context) error {
		close(began)
		<-c.Request().Context().Done()
		return c.Request().Context().Err()
	})
	addr, stop := serve(t, e, httpserver.Limits{Shutdown: 20 * time.Millisecond})
	conn := dial(t, addr)
	fmt.Fprint(conn, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
	<-began
	if err := stop(); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("Serve: %v", err)
	}
	if b, _ := io.ReadAll(conn); strings.HasPrefix(string(b), "HTTP/1.1 2") {
		t.Errorf("the cut-off request got %q", b)
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	e, _, _ := newEcho(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := httpserver.Serve(t.Context(), e, ln, httpserver.Limits{}); err == nil {
		t.Error("no error")
	}
}

func TestSlowHeaderIsHungUpOn(t *testing.T) {
	e, _, _ := newEcho(t)
	addr, _ := serve(t, e, httpserver.Limits{ReadHeader: 20 * time.Millisecond})
	conn := dial(t, addr)
	fmt.Fprint(conn, "GET /x HTTP/1.1\r\nHost:")
	if b, err := io.ReadAll(conn); err != nil || strings.Contains(string(b), "HTTP/1.1 2") {
		t.Errorf("got %q, %v; want the connection closed", b, err)
	}
}

func TestLargeHeaderIsRefused(t *testing.T) {
	e, _, _ := newEcho(t)
	e.GET("/x", func(c echo.Context) error { return c.NoContent(204) })
	addr, _ := serve(t, e, httpserver.Limits{MaxHeader: 1 << 10})
	conn := dial(t, addr)
	fmt.Fprintf(conn, "GET /x HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("a", 8<<10))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	if !strings.Contains(line, "431") {
		t.Errorf("got %q, want 431", line)
	}
}

// slowBody sends a body of n pieces with a pause before each.
func slowBody(conn io.Writer, n int, pause time.Duration) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	fmt.Fprintf(conn, "POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", n)
	for range n {
		<-tick.C
		fmt.Fprint(conn, "a")
	}
}

func readAll(c echo.Context) error {
	b, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return &httpserver.Error{Status: 400, Code: "body_broken", Message: "The body broke off.", Cause: err}
	}
	return c.String(200, fmt.Sprint(len(b)))
}

func TestLongBodyPassesWhereNoPauseIsLong(t *testing.T) {
	e, _, _ := newEcho(t)
	e.POST("/x", readAll)
	// The body takes longer than every limit; each piece of it does not.
	addr, _ := serve(t, e, httpserver.Limits{BodyPause: 200 * time.Millisecond, Write: 200 * time.Millisecond, ReadHeader: 200 * time.Millisecond})
	conn := dial(t, addr)
	go slowBody(conn, 30, 20*time.Millisecond)
	if b, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200") || !strings.HasSuffix(string(b), "30") {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestStalledBodyIsGivenUp(t *testing.T) {
	e, _, _ := newEcho(t)
	e.POST("/x", readAll)
	e.POST("/refused", func(echo.Context) error { return &httpserver.Error{Status: 401, Code: "no", Message: "No."} })
	addr, _ := serve(t, e, httpserver.Limits{BodyPause: 30 * time.Millisecond, Idle: 30 * time.Millisecond})
	for path, status := range map[string]string{"/x": "400", "/refused": "401"} {
		conn := dial(t, addr)
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", path)
		if b, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 "+status) {
			t.Errorf("%s: got %q, %v; want %s and the connection closed", path, b, err, status)
		}
	}
}

// After the last byte of a body net/http reads on, to learn of a client that
// hangs up. A read deadline left behind would end the handler's context.
func TestSlowHandlerOutlivesTheBodyPause(t *testing.T) {
	e, _, _ := newEcho(t)
	e.POST("/x", func(c echo.Context) error {
		if err := readAllQuietly(c); err != nil {
			return err
		}
		select {
		case <-c.Request().Context().Done():
			return c.Request().Context().Err()
		case <-time.After(100 * time.Millisecond):
			return c.String(200, "done")
		}
	})
	addr, _ := serve(t, e, httpserver.Limits{BodyPause: 20 * time.Millisecond})
	resp, err := http.Post("http://"+addr+"/x", "text/plain", strings.NewReader("abc"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); string(b) != "done" {
		t.Errorf("got %q", b)
	}
}

func readAllQuietly(c echo.Context) error {
	_, err := io.Copy(io.Discard, c.Request().Body)
	return err
}

// TestServeStopsBesideAConnectionThatWasNeverUsed: clients and load balancers
// dial ahead. Such a connection is no request, and stopping need not wait for
// one.
func TestServeStopsBesideAConnectionThatWasNeverUsed(t *testing.T) {
	e, _, _ := newEcho(t)
	e.GET("/here", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	addr, stop := serve(t, e, httpserver.Limits{Shutdown: time.Second})
	unused, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer unused.Close()
	response, err := http.Get("http://" + addr + "/here") // it is accepted behind the unused one
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if err := stop(); err != nil {
		t.Errorf("got %v", err)
	}
}

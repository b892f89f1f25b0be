package clickhouse_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
)

// until polls a condition that has to come true within two minutes.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// as is a raw connection of the driver, for statements that DB does not make.
func as(t *testing.T, c clickhouse.Config, database string) driver.Conn {
	t.Helper()
	o, err := ch.ParseDSN(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	o.Auth.Database = database
	conn, err := ch.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// running tells whether the process is there and not merely unburied.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func insertEvent(t *testing.T, conn driver.Conn, logID string) error {
	t.Helper()
	return conn.Exec(t.Context(), "INSERT INTO events (tenant, client_id, time, log_id, ver, source) VALUES ('acme', 'c', now64(3), ?, 1, 'stream')", logID)
}

func count(t *testing.T, conn driver.Conn, query string, args ...any) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestEngineTellsItsVersion(t *testing.T) {
	version, err := clickhousetest.New(t).Version(t.Context())
	if err != nil || !strings.HasPrefix(version, "26.7.") {
		t.Fatalf("version %q, %v; want 26.7.…", version, err)
	}
}

func TestEngineComesBackAfterKillWithItsRows(t *testing.T) {
	registry := prometheus.NewRegistry()
	e := clickhousetest.Own(t, clickhouse.EngineConfig{Registerer: registry})
	db := clickhousetest.Migrated(t, e.Options(clickhouse.RoleApp))
	conn := as(t, e.Options(clickhouse.RoleApp), db.Database())
	if err := insertEvent(t, conn, "1"); err != nil {
		t.Fatal(err)
	}
	for kills := range 2 {
		pid := e.PID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		until(t, "another engine", func() bool { return e.PID() != pid })
		if err := db.Ping(t.Context()); err != nil {
			t.Fatalf("the old pool has not healed: %v", err)
		}
		if err := insertEvent(t, conn, fmt.Sprint(kills+2)); err != nil {
			t.Fatalf("insert on the old pool: %v", err)
		}
	}
	if n := count(t, conn, "SELECT uniqExact(log_id) FROM events"); n != 3 {
		t.Errorf("%d events after two kills, want 3", n)
	}
	if n := metric(t, registry, "m2mwatch_clickhouse_engine_restarts_total"); n != 2 {
		t.Errorf("%v restarts counted, want 2", n)
	}
}

func metric(t *testing.T, g prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestKilledParentLeavesNoEngine(t *testing.T) {
	parent := exec.Command(os.Args[0], holdEngine, t.TempDir(), clickhousetest.Library(t))
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(line, &pid); err != nil || !running(pid) {
		t.Fatalf("the engine is not running: %q, %v", line, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	until(t, "the engine's end", func() bool { return !running(pid) })
}

func TestCloseEndsTheEngine(t *testing.T) {
	e := clickhousetest.Own(t, clickhouse.EngineConfig{})
	db := clickhousetest.Migrated(t, e.Options(clickhouse.RoleApp)) // a connection stays open
	if err := errors.Join(e.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
	if running(e.PID()) {
		t.Error("the engine runs after Close")
	}
	if err := db.Ping(t.Context()); err == nil {
		t.Error("the engine answers after Close")
	}
}

func TestSecondStartHasTheRowsOfTheFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's <odd> & spaced")
	first := clickhousetest.Own(t, clickhouse.EngineConfig{Dir: dir})
	db := clickhousetest.Migrated(t, first.Options(clickhouse.RoleApp))
	if err := insertEvent(t, as(t, first.Options(clickhouse.RoleApp), db.Database()), "1"); err != nil {
		t.Fatal(err)
	}
	first.Close()
	second := clickhousetest.Own(t, clickhouse.EngineConfig{Dir: dir})
	if n := count(t, as(t, second.Options(clickhouse.RoleApp), db.Database()), "SELECT count() FROM events"); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func TestEarlyDeathShowsWhatTheChildSaid(t *testing.T) {
	script := filepath.Join(t.TempDir(), "engine")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho the disk is made of cheese >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := clickhouse.StartEngine(t.Context(), clickhouse.EngineConfig{Dir: t.TempDir(), Library: "/nowhere", Executable: script})
	if err == nil || !strings.Contains(err.Error(), "made of cheese") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v; want the child's words and its exit status", err)
	}
}

func TestWhatIsNoLibraryIsNamed(t *testing.T) {
	clickhousetest.Library(t)
	path := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(path, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := clickhouse.StartEngine(t.Context(), clickhouse.EngineConfig{Dir: t.TempDir(), Library: path})
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v; want the library's path", err)
	}
}

func TestFolderInUseIsRefused(t *testing.T) {
	dir := t.TempDir()
	clickhousetest.Own(t, clickhouse.EngineConfig{Dir: dir})
	_, err := clickhouse.StartEngine(t.Context(), clickhouse.EngineConfig{
		Dir: dir, Library: clickhousetest.Library(t), PredecessorTimeout: 300 * time.Millisecond,
	})
	if err == nil || !strings.Contains(err.Error(), "status") {
		t.Errorf("error %v; want one that names the lock file", err)
	}
}

// A process that was killed leaves its engine behind for a moment.
func TestStartWaitsForAnEngineThatIsGoing(t *testing.T) {
	dir := t.TempDir()
	first := clickhousetest.Own(t, clickhouse.EngineConfig{Dir: dir})
	closed := make(chan error, 1)
	time.AfterFunc(500*time.Millisecond, func() { closed <- first.Close() })
	second := clickhousetest.Own(t, clickhouse.EngineConfig{Dir: dir})
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if db := as(t, second.Options(clickhouse.RoleApp), "system"); db.Ping(t.Context()) != nil {
		t.Error("the second engine does not answer")
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	script := filepath.Join(t.TempDir(), "engine")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec cat\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := clickhouse.StartEngine(ctx, clickhouse.EngineConfig{Dir: t.TempDir(), Library: "/nowhere", Executable: script})
	if err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("error %v; want that there was no answer in time", err)
	}
}

// Any process of the machine can reach the port. None may end the engine.
func TestEngineOutlivesBadClients(t *testing.T) {
	e := clickhousetest.Own(t, clickhouse.EngineConfig{})
	db := clickhousetest.Migrated(t, e.Options(clickhouse.RoleApp))
	u, err := url.Parse(e.Options(clickhouse.RoleApp).URL)
	if err != nil {
		t.Fatal(err)
	}
	pid := e.PID()
	for _, said := range []string{"", "GET / HTTP/1.0\r\n\r\n", "\x16\x03\x01\x00", "\x00\x05hello", strings.Repeat("\xff", 4096)} {
		sayRaw(t, u.Host, said)
	}
	wrong := clickhouse.Config{URL: "clickhouse://app:wrong@" + u.Host}
	if _, err := clickhouse.Connect(t.Context(), wrong); err == nil {
		t.Error("a wrong password is taken")
	}
	if err := as(t, e.Options(clickhouse.RoleApp), "m2mwatch_nowhere").Ping(t.Context()); err == nil {
		t.Error("a database that is not there is taken")
	}
	for range 20 {
		if err := db.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if e.PID() != pid || !running(pid) {
		t.Error("the engine has died")
	}
}

func sayRaw(t *testing.T, address, said string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(said)); err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, _ = bufio.NewReader(c).ReadString(0)
}

func TestEngineListensOnLoopbackAlone(t *testing.T) {
	e := clickhousetest.Engine(t)
	own, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", e.PID()))
	if err != nil {
		t.Fatal(err)
	}
	sockets := make(map[string]bool)
	for _, fd := range own {
		target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", e.PID(), fd.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	listening := 0
	for _, table := range []string{"tcp", "tcp6"} {
		text, _ := os.ReadFile("/proc/net/" + table)
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != "0A" || !sockets[f[9]] {
				continue
			}
			listening++
			if !strings.HasPrefix(f[1], "0100007F:") {
				t.Errorf("it listens on %s", f[1])
			}
		}
	}
	if listening != 1 {
		t.Errorf("%d listeners, want 1", listening)
	}
}

func TestSecretsStayOffTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("M2MWATCH_SECRET_OF_OURS", "correct-horse")
	e := clickhousetest.Own(t, clickhouse.EngineConfig{Dir: dir})
	u, err := url.Parse(e.Options(clickhouse.RoleApp).URL)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	for _, place := range []string{
		fmt.Sprintf("/proc/%d/cmdline", e.PID()), fmt.Sprintf("/proc/%d/environ", e.PID()),
		filepath.Join(dir, "config.xml"), filepath.Join(dir, "users.xml"),
	} {
		text, err := os.ReadFile(place)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), password) || strings.Contains(string(text), "correct-horse") {
			t.Errorf("%s has a secret", place)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "users.xml"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("users.xml: %v, %v; want 0600", info.Mode(), err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	e := clickhousetest.Own(t, clickhouse.EngineConfig{MemoryLimit: 1 << 30})
	conn := as(t, e.Options(clickhouse.RoleApp), "system")
	err := conn.Exec(t.Context(), "SELECT length(groupArray(repeat('x', 1000) || toString(number))) FROM numbers(2000000) FORMAT Null")
	var refused *ch.Exception
	if !errors.As(err, &refused) || refused.Code != 241 {
		t.Errorf("error %v; want code 241, memory limit exceeded", err)
	}
	if err := conn.Ping(t.Context()); err != nil {
		t.Errorf("the engine has not outlived it: %v", err)
	}
}

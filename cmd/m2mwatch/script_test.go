package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
)

var update = flag.Bool("update", false, "rewrite the golden files of the scripts")

// engineLibrary is where the engine is; a script's HOME is no place to look.
func engineLibrary(t *testing.T) string {
	t.Helper()
	path, err := clickhouse.FindLibrary(os.Getenv("M2MWATCH_ENGINE_LIBRARY"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestScripts(t *testing.T) {
	library := engineLibrary(t)
	commands := scriptTenantCmds()
	commands["settled"], commands["stored"], commands["newer"] = scriptSettled, scriptStored, scriptNewer
	deadline, _ := t.Deadline()
	testscript.RunT(&scriptT{T: t}, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Cmds:          commands,
		Deadline:      deadline,
		Setup: func(e *testscript.Env) error {
			e.Values[scriptTKey{}] = e.T()
			e.Setenv("M2MWATCH_ENGINE_LIBRARY", library)
			e.Setenv("LIBRARY", library)
			e.Setenv("TZ", "UTC")
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			return nil
		},
	})
}

// scriptSettled waits until the instance in a data directory is up and has
// stored and judged everything that it accepted.
func scriptSettled(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: settled DIR")
	}
	dir := ts.MkAbs(args[0])
	client, err := apiclient.New(apiclient.Config{Socket: datadir.Socket(dir), DataDir: dir})
	ts.Check(err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ts.Check(poll(ctx, func() (bool, error) {
		s, err := client.Status(ctx)
		return err == nil && s.Pending != nil && *s.Pending == 0 && s.Uncorrelated == 0, nil
	}))
}

// scriptStored fails unless a tenant has so many events, listed and counted.
func scriptStored(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: stored DIR TENANT COUNT")
	}
	client, err := apiclient.New(apiclient.Config{Socket: datadir.Socket(ts.MkAbs(args[0]))})
	ts.Check(err)
	defer client.Close()
	page, err := client.Events(context.Background(), apiclient.EventQuery{Where: map[string]string{"tenant": args[1]}, Limit: 1000})
	ts.Check(err)
	stats, err := client.Stats(context.Background(), apiclient.StatsQuery{Where: map[string]string{"tenant": args[1]}})
	ts.Check(err)
	counted := uint64(0)
	for _, row := range stats.Rows {
		counted += row.Count
	}
	if got := fmt.Sprint(len(page.Events)); got != args[2] || fmt.Sprint(counted) != got {
		ts.Fatalf("%s events are listed and %d counted, want %s", got, counted, args[2])
	}
}

// scriptNewer records in the store of a data directory a migration that a
// later build will have.
func scriptNewer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: newer DIR")
	}
	engine, err := clickhouse.StartEngine(context.Background(), clickhouse.EngineConfig{
		Dir: filepath.Join(ts.MkAbs(args[0]), "clickhouse"), Library: ts.Getenv("LIBRARY"),
	})
	ts.Check(err)
	defer engine.Close()
	options, err := ch.ParseDSN(engine.Options(clickhouse.RoleApp).URL)
	ts.Check(err)
	conn, err := ch.Open(options)
	ts.Check(err)
	defer conn.Close()
	ts.Check(conn.Exec(context.Background(), "INSERT INTO m2mwatch.schema_migrations (name, checksum) VALUES ('999_tomorrow', '')"))
}

// readmeCommand finds what the README tells a reader to type.
var readmeCommand = regexp.MustCompile("(?m)(?:^ *|`)((?:bin/m2mwatch|make|curl) [^`\n]+)")

// TestREADMECommandsRun runs what the README tells a reader to type about a
// real tenant, in its order. make's targets are only checked to be there: one
// of them runs this test.
func TestREADMECommandsRun(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	writeFiles(t, map[string]string{
		"acme.secret": testSecret + "\n",
		// Old samples: the retention of a real tenant would refuse them.
		"m2mwatch.yaml": fence(t, string(readme), "yaml") + "\nstore: {retention: 0}\napi: {tokens: [{name: readme, token: " + testToken + "}]}\n",
		"FILE":          history(3),
		"events.json":   fence(t, string(readme), "json"),
		"machines.csv":  fence(t, string(readme), "csv"),
	})
	library, err := clickhouse.FindLibrary("")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("M2MWATCH_ENGINE_LIBRARY", library) // an operator has a cache of its own
	for _, pair := range newProvisioner(t, allScopes()...).environ {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	var i *instance
	ran := map[string]bool{}
	for _, m := range readmeCommand.FindAllStringSubmatch(strings.ReplaceAll(string(readme), " && ", "`\n`"), -1) {
		command, _, _ := strings.Cut(m[1], " # ")
		words := strings.Fields(command)
		switch {
		case words[0] == "make":
			checkMakeTargets(t, string(makefile), words[1:])
		case words[0] == "bin/m2mwatch" && words[1] == "up":
			i = startProgram(t, nil, append(words[1:], "--listen", "127.0.0.1:0", "--webhook-listen", "127.0.0.1:0", "--log-format", "json")...)
		case words[0] == "bin/m2mwatch":
			runPipe(t, strings.Split(command, " | "))
		case words[0] == "curl" && strings.Contains(command, " --data-binary "):
			file, url, _ := strings.Cut(command[strings.Index(command, "@")+1:], " ")
			_, path, _ := strings.Cut(url, "127.0.0.1:8081")
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if status, accepted, _ := i.postTo("http://"+i.hook+path, bytes.NewReader(body)); status != 200 || accepted != 1 {
				t.Errorf("%s: status %d, %d accepted", command, status, accepted)
			}
		case words[0] == "curl":
			url := strings.Trim(words[len(words)-1], "'")
			_, path, _ := strings.Cut(url, "127.0.0.1:8080")
			i.mustGet(path, &struct{}{})
		}
		ran[words[0]+" "+words[1]] = true
	}
	for _, want := range []string{"make demo", "make test", "bin/m2mwatch up", "bin/m2mwatch status", "bin/m2mwatch findings", "bin/m2mwatch rules", "bin/m2mwatch import", "bin/m2mwatch assess", "bin/m2mwatch backfill", "bin/m2mwatch tokens", "bin/m2mwatch users", "bin/m2mwatch roles", "bin/m2mwatch apps", "bin/m2mwatch streams", "bin/m2mwatch apis", "bin/m2mwatch grants", "bin/m2mwatch actions", "curl -H"} {
		if !ran[want] {
			t.Errorf("the README no longer says %q, or this test no longer finds it", want)
		}
	}
	i.settle()
	if n := i.counts(); n["seccft"] != 4 || n["custom:token.used"] != 1 {
		t.Errorf("events stored: %v, want 3 tokens imported, the backfill's own, and 1 custom", n)
	}
	i.interrupt()
}

func history(n int) string {
	var b strings.Builder
	for k := range n {
		_, raw := record(k, epoch, "seccft", "client-a", "192.0.2")
		b.WriteString(raw + "\n")
	}
	return b.String()
}

// fence returns the content of the first fenced block of a language, without
// its indent.
func fence(t *testing.T, text, language string) string {
	t.Helper()
	m := regexp.MustCompile("(?s)( *)```" + language + "\n(.*?)\n *```").FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s block", language)
	}
	var b strings.Builder
	for line := range strings.Lines(m[2]) {
		b.WriteString(strings.TrimPrefix(line, m[1]))
	}
	return b.String()
}

func writeFiles(t *testing.T, files map[string]string) {
	t.Helper()
	for name, content := range files {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func checkMakeTargets(t *testing.T, makefile string, targets []string) {
	t.Helper()
	for _, target := range targets {
		if !strings.Contains(makefile, "\n"+target+":") {
			t.Errorf("make %s: no such target", target)
		}
	}
}

// runPipe runs commands of m2mwatch, each reading what the one before it prints.
func runPipe(t *testing.T, commands []string) {
	t.Helper()
	var printed []byte
	for _, line := range commands {
		command := exec.Command(programPath(t), strings.Fields(strings.ReplaceAll(line, "'", ""))[1:]...)
		var said bytes.Buffer
		command.Stdin, command.Stderr = bytes.NewReader(printed), &said
		var err error
		if printed, err = command.Output(); err != nil {
			t.Errorf("%s: %v\n%s", line, err, said.Bytes())
		}
	}
}

package clickhouse

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
)

// EngineCommand is the hidden command under which the executable starts itself
// to be the engine; EngineMain serves it.
const EngineCommand = "__clickhouse-engine"

// keepListening opens the port, then never ends. It is all that the default
// user may run: the quota in the users file counts these two statements.
const keepListening = "SYSTEM START LISTEN TCP; " +
	"SELECT sleepEachRow(0.2) FROM numbers(4000000000) SETTINGS max_block_size = 1 FORMAT Null"

// engineArgs are the child's arguments. Nothing secret may stand among them:
// they are visible to every user of the machine.
func engineArgs(library string, at layout, port int) []string {
	return []string{EngineCommand, library, at.dir, strconv.Itoa(port)}
}

// EngineMain is the child process: it becomes a ClickHouse server that listens
// on a loopback port, and ends when its standard input does, that is, with its
// parent, however that one ends. args are what engineArgs made, without the
// command. It returns the exit code.
func EngineMain(args []string) int {
	if len(args) != 3 {
		fmt.Fprintln(os.Stderr, "this command is m2mwatch's own: it starts it, with what it needs")
		return 2
	}
	if err := serveEngine(args[0], layout{args[1]}, args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 1
}

// serveEngine returns only when the engine has ended, which is an error always.
//
// It keeps to one thread, from which all of the engine's threads come: what
// confines that one confines them. The users' rights alone would not do: the
// function file() asks for none, and reads any file of the machine.
func serveEngine(path string, at layout, port string) error {
	runtime.LockOSThread()
	input, mode := takeInput()
	go endWith(input)
	forbidCoreDumps()
	l, err := loadLibrary(path)
	if err != nil {
		return err
	}
	if err := confine(at.dir); err != nil {
		fmt.Fprintf(os.Stderr, "%v: its users can read every file that this process can\n", err)
	}
	args := []string{
		"clickhouse", "--path", at.data(), "--config-file", at.config(),
		"--tcp_port", port, "--listen_host", "127.0.0.1", "--progress", "off",
	}
	return l.serve(append(append(args, mode...), "-q", keepListening)...)
}

// endWith ends the process at the end of its input. Nothing is waited for:
// what was acknowledged is on disk.
func endWith(input io.Reader) {
	_, _ = io.Copy(io.Discard, input)
	os.Exit(0)
}

// takeInput returns the standard input, and the options of the mode that the
// engine is to run in. Run as a batch, the engine aborts at any error that
// leaves a connection's thread, and a wrong password from any process of the
// machine is one; run interactively, it goes on. It does that only with a
// terminal as standard input, so it gets one of its own, on which nobody types.
func takeInput() (io.Reader, []string) {
	input, err := takeTerminal()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v: the engine will start anew when someone on this machine gives it a wrong password\n", err)
		return os.Stdin, nil
	}
	return input, []string{"--interactive", "--disable_suggestion"}
}

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
)

// Where the data directories are when --data names none.
const (
	defaultData = "data"
	demoData    = "data-demo"
)

// client finds the running instance: M2MWATCH_URL, or the socket in the data
// directory.
func (inv *invocation) client() (*apiclient.Client, error) {
	if url := lookup(inv.environ, "M2MWATCH_URL"); url != "" {
		return apiclient.New(apiclient.Config{URL: url, Token: lookup(inv.environ, "M2MWATCH_TOKEN")})
	}
	dir, err := inv.dataDir()
	if err != nil {
		return nil, err
	}
	return apiclient.New(apiclient.Config{Socket: datadir.Socket(dir), DataDir: dir})
}

// dataDir is where a command looks for the running instance. A demo is found
// without a word where nothing else runs.
func (inv *invocation) dataDir() (string, error) {
	if inv.data != "" {
		return inv.data, nil
	}
	cfg, err := config.Load(config.Origin{File: inv.config, Environ: inv.environ})
	if err != nil {
		return "", err
	}
	return runningData(cfg.Data), nil
}

// runningData is the demo's data directory where nothing runs in the default
// one and a demo does.
func runningData(data string) string {
	if data == defaultData && !listens(datadir.Socket(defaultData)) && listens(datadir.Socket(demoData)) {
		return demoData
	}
	return data
}

func listens(socket string) bool {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// table aligns columns that are written with tabs between them.
func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// clock shows a time in the reader's zone.
func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// isTerminal tells a reader or writer that a person is behind from files, pipes
// and /dev/null.
func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

func size(bytes uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(bytes), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

package deteval

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/m2mwatch/m2mwatch/internal/bench/synth"
)

// Write makes up the first tenant of c and leaves it in two files of dir, which
// Given reads: events.ndjson, in the order of delivery, and labels.ndjson. They tell
// neither when a log was delivered nor what a database knows of its addresses.
func Write(c Config, dir string) (Given, error) {
	c = c.withDefaults()
	h := synth.Generate(synth.Config{Seed: c.First, Events: c.Events, Machines: c.Machines})
	g := Given{Events: filepath.Join(dir, "events.ndjson"), Labels: filepath.Join(dir, "labels.ndjson")}
	err := writeLines(g.Events, len(h.Logs), func(i int) ([]byte, error) { return h.Logs[i].Raw, nil })
	if err == nil {
		err = writeLines(g.Labels, len(h.Labels), func(i int) ([]byte, error) { return json.Marshal(&h.Labels[i]) })
	}
	return g, err
}

// writeLines writes a file of n lines.
func writeLines(path string, n int, line func(i int) ([]byte, error)) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write a made-up tenant: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	for i := range n {
		text, err := line(i)
		if err != nil {
			return fmt.Errorf("write line %d of %s: %w", i+1, path, err)
		}
		_, _ = w.Write(text) // Flush tells
		_ = w.WriteByte('\n')
	}
	return w.Flush()
}

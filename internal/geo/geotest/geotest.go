// Package geotest writes .mmdb files for tests.
package geotest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// Record is what a file tells of a network: strings, uint32 and further
// Records.
type Record map[string]any

// Options say what the file tells of itself.
type Options struct {
	Type      string    // default "Test"
	Built     time.Time // default now
	IPVersion int       // 4 or 6, the default
}

// Bytes is the content of a file with these networks, in CIDR.
func Bytes(tb testing.TB, o Options, networks map[string]Record) []byte {
	tb.Helper()
	if o.Type == "" {
		o.Type = "Test"
	}
	if o.Built.IsZero() {
		o.Built = time.Now()
	}
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: o.Type, BuildEpoch: o.Built.Unix(), IPVersion: o.IPVersion, IncludeReservedNetworks: true,
	})
	if err != nil {
		tb.Fatal(err)
	}
	for network, record := range networks {
		_, prefix, err := net.ParseCIDR(network)
		if err != nil {
			tb.Fatal(err)
		}
		if err := tree.Insert(prefix, value(record)); err != nil {
			tb.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// Write puts a file in the place of path at once, as who replaces one should.
func Write(tb testing.TB, path string, o Options, networks map[string]Record) {
	tb.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, Bytes(tb, o, networks), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		tb.Fatal(err)
	}
}

func value(v any) mmdbtype.DataType {
	switch v := v.(type) {
	case string:
		return mmdbtype.String(v)
	case uint32:
		return mmdbtype.Uint32(v)
	case Record:
		m := mmdbtype.Map{}
		for name, member := range v {
			m[mmdbtype.String(name)] = value(member)
		}
		return m
	}
	panic(fmt.Sprintf("geotest: a value of type %T", v))
}

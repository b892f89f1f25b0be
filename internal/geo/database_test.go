package geo

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// joined is a file without a record, all of whose nodes have the same next one
// on both sides: 2^nodes paths.
func joined(nodes int) []byte {
	var b bytes.Buffer
	for i := range nodes {
		next := uint32(i + 1)
		for range 2 {
			b.Write([]byte{byte(next >> 16), byte(next >> 8), byte(next)})
		}
	}
	b.Write(make([]byte, 16)) // between tree and data
	b.WriteByte(0xe0)         // data: an empty map
	text := func(s string) { b.WriteByte(0x40 | byte(len(s))); b.WriteString(s) }
	small := func(key string, v uint16) { text(key); b.Write(binary.BigEndian.AppendUint16([]byte{0xa2}, v)) }
	b.WriteString("\xab\xcd\xefMaxMind.com\xe9")
	small("binary_format_major_version", 2)
	small("binary_format_minor_version", 0)
	small("ip_version", 6)
	small("record_size", 24)
	text("build_epoch")
	b.Write(binary.BigEndian.AppendUint64([]byte{0x08, 0x02}, 1_800_000_000))
	text("database_type")
	text("joined")
	text("description")
	b.WriteByte(0xe0)
	text("languages")
	b.Write([]byte{0x00, 0x04})
	text("node_count")
	b.Write(binary.BigEndian.AppendUint32([]byte{0xc4}, uint32(nodes)))
	return b.Bytes()
}

func TestAFileWhoseBranchesMeetAgainIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "joined.mmdb")
	if err := os.WriteFile(path, joined(60), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Config{Paths: []string{path}})
	if err == nil || !strings.Contains(err.Error(), "joined tells neither a country nor an autonomous system") {
		t.Errorf("got %v", err)
	}
}

func TestBehindIsTheNextNetwork(t *testing.T) {
	for _, tt := range []struct{ addr, network, want string }{
		{"0.0.0.0", "0.0.0.0/8", "1.0.0.0"},
		{"192.0.2.0", "192.0.2.0/23", "192.0.4.0"},
		{"198.51.100.7", "198.51.100.7/32", "198.51.100.8"},
		{"255.255.0.0", "255.255.0.0/16", ""},
		{"0.0.0.0", "::/64", ""}, // no IPv4 in the file
		{"2000::", "2000::/3", "4000::"},
		{"2001:db8::", "2001:db8::/33", "2001:db8:8000::"},
	} {
		got := behind(netip.MustParseAddr(tt.addr), netip.MustParsePrefix(tt.network))
		if want, _ := netip.ParseAddr(tt.want); got != want {
			t.Errorf("behind %s in %s is %s, want %s", tt.addr, tt.network, got, tt.want)
		}
	}
}

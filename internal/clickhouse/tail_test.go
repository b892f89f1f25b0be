package clickhouse_test

import (
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
)

func TestTailKeepsTheEnd(t *testing.T) {
	all := strings.Repeat("0123456789", 10)
	for _, step := range []int{1, 3, 7, 50, 100} {
		tail := clickhouse.NewTail(8)
		for at := 0; at < len(all); at += step {
			chunk := all[at:min(at+step, len(all))]
			if n, err := tail.Write([]byte(chunk)); n != len(chunk) || err != nil {
				t.Fatalf("Write: %d, %v", n, err)
			}
		}
		if got := tail.String(); got != "23456789" {
			t.Errorf("in steps of %d: %q", step, got)
		}
	}
}

package detect_test

import (
	"os"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/processor/detect"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

func shipped(tb testing.TB) *detect.Set {
	tb.Helper()
	set, err := detect.Parse(os.DirFS("../rules"))
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// workingClient are MI-02 and what it needs, without the other shipped rules.
func workingClient(tb testing.TB) *detect.Set {
	tb.Helper()
	text, err := os.ReadFile("../rules/mi-02-working-client-started-failing.yml")
	if err != nil {
		tb.Fatal(err)
	}
	set, err := parse(string(text))
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

package clickhouse_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
)

// holdEngine is the command of a process that starts an engine, tells its
// process id and never ends by itself.
const holdEngine = "hold-engine"

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == holdEngine {
		hold(os.Args[2], os.Args[3])
	}
	clickhousetest.Main(m)
}

func hold(dir, library string) {
	e, err := clickhouse.StartEngine(context.Background(), clickhouse.EngineConfig{Dir: dir, Library: library})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(e.PID())
	select {}
}

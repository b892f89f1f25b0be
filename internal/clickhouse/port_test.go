package clickhouse_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
)

func TestTakenPortIsNoticed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	taken, err := clickhouse.StartOn(ctx, clickhouse.EngineConfig{Dir: t.TempDir(), Library: clickhousetest.Library(t)},
		l.Addr().(*net.TCPAddr).Port)
	if !taken {
		t.Errorf("error %v; want that the port is taken", err)
	}
}

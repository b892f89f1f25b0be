package clickhouse_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
)

func TestURLIsReadWithItsDefaults(t *testing.T) {
	for url, want := range map[string]clickhouse.Seen{
		"clickhouse://u:p@h:9440/db?secure=true":      {Addr: []string{"h:9440"}, User: "u", Password: "p", Database: "db", TLS: true, Compression: "lz4"},
		"clickhouse://u:p@h1:9000,h2:9000":            {Addr: []string{"h1:9000", "h2:9000"}, User: "u", Password: "p", Database: "m2mwatch", Compression: "lz4"},
		"clickhouse://u:p%40%2F@h:9000?compress=zstd": {Addr: []string{"h:9000"}, User: "u", Password: "p@/", Database: "m2mwatch", Compression: "zstd"},
		"clickhouse://u:p@h:9000?async_insert=1":      {Addr: []string{"h:9000"}, User: "u", Password: "p", Database: "m2mwatch", Compression: "lz4"},
	} {
		got, err := clickhouse.See(clickhouse.Config{URL: url})
		if err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", url, diff)
		}
	}
}

func TestDatabaseOfTheConfigurationWins(t *testing.T) {
	got, err := clickhouse.See(clickhouse.Config{URL: "clickhouse://h:9000/a", Database: "b"})
	if err != nil || got.Database != "b" {
		t.Errorf("database %q, %v; want b", got.Database, err)
	}
}

func TestBadURLIsRefusedWithoutItsPassword(t *testing.T) {
	for _, url := range []string{
		"http://app:hunter2@h:8123/db",
		"clickhouse://app:hunter2@h:9000/db-with-dash",
		"clickhouse://app:hunter2@h:9000/a;DROP",
		"clickhouse://app:hunter2@h:port/",
		"clickhouse://app:hunter2/x@h:9000/",
		"clickhouse://app:hun%zzter2@h:9000/",
		"clickhouse://h:9000/?password=hunter2&secure=perhaps",
		"://app:hunter2@",
	} {
		_, err := clickhouse.See(clickhouse.Config{URL: url})
		if err == nil {
			t.Errorf("%s is taken", url)
			continue
		}
		if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "hun%zzter2") {
			t.Errorf("%s: the error has the password: %v", url, err)
		}
	}
}

func TestConfigPrintsNoPassword(t *testing.T) {
	for _, url := range []string{"clickhouse://app:hunter2@h:9000/db", "clickhouse://app:hunter2@", "clickhouse://h/?password=hunter2"} {
		c := clickhouse.Config{URL: url}
		var logged bytes.Buffer
		slog.New(slog.NewTextHandler(&logged, nil)).Info("connect", "to", c)
		for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v", c, c), logged.String()} {
			if strings.Contains(text, "hunter2") || !strings.Contains(text, "***") {
				t.Errorf("%s prints as %s", url, text)
			}
		}
	}
}

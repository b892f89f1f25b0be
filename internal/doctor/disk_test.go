package doctor

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
	"github.com/m2mwatch/m2mwatch/internal/smalldisk"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestADiskInMemoryFailsAndIsLeftAsItWas(t *testing.T) {
	s := settings(t)
	smalldisk.Mount(t, s.Data, 16)
	wantNote(t, look(t, Config{Settings: s}, "disk sync"), StateFail, "in memory (tmpfs)")
	wantNote(t, look(t, Config{Settings: s}, "disk room"), StateFail, "MiB free")
	if entries, err := os.ReadDir(s.Data); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestAFullDiskFailsInsteadOfHanging(t *testing.T) {
	s := settings(t)
	smalldisk.Mount(t, s.Data, 1).Fill()
	wantNote(t, look(t, Config{Settings: s}, "disk sync"), StateFail, "no space left")
}

func TestSyncsAreJudgedByTheirTime(t *testing.T) {
	for _, c := range []struct {
		median time.Duration
		state  State
		found  string
	}{
		{time.Microsecond, StateWarn, "syncs seem to be ignored"},
		{200 * time.Microsecond, StateOK, "200µs on ext4"},
		{90 * time.Millisecond, StateWarn, "take 90ms"},
	} {
		var r Result
		judgeSync(&r, "ext4", c.median)
		wantNote(t, r, c.state, c.found)
	}
	if _, err := probeSync(t.Context(), t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestFileSystemsThatKeepNothingAreTold(t *testing.T) {
	for name, state := range map[string]State{"ext4": StateSkip, "tmpfs": StateFail, "overlay": StateWarn, "nfs": StateWarn, "": StateSkip} {
		var r Result
		judgeFileSystem(&r, name, "/data")
		if r.State() != state {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestSyncIsNotLookedForWhereItDoesNotMatter(t *testing.T) {
	s := settings(t)
	s.NATS.URL, s.ClickHouse.URL = "nats://127.0.0.1:1", "clickhouse://127.0.0.1:1"
	wantNote(t, look(t, Config{Settings: s}, "disk sync"), StateSkip, "outside")
}

func TestALibraryThatIgnoresSyncsIsTold(t *testing.T) {
	c := Config{Settings: settings(t), Origin: config.Origin{Environ: []string{"LD_PRELOAD=/usr/lib/libeatmydata.so"}}}
	wantNote(t, look(t, c, "disk sync"), StateFail, "libeatmydata")
}

func TestRoomIsMeasuredAgainstTheStreams(t *testing.T) {
	s := settings(t)
	s.NATS.LogsBytes, s.NATS.DeadBytes, s.NATS.AlertsBytes = 1<<20, 1<<20, 1<<20
	wantNote(t, look(t, Config{Settings: s}, "disk room"), StateOK, "free")
	s.NATS.LogsBytes = 1 << 50
	wantNote(t, look(t, Config{Settings: s}, "disk room"), StateWarn, "may take 1024.0 TiB more")
	s.NATS.LogsBytes = 1 << 20
	days := 3.0
	(&instance{status: schemas.StatusView{DaysToFull: &days}}).run(t, s)
	wantNote(t, look(t, Config{Settings: s}, "disk room"), StateWarn, "full in 3 days")
}

func TestTheDataDirectoryIsLookedAtAndNotMade(t *testing.T) {
	s := settings(t)
	wantNote(t, look(t, Config{Settings: s}, "data directory"), StateOK, "the first start makes it")
	if _, err := os.Stat(s.Data); err == nil {
		t.Fatal("looking made it")
	}
	dir, err := datadir.Open(s.Data, datadir.Live)
	if err != nil {
		t.Fatal(err)
	}
	wantNote(t, look(t, Config{Settings: s}, "data directory"), StateFail, "another process has the lock")
	dir.Close()
	wantNote(t, look(t, Config{Settings: s}, "data directory"), StateOK, "format 1, live")
	if err := os.Chmod(s.Data, 0o755); err != nil {
		t.Fatal(err)
	}
	wantNote(t, look(t, Config{Settings: s}, "data directory"), StateWarn, "others may look into")
	s.Data = filepath.Dir(write(t, "holiday.jpg", "x", 0o600))
	wantNote(t, look(t, Config{Settings: s}, "data directory"), StateFail, "not a data directory")
	(&instance{}).run(t, s)
	wantNote(t, look(t, Config{Settings: s}, "data directory"), StateOK, "in use by the instance")
}

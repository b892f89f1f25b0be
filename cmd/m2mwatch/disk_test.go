package main

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/datadir"
	"github.com/m2mwatch/m2mwatch/internal/smalldisk"
)

// onSmallDisk starts instances on a data directory of which one folder lies on a
// small disk.
func onSmallDisk(t *testing.T, folder string) (starter, *smalldisk.Disk) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	dir, err := datadir.Open(data, datadir.Live)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	disk := smalldisk.Mount(t, filepath.Join(data, folder), 128)
	return func(pace string) *instance { return startUp(t, data, pace) }, disk
}

// TestFullDiskOfTheEngineLosesNothing fills the disk of the engine under load
// and kills the engine, which starts again on it. Logs are taken in all the
// while, and stored when there is room.
func TestFullDiskOfTheEngineLosesNothing(t *testing.T) {
	start, disk := onSmallDisk(t, "clickhouse")
	l := newLoad()
	l.underLoad(start, 1, func(i *instance) {
		acked := l.acknowledged()
		i.eventually("a flush that finds no room", func() error {
			disk.Fill() // merges make room
			if !strings.Contains(i.log(), "the store is away") {
				return errors.New("the store is not away")
			}
			return nil
		})
		i.killEngine()
		i.eventually("an engine that is back on the full disk", func() error {
			disk.Fill()
			if !strings.Contains(i.log(), "the ClickHouse engine is back") {
				return errors.New("it is not")
			}
			return nil
		})
		i.eventually("logs that are taken in all the same", func() error {
			if now := l.acknowledged(); now < acked+20 {
				return fmt.Errorf("%d batches acknowledged, %d before", now, acked)
			}
			return nil
		})
		disk.Free()
	})
}

// TestFullDiskOfTheBrokerLosesNothing fills the disk of the embedded broker
// under load: the webhook refuses, the process says that it is not ready, and
// goes on by itself when there is room.
func TestFullDiskOfTheBrokerLosesNothing(t *testing.T) {
	start, disk := onSmallDisk(t, "nats")
	l := newLoad()
	l.underLoad(start, 1, func(i *instance) {
		i.eventually("batches that are refused", func() error {
			disk.Fill() // what is acked makes room
			if n := l.refused(); n < 4 {
				return fmt.Errorf("%d batches answered 503", n)
			}
			return nil
		})
		if response, err := http.Get(i.api + "/readyz"); err != nil || response.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("readyz on a full disk: %v, %v", response, err)
		} else {
			response.Body.Close()
		}
		disk.Free()
	})
}

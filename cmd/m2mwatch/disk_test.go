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

// diskUnder is a data directory, one folder of which lies on a small disk.
func diskUnder(t *testing.T, folder string) (data string, disk *smalldisk.Disk) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	dir, err := datadir.Open(data, datadir.Live)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	return data, smalldisk.Mount(t, filepath.Join(data, folder), 128)
}

// TestFullDiskOfTheEngineLosesNothing fills the disk of the engine under load
// and kills the engine, which has to start on it. Logs are taken in all the
// while, and stored when there is room.
func TestFullDiskOfTheEngineLosesNothing(t *testing.T) {
	data, disk := diskUnder(t, "clickhouse")
	i := startUp(t, data, fastRecount)
	l := newLoad()
	l.underLoad(i, 1, func() {
		acked := l.acknowledged()
		i.eventually("a flush that finds no room", func() error {
			disk.Fill() // merges make room
			if !strings.Contains(i.log(), "the store is away") {
				return errors.New("the store is not away")
			}
			return nil
		})
		i.killEngine()
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
	data, disk := diskUnder(t, "nats")
	i := startUp(t, data, fastRecount)
	l := newLoad()
	l.underLoad(i, 1, func() {
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

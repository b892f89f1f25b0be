package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/m2mwatch/m2mwatch/internal/datadir"
)

const (
	leastRoom = 256 << 20 // less stops the servers before long
	storeRoom = 2 << 30   // for the store's merges, beside what streams may take
	soonFull  = 14        // days

	// fastSync is faster than any disk: the system answers before it is there.
	fastSync = 10 * time.Microsecond
	// slowSync makes deliveries wait: each group is one sync, or several.
	slowSync   = 50 * time.Millisecond
	syncProbes = 21
	syncTime   = 3 * time.Second
)

// existing is the folder, or the first above it that is there.
func existing(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(path)
		if !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return path, err
		}
		path = filepath.Dir(path)
	}
}

// room tells whether the disk has room for what the streams may take.
func (d *Doctor) room(ctx context.Context) Result {
	var r Result
	path, err := existing(d.cfg.Settings.Data)
	if err != nil {
		r.fail("correct data in the configuration, or --data", "%v", err)
		return r
	}
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		r.fail("look at the disk of the data directory", "ask the file system of %s: %v", path, err)
		return r
	}
	free := uint64(st.Bavail) * uint64(st.Bsize) //nolint:unconvert // the types differ between systems
	want := d.wantedRoom()
	const more = "make room or move the data directory to a larger disk; nats.logs_bytes, .dead_bytes and .alerts_bytes bound the streams, store.retention the store"
	switch {
	case free < leastRoom:
		r.fail(more, "%s free at %s: the servers stop when it is full, and the webhook answers 503", bytesText(free), path)
	case free < want:
		r.warn(more, "%s free at %s; the embedded servers may take %s more", bytesText(free), path, bytesText(want))
	default:
		r.ok("%s free at %s", bytesText(free), path)
	}
	if d.running {
		if status, err := d.client.Status(ctx); err == nil && status.DaysToFull != nil && *status.DaysToFull < soonFull {
			r.warn("shorten store.retention, or get a larger disk", "full in %.0f days at %s of events a day", *status.DaysToFull, bytesText(status.BytesPerDay))
		}
	}
	return r
}

// wantedRoom is what the embedded servers may yet take.
func (d *Doctor) wantedRoom() uint64 {
	c := d.cfg.Settings
	var want uint64
	if c.NATS.URL == "" {
		streams := uint64(c.NATS.LogsBytes + 2*c.NATS.DeadBytes + 2*c.NATS.AlertsBytes)
		want += streams - min(streams, folderSize(filepath.Join(c.Data, "nats")))
	}
	if c.ClickHouse.URL == "" {
		want += storeRoom
	}
	return want
}

// folderSize adds up the files below a folder; what vanishes meanwhile counts
// for nothing.
func folderSize(path string) uint64 {
	var sum uint64
	_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // an estimate
		}
		if info, err := e.Info(); err == nil {
			sum += uint64(info.Size())
		}
		return nil
	})
	return sum
}

// syncing tells whether a write that was synced is on a disk, and how long that
// takes.
func (d *Doctor) syncing(ctx context.Context) Result {
	var r Result
	if d.cfg.Settings.NATS.URL != "" && d.cfg.Settings.ClickHouse.URL != "" {
		r.skip("", "both servers are outside: nothing that matters lies in the data directory")
		return r
	}
	path, err := existing(d.cfg.Settings.Data)
	if err != nil {
		r.fail("correct data in the configuration, or --data", "%v", err)
		return r
	}
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		r.fail("look at the disk of the data directory", "ask the file system of %s: %v", path, err)
		return r
	}
	name := fileSystemName(st)
	judgeFileSystem(&r, name, path)
	median, err := probeSync(ctx, path)
	if err != nil {
		r.fail("give the user that runs m2mwatch the right to write there", "write and sync a file in %s: %v", path, err)
		return r
	}
	judgeSync(&r, name, median)
	if preload := environ(d.cfg.Origin.Environ, "LD_PRELOAD"); strings.Contains(preload, "eatmydata") {
		r.fail("take it out of LD_PRELOAD", "libeatmydata is loaded: the embedded ClickHouse syncs nothing")
	}
	return r
}

func judgeFileSystem(r *Result, name, path string) {
	switch name {
	case "tmpfs", "ramfs":
		r.fail("move the data directory to a disk", "%s is in memory (%s): what was acknowledged with 2xx is lost at a reboot", path, name)
	case "overlay":
		r.warn("mount a volume there", "%s is a container's own layer (overlay): it goes with the container", path)
	case "nfs", "cifs", "smb", "fuse", "9p":
		r.warn("use a local disk, or a block device over the network", "%s is on %s: neither server is made for it, and what a sync means there is the other side's word", path, name)
	}
}

func judgeSync(r *Result, name string, median time.Duration) {
	on := ""
	if name != "" {
		on = " on " + name
	}
	switch {
	case median < fastSync:
		r.warn("use a disk that syncs: with this one 2xx does not mean on disk", "a write and its sync take %s%s, which no disk can do: syncs seem to be ignored", median, on)
	case median > slowSync:
		r.warn("use a faster disk, such as an SSD with power-loss protection: each delivery waits for a sync", "a write and its sync take %s%s (median)", median.Round(time.Millisecond), on)
	default:
		r.ok("a write and its sync take %s%s (median)", median.Round(10*time.Microsecond), on)
	}
}

// probeSync is the median time of a write of 4 KiB with its sync, in a file
// that is removed.
func probeSync(ctx context.Context, dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, datadir.ProbePrefix+"*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4<<10)
	var times []time.Duration
	for begin := time.Now(); len(times) < syncProbes && time.Since(begin) < syncTime && ctx.Err() == nil; {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		times = append(times, time.Since(start))
	}
	if len(times) == 0 {
		return 0, ctx.Err()
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

func environ(pairs []string, name string) string {
	for _, pair := range pairs {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

func bytesText(n uint64) string {
	for _, u := range []struct {
		name string
		size uint64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

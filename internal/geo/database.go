package geo

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// database is the content of one file. It is in memory and not mapped: a file
// that is overwritten in place would end the process that maps it.
type database struct {
	path   string
	kind   string // what the file calls itself
	built  time.Time
	bytes  int64
	reader *maxminddb.Reader
	log    *slog.Logger

	cache  [cacheSize]atomic.Pointer[cached]
	broken atomic.Bool // it was said that a part of it cannot be read
}

// cached is a record by its place in the file. Many networks share a record,
// and a stream of logs comes from few: decoding takes several times as long as
// finding the place.
type cached struct {
	offset uintptr
	found  found
}

const cacheSize = 1 << 12

// found is what a record tells.
type found struct {
	country      string
	asn          uint32
	organization string
}

// find is empty where the file tells nothing of an address.
func (d *database) find(addr netip.Addr) found {
	if d.reader.Metadata.IPVersion == 4 && addr.Is6() {
		return found{}
	}
	result := d.reader.Lookup(addr)
	if !result.Found() {
		d.tell(result.Err())
		return found{}
	}
	offset := result.Offset()
	slot := &d.cache[(offset^offset>>12)%cacheSize]
	if c := slot.Load(); c != nil && c.offset == offset {
		return c.found
	}
	var r record
	if err := result.Decode(&r); err != nil {
		d.tell(err)
		return found{}
	}
	c := &cached{offset, r.found()}
	slot.Store(c)
	return c.found
}

// tell logs once that a part of the file cannot be read.
func (d *database) tell(err error) {
	if err != nil && !d.broken.Swap(true) {
		d.log.Error("a part of an .mmdb file cannot be read, what it would tell is left out", "path", d.path, "error", err)
	}
}

// day is that of its build, the first of 2020 being 1.
func (d *database) day() int {
	return max(1, int(d.built.Sub(time.Date(2019, 12, 31, 0, 0, 0, 0, time.UTC)).Hours()/24))
}

// stamp tells one state of a path from another without reading the file.
type stamp struct {
	info fs.FileInfo
	err  error
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	return stamp{info, err}
}

func (s stamp) same(o stamp) bool {
	if s.err != nil || o.err != nil {
		return s.err != nil && o.err != nil && s.err.Error() == o.err.Error()
	}
	return os.SameFile(s.info, o.info) && s.info.Size() == o.info.Size() && s.info.ModTime().Equal(o.info.ModTime())
}

// errUnsettled means that a file changed while it was read.
var errUnsettled = errors.New("it changed while it was read")

// read reads a file, and returns its stamp whether it can be used or not.
func read(path string, log *slog.Logger) (*database, stamp, error) {
	before := stampOf(path)
	if before.err != nil {
		return nil, before, fmt.Errorf("read .mmdb file: %w", before.err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, before, fmt.Errorf("read .mmdb file: %w", err)
	}
	if !stampOf(path).same(before) {
		return nil, before, fmt.Errorf("read .mmdb file %s: %w", path, errUnsettled)
	}
	reader, err := maxminddb.OpenBytes(content)
	if err != nil {
		return nil, before, fmt.Errorf("read .mmdb file %s: %w", path, err)
	}
	d := &database{
		path: path, kind: reader.Metadata.DatabaseType, built: reader.Metadata.BuildTime().UTC(),
		bytes: int64(len(content)), reader: reader, log: log,
	}
	if err := d.check(); err != nil {
		return nil, before, fmt.Errorf("read .mmdb file %s: %w", path, err)
	}
	return d, before, nil
}

// mostNetworks is how many networks walk looks at in each part of the address
// space.
const mostNetworks = 50_000

// check refuses a file that cannot be read or tells neither a country nor an
// autonomous system of any network.
func (d *database) check() error {
	tells := false
	err := d.walk(func(f found) bool {
		tells = f != found{}
		return tells
	})
	if err == nil && !tells {
		err = fmt.Errorf("%s tells neither a country nor an autonomous system of its first networks", d.kind)
	}
	return err
}

// walk goes from one network to the next until enough says so. It looks
// addresses up, which takes one path through the tree each: a small file whose
// branches meet again has more paths than can ever be walked.
func (d *database) walk(enough func(found) bool) error {
	starts := []netip.Addr{netip.IPv4Unspecified()}
	if d.reader.Metadata.IPVersion == 6 {
		starts = append(starts, netip.MustParseAddr("2000::")) // where addresses are given out
	}
	for _, addr := range starts {
		for n := 0; n < mostNetworks && addr.IsValid(); n++ {
			result := d.reader.Lookup(addr)
			if err := result.Err(); err != nil {
				return err
			}
			if result.Found() {
				var r record
				if err := result.Decode(&r); err != nil {
					return err
				}
				if enough(r.found()) {
					return nil
				}
			}
			addr = behind(addr, result.Prefix())
		}
	}
	return nil
}

// behind is the first address behind the network of addr, invalid where there
// is none. All of IPv4 may lie in one network of IPv6.
func behind(addr netip.Addr, network netip.Prefix) netip.Addr {
	bytes := addr.AsSlice()
	bits := 0
	if network.Addr().BitLen() == addr.BitLen() {
		bits = network.Bits()
	}
	for i := range bytes {
		if keep := bits - 8*i; keep <= 0 {
			bytes[i] = 0xff
		} else if keep < 8 {
			bytes[i] |= 0xff >> keep
		}
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last.Next()
}

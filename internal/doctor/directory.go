package doctor

import (
	"context"
	"os"

	"github.com/m2mwatch/m2mwatch/internal/datadir"
)

// directory looks at the data directory. The lock is not touched while an
// instance runs.
func (d *Doctor) directory(context.Context) Result {
	var r Result
	path := d.cfg.Settings.Data
	if d.running {
		d.owner(&r, path)
		if len(r.Notes) == 0 {
			r.ok("%s, in use by the instance that runs", path)
		}
		return r
	}
	s, err := datadir.Inspect(path)
	switch {
	case err != nil:
		r.fail("choose another with --data or data, or correct this one", "%v", err)
		return r
	case !s.Exists:
		r.ok("%s is not there yet: the first start makes it", s.Path)
		return r
	case s.Held:
		r.fail("wait, if it is starting or migrating; else end that process", "another process has the lock of %s and does not answer", s.Path)
	}
	d.owner(&r, path)
	if len(r.Notes) == 0 {
		r.ok("%s, format %d, %s", s.Path, datadir.Format, orNew(s.Purpose))
	}
	return r
}

func orNew(p datadir.Purpose) string {
	if p == "" {
		return "empty"
	}
	return string(p)
}

// owner tells where another user than the owner asks, or others may look in.
func (d *Doctor) owner(r *Result, path string) {
	info, err := os.Stat(path)
	if err != nil {
		r.fail("correct the path, or its rights", "%v", err)
		return
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		r.warn("chmod 700 "+path, "others may look into %s (mode %04o): it holds what people did", path, mode)
	}
	if uid := uidOf(info); uid >= 0 && uid != os.Getuid() {
		r.warn("run doctor as the user that runs m2mwatch", "%s belongs to user %d, and this is user %d", path, uid, os.Getuid())
	}
}

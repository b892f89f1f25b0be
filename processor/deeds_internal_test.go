package processor

import (
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// What was read of a key holds until it is touched, and for one range.
func TestDeedsAreReadAgainWhereTheyMayBeOthers(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 4, 14, 0, 0, 0, 0, time.UTC)
	const tenant, selector = "acme", "issued"
	k := deedsKey{tenant: tenant, selector: selector, from: from.UnixMilli()}
	touch := func(selector, key string) []schemas.Touch {
		return []schemas.Touch{{Tenant: tenant, Selector: selector, Key: key, Bucket: from}}
	}
	rows := []schemas.CorrelationRow{{Key: "billing", Values: []string{"asn\x1f64500"}}}
	answered := func() *deeds {
		d := &deeds{}
		d.begin(1)
		_, unread, asking := d.ask(k, []string{"billing", "idle"})
		if len(unread) != 2 {
			t.Fatalf("unread at first: %q", unread)
		}
		d.learn(k, unread, rows, asking)
		return d
	}
	for name, tc := range map[string]struct {
		do     func(d *deeds)
		key    string
		from   time.Time
		rows   int
		unread int
	}{
		"known":                  {func(*deeds) {}, "billing", from, 1, 0},
		"known to do nothing":    {func(*deeds) {}, "idle", from, 0, 0},
		"another key":            {func(*deeds) {}, "web", from, 0, 1},
		"another time":           {func(*deeds) {}, "billing", from.Add(-24 * time.Hour), 0, 1},
		"touched":                {func(d *deeds) { d.touched(touch(selector, "billing")) }, "billing", from, 0, 1},
		"another key is touched": {func(d *deeds) { d.touched(touch(selector, "web")) }, "billing", from, 1, 0},
		"by another selector":    {func(d *deeds) { d.touched(touch("refused", "billing")) }, "billing", from, 1, 0},
		"another time was asked about": {func(d *deeds) {
			d.ask(deedsKey{tenant: tenant, selector: selector, from: k.from - 1}, []string{"billing"})
		}, "billing", from, 1, 0},
		"another epoch":  {func(d *deeds) { d.begin(2) }, "billing", from, 0, 1},
		"the same epoch": {func(d *deeds) { d.begin(1) }, "billing", from, 1, 0},
		"asked and not answered": {func(d *deeds) {
			d.touched(touch(selector, "billing"))
			d.ask(k, []string{"billing"})
		}, "billing", from, 0, 1},
		"too much is kept": {func(d *deeds) { d.kept = maxDeeds + 1; d.begin(1) }, "billing", from, 0, 1},
		"touched while it is read": {func(d *deeds) {
			d.touched(touch(selector, "billing"))
			_, unread, asking := d.ask(k, []string{"billing"})
			d.touched(touch(selector, "billing"))
			d.learn(k, unread, rows, asking)
		}, "billing", from, 0, 1},
		"touched while it is read, and read again": {func(d *deeds) {
			d.touched(touch(selector, "billing"))
			_, unread, first := d.ask(k, []string{"billing"})
			d.touched(touch(selector, "billing"))
			d.ask(k, []string{"billing"})
			d.learn(k, unread, rows, first)
		}, "billing", from, 0, 1},
	} {
		d := answered()
		tc.do(d)
		rows, unread, _ := d.ask(deedsKey{tenant: tenant, selector: selector, from: tc.from.UnixMilli()}, []string{tc.key})
		if len(rows) != tc.rows || len(unread) != tc.unread {
			t.Errorf("%s: %d rows are known and %d keys are not, want %d and %d", name, len(rows), len(unread), tc.rows, tc.unread)
		}
	}
}

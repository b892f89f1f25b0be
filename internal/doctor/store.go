package doctor

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/schemas"
	schemasql "github.com/m2mwatch/m2mwatch/schemas/clickhouse"
)

const (
	triedStore = "26.7" // the release that everything was tried with
	mostListed = 5      // of tables and columns, in one line
)

// store looks at the server, the rights of the user, and the tables.
func (d *Doctor) store(ctx context.Context) Result {
	var r Result
	embedded := d.cfg.Settings.ClickHouse.URL == ""
	if embedded {
		if !d.library(&r) {
			return r
		}
	}
	if embedded && d.running {
		d.runningTables(ctx, &r)
		return r
	}
	if d.cfg.OpenStore == nil {
		r.skip("say --deep: that starts the embedded server", "its tables were not looked at: they are asked of an instance, and none runs")
		return r
	}
	db, done, err := d.cfg.OpenStore(ctx)
	if err != nil {
		r.fail("see that it runs and is reached from here, and that user and password in clickhouse.url are right", "%v", err)
		return r
	}
	defer done()
	d.storeServer(ctx, &r, db)
	d.storeTables(ctx, &r, db)
	return r
}

// library looks for the engine of the embedded server.
func (d *Doctor) library(r *Result) bool {
	path, err := clickhouse.FindLibrary(d.cfg.Settings.ClickHouse.Library)
	if err != nil {
		r.fail("run `make engine`, or name its path in clickhouse.library; with an outside server set CLICKHOUSE_URL", "%v", err)
		return false
	}
	r.ok("embedded, engine %s", path)
	return true
}

func (d *Doctor) storeServer(ctx context.Context, r *Result, db *clickhouse.DB) {
	s, err := clickhouse.InspectServer(ctx, db)
	if err != nil {
		r.fail("give the user the right to read system tables", "%v", err)
		return
	}
	if older(s.Version, triedStore) {
		r.warn("use "+triedStore+" or later", "ClickHouse %s is older than what m2mwatch was tried with (%s)", s.Version, triedStore)
	} else {
		r.ok("ClickHouse %s, database %s", s.Version, db.Database())
	}
	for _, right := range s.Denied {
		r.fail("GRANT "+right+" TO the user of clickhouse.url", "its user lacks %s", right)
	}
	d.apart(r, "ClickHouse", s.Now)
}

func (d *Doctor) storeTables(ctx context.Context, r *Result, db *clickhouse.DB) {
	s, err := clickhouse.InspectSchema(ctx, db, schemasql.Migrations, schemasql.Tables)
	if errors.Is(err, clickhouse.ErrMigrations) {
		r.fail("use the build that made it", "%v", err)
		return
	}
	if err != nil {
		r.fail("give the user the right to read the database and system tables", "%v", err)
		return
	}
	judgeTables(r, s)
}

// runningTables asks the instance, which alone reaches its embedded server.
func (d *Doctor) runningTables(ctx context.Context, r *Result) {
	s, err := d.client.Tables(ctx)
	if refusal, ok := errors.AsType[*apiclient.Error](err); ok && refusal.Status == http.StatusNotFound {
		r.skip("start it with this build", "its tables were not looked at: the instance that runs is of an earlier build")
		return
	}
	if err != nil {
		r.fail("see the check of instance", "its tables were not looked at: %v", err)
		return
	}
	judgeTables(r, s)
}

func judgeTables(r *Result, s schemas.TablesView) {
	if len(s.Pending) > 0 {
		r.warn("nothing: up and process apply them when they start; `m2mwatch migrate --dry-run` shows them", "%d migrations are not applied yet: %s", len(s.Pending), listed(s.Pending))
	}
	if len(s.Missing) > 0 {
		r.fail("something else than m2mwatch has changed the tables: put it back, or restore a backup", "missing: %s", listed(s.Missing))
	}
	if len(s.Differs) > 0 {
		r.warn("something else than m2mwatch has changed the tables, or the server words them otherwise: compare with `m2mwatch migrate --dry-run --all`", "tables differ from what migrations make: %s", listed(s.Differs))
	}
	if len(s.Unsynced) > 0 {
		r.fail("ALTER TABLE … MODIFY SETTING … = 1", "what is inserted is not synced to disk before it is acknowledged: %s", listed(s.Unsynced))
	}
	if len(s.Pending)+len(s.Missing)+len(s.Differs)+len(s.Unsynced) == 0 {
		r.ok("all migrations are applied, tables are as they make them and sync each insert")
	}
}

// listed shows the first of a list.
func listed(names []string) string {
	if len(names) > mostListed {
		names = append(names[:mostListed:mostListed], "…")
	}
	return strings.Join(names, ", ")
}

// older compares the first two numbers of two versions.
func older(version, than string) bool {
	a, b := release(version), release(than)
	return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
}

func release(version string) [2]int {
	var n [2]int
	for i, part := range strings.SplitN(version, ".", 3) {
		if i == len(n) {
			break
		}
		for _, digit := range part {
			if digit < '0' || digit > '9' {
				break
			}
			n[i] = 10*n[i] + int(digit-'0')
		}
	}
	return n
}

package processor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/internal/inventory"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// InventoryStore is what syncs of the inventory need of the store. Reads see every
// insert that has returned. Methods with an epoch, and SaveSync (Ver >> 32), are
// those of a holder.
type InventoryStore interface {
	Epochs

	// Clock is the store's time, by which it says when an event was stored.
	Clock(ctx context.Context) (time.Time, error)
	// OpenSyncs are the syncs that are not over, the oldest first.
	OpenSyncs(ctx context.Context) ([]schemas.InventorySync, error)
	// SyncList is up to limit of a tenant's syncs, the newest first.
	SyncList(ctx context.Context, tenant string, limit int) ([]schemas.InventorySync, error)
	SaveSync(ctx context.Context, sync schemas.InventorySync) error
	// WholeKinds are the kinds of which a snapshot of a tenant was whole.
	WholeKinds(ctx context.Context, tenant string) ([]schemas.InventoryKind, error)

	// KnownInventory is all that is known of a tenant, what is gone, too.
	KnownInventory(ctx context.Context, tenant string) ([]schemas.InventoryItem, error)
	// SaveInventory stores changes, and then the items that they have made.
	SaveInventory(ctx context.Context, epoch uint64, changes []schemas.InventoryChange, items []schemas.InventoryItem) error

	// InventoryHint tells of logged calls that have written something of the
	// inventory and were stored since a time of Clock; InventoryActs are those
	// calls, with their raw logs, or all that there ever were where it is zero.
	InventoryHint(ctx context.Context, tenant string, since time.Time) (schemas.InventoryHint, error)
	InventoryActs(ctx context.Context, tenant string, since time.Time) ([]schemas.Event, error)
	// MachineUsers are ids of users who have acted as machines since a day.
	MachineUsers(ctx context.Context, tenant string, since time.Time) ([]string, error)
}

// InventoryTenant is a tenant whose inventory can be read.
type InventoryTenant struct {
	Name string
	API  inventory.API
	// Every is how often it is read; 0 only when somebody asks for it.
	Every time.Duration
}

// InventoryConfig is what an Inventory needs. Store, Lease and Tenants must be set;
// every other field has a default.
type InventoryConfig struct {
	Store InventoryStore
	Lease Lease
	// Tenants are the tenants as they are configured now. It is asked at each look.
	Tenants func() []InventoryTenant

	// Logger hears of syncs that failed, and of outages. Default: nothing is logged.
	Logger *slog.Logger
	// Registerer receives the metrics. Default: none does.
	Registerer prometheus.Registerer
	// Interval is the wait between two looks for work. Default 2 s.
	Interval time.Duration
	// Quiet is for how long a tenant's logs may have told of no change before they
	// are followed by a sync, as changes come in rows; Patience for how long one
	// may have to wait. Default 10 s and 1 minute.
	Quiet, Patience time.Duration
	// Gap is the least time between a sync and one that logs have asked for: four
	// times as long as it took if that is more, so that no tenant's rate limit goes
	// into syncs. Default 1 minute.
	Gap time.Duration
	// Retry is when a sync of which nothing could be read is made again, at the
	// latest. Default 5 minutes.
	Retry time.Duration

	// At is called behind each step, for tests that crash there: began, read,
	// stored, ended.
	At func(point string)
}

// Validate returns every problem at once.
func (c *InventoryConfig) Validate() error {
	var errs []error
	for _, part := range []struct {
		name string
		set  bool
	}{{"store", c.Store != nil}, {"lease", c.Lease != nil}, {"tenants", c.Tenants != nil}} {
		if !part.set {
			errs = append(errs, fmt.Errorf("inventory: the %s: want one", part.name))
		}
	}
	return errors.Join(errs...)
}

func (c InventoryConfig) withDefaults() InventoryConfig {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.At == nil {
		c.At = func(string) {}
	}
	setDefault(&c.Interval, 2*time.Second)
	setDefault(&c.Quiet, 10*time.Second)
	setDefault(&c.Patience, time.Minute)
	setDefault(&c.Gap, time.Minute)
	setDefault(&c.Retry, 5*time.Minute)
	return c
}

// Inventory compares what tenants have with what is stored. Of many that run, the
// one that holds the lease works.
type Inventory struct {
	cfg     InventoryConfig
	metrics *inventoryMetrics
	store   *outage
}

// NewInventory makes an Inventory.
func NewInventory(cfg InventoryConfig) (*Inventory, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	i := &Inventory{cfg: cfg.withDefaults()}
	var err error
	if i.metrics, err = newInventoryMetrics(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("inventory: metrics: %w", err)
	}
	i.store = newOutage("what the inventory needs", i.cfg.Logger, i.metrics.up)
	return i, nil
}

// Run syncs whenever it holds the lease, until ctx ends.
func (i *Inventory) Run(ctx context.Context) error {
	l := leader{
		what: "reads inventories", lease: i.cfg.Lease, epochs: i.cfg.Store, step: i.step, interval: i.cfg.Interval,
		logger: i.cfg.Logger, store: i.store, errors: i.metrics.errors, leads: i.metrics.leads,
	}
	l.run(ctx)
	return nil
}

// step does what was asked for, and then what is due. A sync that a crash has left
// running is among the first and begins anew.
func (i *Inventory) step(ctx context.Context, v *versions) (more bool, err error) {
	tenants := i.cfg.Tenants()
	open, err := i.cfg.Store.OpenSyncs(ctx)
	if err != nil {
		return false, fmt.Errorf("look for syncs: %w", err)
	}
	for _, sync := range open {
		at := slices.IndexFunc(tenants, func(t InventoryTenant) bool { return t.Name == sync.Tenant })
		if at < 0 {
			err = i.refuse(ctx, v, sync)
		} else {
			err = i.sync(ctx, v, &tenants[at], sync)
		}
		if err != nil {
			return false, err
		}
	}
	for at := range tenants {
		reason, err := i.due(ctx, &tenants[at])
		if err != nil {
			return false, err
		}
		if reason == "" {
			continue
		}
		now, err := i.cfg.Store.Clock(ctx)
		if err != nil {
			return false, err
		}
		sync := schemas.InventorySync{ID: NewSyncID(), Tenant: tenants[at].Name, Reason: reason, CreatedAt: now}
		if err := i.sync(ctx, v, &tenants[at], sync); err != nil {
			return false, err
		}
	}
	return false, nil
}

// NewSyncID makes an id.
func NewSyncID() string { return strings.ToLower(rand.Text()[:16]) }

// refuse ends a sync of a tenant that cannot be asked.
func (i *Inventory) refuse(ctx context.Context, v *versions, sync schemas.InventorySync) error {
	now, err := i.cfg.Store.Clock(ctx)
	if err != nil {
		return err
	}
	sync.State, sync.BeganAt, sync.UpdatedAt, sync.Ver = schemas.InventoryFailed, now, now, v.next()
	sync.Error = "nobody is configured to ask this tenant's Management API: tenants[].domain and .management"
	return i.cfg.Store.SaveSync(ctx, sync)
}

// due is why a tenant's inventory is to be read now, "" where it is not.
func (i *Inventory) due(ctx context.Context, t *InventoryTenant) (schemas.InventoryReason, error) {
	if t.Every == 0 {
		return "", nil
	}
	syncs, err := i.cfg.Store.SyncList(ctx, t.Name, 1)
	if err != nil {
		return "", err
	}
	if len(syncs) == 0 {
		return schemas.InventoryByInterval, nil
	}
	now, err := i.cfg.Store.Clock(ctx)
	if err != nil {
		return "", err
	}
	last := &syncs[0]
	wait := t.Every
	if nothingRead(last) {
		wait = min(wait, i.cfg.Retry)
	}
	if now.Sub(last.BeganAt) >= wait {
		return schemas.InventoryByInterval, nil
	}
	if now.Sub(last.UpdatedAt) < max(i.cfg.Gap, 4*last.UpdatedAt.Sub(last.BeganAt)) {
		return "", nil
	}
	// What was stored before the last sync had happened before it, too.
	hint, err := i.cfg.Store.InventoryHint(ctx, t.Name, last.BeganAt)
	if err != nil || hint.Count == 0 {
		return "", err
	}
	if now.Sub(hint.Last) >= i.cfg.Quiet || now.Sub(hint.First) >= i.cfg.Patience {
		return schemas.InventoryByEvents, nil
	}
	return "", nil
}

func nothingRead(s *schemas.InventorySync) bool {
	return !slices.ContainsFunc(s.Kinds, func(k schemas.InventoryRead) bool { return k.Whole })
}

const (
	// machineUsersFor is how long a user who acted as a machine is asked for.
	machineUsersFor = 30 * 24 * time.Hour
	// actsOverlap is how much is read again of what the logs told: a row is seen
	// some time after it says that it was stored.
	actsOverlap = 10 * time.Minute
)

// sync reads a tenant kind by kind, and stores each that is whole as soon as it is
// compared. A crash leaves it running, and it begins anew: what is stored by then
// is no other then. Only the store's errors are returned: those of the tenant are
// the sync's own.
func (i *Inventory) sync(ctx context.Context, v *versions, t *InventoryTenant, sync schemas.InventorySync) error {
	began := time.Now()
	before, err := i.before(ctx, t.Name)
	if err != nil {
		return err
	}
	sync.State, sync.BeganAt, sync.Kinds, sync.Error = schemas.InventoryRunning, before.now, nil, ""
	if err := i.save(ctx, v, &sync); err != nil {
		return err
	}
	i.cfg.At("began")
	reader := &inventory.Reader{API: t.API, Tenant: t.Name, Known: before.items, Users: before.users}
	var failed []error
	for _, kind := range schemas.InventoryKinds() {
		read, err := i.readKind(ctx, v, reader, kind, before)
		if ctx.Err() != nil {
			return ctx.Err() // it was the lease that ended, not the tenant
		}
		if stored, ok := errors.AsType[*storeError](err); ok {
			return stored
		}
		if err != nil {
			failed = append(failed, err)
			read.Error = err.Error()
		}
		sync.Kinds = append(sync.Kinds, read)
		if err := i.save(ctx, v, &sync); err != nil {
			return err
		}
	}
	sync.State = schemas.InventoryDone
	if len(failed) > 0 {
		sync.State, sync.Error = schemas.InventoryFailed, errors.Join(failed...).Error()
		i.cfg.Logger.Warn("inventory not read whole", "tenant", t.Name, "error", sync.Error)
	}
	if err := i.save(ctx, v, &sync); err != nil {
		return err
	}
	i.metrics.syncs.WithLabelValues(string(sync.State)).Inc()
	i.metrics.seconds.Observe(time.Since(began).Seconds())
	i.cfg.At("ended")
	return nil
}

// save stores how far a sync is.
func (i *Inventory) save(ctx context.Context, v *versions, sync *schemas.InventorySync) error {
	now, err := i.cfg.Store.Clock(ctx)
	if err != nil {
		return err
	}
	sync.UpdatedAt, sync.Ver = now, v.next()
	return i.cfg.Store.SaveSync(ctx, *sync)
}

// inventoryBefore is what is known of a tenant before a snapshot.
type inventoryBefore struct {
	now   time.Time
	items []schemas.InventoryItem
	whole []schemas.InventoryKind
	acts  inventory.Acts
	users []string
}

func (i *Inventory) before(ctx context.Context, tenant string) (b inventoryBefore, err error) {
	s := i.cfg.Store
	if b.now, err = s.Clock(ctx); err != nil {
		return b, err
	}
	if b.items, err = s.KnownInventory(ctx, tenant); err != nil {
		return b, err
	}
	if b.whole, err = s.WholeKinds(ctx, tenant); err != nil {
		return b, err
	}
	since, err := i.toldUntil(ctx, tenant)
	if err != nil {
		return b, err
	}
	events, err := s.InventoryActs(ctx, tenant, since)
	if err != nil {
		return b, err
	}
	b.acts = inventory.ReadActs(events)
	b.users, err = s.MachineUsers(ctx, tenant, b.now.Add(-machineUsersFor))
	return b, err
}

// toldUntil is up to when the logs' acts are known by an earlier sync; zero where
// there is none.
func (i *Inventory) toldUntil(ctx context.Context, tenant string) (time.Time, error) {
	syncs, err := i.cfg.Store.SyncList(ctx, tenant, 100)
	if err != nil {
		return time.Time{}, err
	}
	for at := range syncs {
		if s := &syncs[at]; s.Over() && !nothingRead(s) {
			return s.BeganAt.Add(-actsOverlap), nil
		}
	}
	return time.Time{}, nil
}

// storeError is an error of the store, and not of the tenant.
type storeError struct{ error }

func (e *storeError) Unwrap() error { return e.error }

// readKind reads one kind and stores what is another than before.
func (i *Inventory) readKind(ctx context.Context, v *versions, reader *inventory.Reader, kind schemas.InventoryKind, before inventoryBefore) (schemas.InventoryRead, error) {
	read := schemas.InventoryRead{Kind: kind}
	ver := v.next()
	items, err := reader.Read(ctx, kind)
	if err != nil {
		return read, err
	}
	i.cfg.At("read")
	d := inventory.Compare(inventory.Comparison{
		Known: slices.DeleteFunc(slices.Clone(before.items), func(item schemas.InventoryItem) bool { return item.Kind != kind }),
		Read:  items, Acts: before.acts, At: before.now, First: !slices.Contains(before.whole, kind),
	})
	for n := range d.Items {
		d.Items[n].Ver = ver
	}
	for n := range d.Changes {
		d.Changes[n].Ver = ver
	}
	if err := i.cfg.Store.SaveInventory(ctx, v.epoch, d.Changes, d.Items); err != nil {
		return read, &storeError{err}
	}
	i.cfg.At("stored")
	read.Whole, read.Items = true, len(items)
	read.Added, read.Changed, read.Deleted = d.Count(schemas.InventoryAdded), d.Count(schemas.InventoryChanged), d.Count(schemas.InventoryDeleted)
	return read, nil
}

// inventoryMetrics are the metrics of the inventory.
type inventoryMetrics struct {
	syncs   *prometheus.CounterVec
	errors  prometheus.Counter
	seconds prometheus.Histogram
	leads   prometheus.Gauge
	up      prometheus.Gauge
}

func newInventoryMetrics(r prometheus.Registerer) (*inventoryMetrics, error) {
	const namespace, stage = "m2mwatch", "inventory"
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespace, Subsystem: stage, Name: name, Help: help}
	}
	m := &inventoryMetrics{
		syncs:  prometheus.NewCounterVec(prometheus.CounterOpts(opts("syncs_total", "Syncs that are over: done, or failed where not every kind could be read whole.")), []string{"state"}),
		errors: prometheus.NewCounter(prometheus.CounterOpts(opts("errors_total", "Syncs that the store or the broker broke off and that are made again."))),
		leads:  prometheus.NewGauge(prometheus.GaugeOpts(opts("leads", "1 while this process holds the lease."))),
		up:     prometheus.NewGauge(prometheus.GaugeOpts(opts("up", "0 while the store or the broker is away."))),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: stage, Name: "seconds", Help: "Time of a sync of one tenant, waits for its rate limit included.",
			Buckets: prometheus.ExponentialBuckets(0.1, 2, 14),
		}),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.syncs, m.errors, m.leads, m.up, m.seconds} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

package exact_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// difference is where the store tells something else than the oracle, by the
// seed of the history.
type difference struct {
	seed uint64 // 0 where it cannot be told
	text string
}

// counted are the dimensions that counts have; the others are of events.
var (
	counted    = []string{"tenant", "type", "client_id", "identity", "identity_kind", "outcome", "cause", "audience", "network", "organization_id"}
	ofEvents   = []string{"tenant", "user_id", "user_agent_class", "country", "asn", "source"}
	maxAnswers = 10_000
)

// compareCounts holds the counts of all tenants against the oracle.
func (w *world) compareCounts(when string) []difference {
	c := &comparison{world: w}
	for _, by := range [][]string{counted, ofEvents} {
		rows, err := w.reader.Stats(context.Background(), schemas.StatsFilter{By: by, Limit: maxAnswers})
		if len(rows) == maxAnswers {
			w.t.Fatal("there are too many counts to compare")
		}
		want := count(w.survivors(func(*history) bool { return true }), by, time.Time{}, time.Time{})
		c.equal(when+", counts by "+strings.Join(by, ", "), want, asMap(rows), err)
	}
	return c.found
}

func asMap(rows []schemas.StatsRow) map[string]uint64 {
	counts := map[string]uint64{}
	for _, row := range rows {
		counts[strings.Join(row.Values, " | ")] = row.Count
	}
	return counts
}

func (w *world) edge() time.Time { return schemas.RetentionEdge(w.now(), kept) }

// survivors are what has to be told of some histories, the newest first.
func (w *world) survivors(of func(*history) bool) []schemas.Event {
	var events []schemas.Event
	for _, h := range w.histories {
		if of(h) {
			events = append(events, h.survivors(w.edge())...)
		}
	}
	newestFirst(events)
	return w.ledger.withSelectors(events)
}

// compare holds all that the store tells against the oracle.
func (w *world) compare() []difference {
	found := w.compareCounts("at the end")
	dirty, err := w.reader.DirtyHours(context.Background(), "", time.Time{}, time.Time{})
	if err != nil || dirty != 0 {
		w.t.Errorf("%d hours are dirty at the end: %v", dirty, err)
	}
	var (
		mu      sync.Mutex
		running sync.WaitGroup
		next    = make(chan func() []difference)
	)
	for range 3 {
		running.Go(func() {
			for compare := range next {
				diffs := compare()
				mu.Lock()
				found = append(found, diffs...)
				mu.Unlock()
			}
		})
	}
	for n := range uint64(tenants) {
		next <- func() []difference { return w.compareTenant(tenantOf(n)) }
	}
	for _, h := range w.histories {
		next <- func() []difference { return w.compareHistory(h) }
	}
	close(next)
	running.Wait()
	return found
}

// comparison is of what has to be told at the end, of a tenant or a history.
type comparison struct {
	*world
	tenant string
	seed   uint64
	r      *rand.Rand
	events []schemas.Event // that have to be told, the newest first
	found  []difference
}

func (w *world) compareTenant(tenant string) []difference {
	of := func(h *history) bool { return h.tenant == tenant }
	c := &comparison{world: w, tenant: tenant, events: w.survivors(of), r: rand.New(rand.NewPCG(uint64(len(w.histories)), 0xc0))}
	for range 1 + len(w.histories)/20 {
		c.counts()
	}
	c.listing(schemas.EventFilter{Limit: 333}, func(*schemas.Event) bool { return true })
	c.findings()
	c.deadLogs()
	return c.found
}

func (w *world) compareHistory(h *history) []difference {
	of := func(other *history) bool { return other == h }
	c := &comparison{world: w, tenant: h.tenant, seed: h.seed, events: w.survivors(of), r: rand.New(rand.NewPCG(h.seed, 0xc0))}
	c.identities(h)
	switch c.r.IntN(3) {
	case 0:
		c.listing(schemas.EventFilter{UserID: userOf(h.seed, 1), Limit: 1000}, func(e *schemas.Event) bool { return e.UserID == userOf(h.seed, 1) })
	case 1:
		c.one()
	case 2:
		c.token()
	}
	return c.found
}

// named finds the seed in the name of what is of a history.
var named = regexp.MustCompile(`(?:\bc|auth0\||jti-)(\d+)-`)

// equal notes a difference. Where it is one of a tenant, the first name in it
// tells whose it is.
func (c *comparison) equal(what string, want, got any, err error, options ...gocmp.Option) {
	diff := ""
	if err != nil {
		diff = err.Error()
	} else {
		diff = gocmp.Diff(want, got, append(options, cmpopts.EquateEmpty())...)
	}
	if diff == "" {
		return
	}
	seed := c.seed
	if name := named.FindStringSubmatch(diff); seed == 0 && name != nil {
		seed, _ = strconv.ParseUint(name[1], 10, 64)
	}
	c.found = append(c.found, difference{seed, what + " (-sent +told):\n" + diff})
}

// counts compares a range that begins and ends anywhere, by one dimension.
func (c *comparison) counts() {
	if len(c.events) == 0 {
		return
	}
	bound := func() time.Time {
		t := c.events[c.r.IntN(len(c.events))].Time
		return pick(c.r, t, t.Truncate(time.Hour), t.Truncate(day), t.Add(time.Millisecond), time.Time{})
	}
	f := schemas.StatsFilter{Tenant: c.tenant, By: []string{pick(c.r, schemas.StatsDimensions...)}, From: bound(), To: bound()}
	rows, err := c.reader.Stats(context.Background(), f)
	c.equal(fmt.Sprintf("counts by %s from %s to %s", f.By, f.From, f.To), count(c.events, f.By, f.From, f.To), asMap(rows), err)
}

// identities compares what was seen, and the events, of some of the identities
// that any copy of any log named.
func (c *comparison) identities(h *history) {
	seen := map[string]bool{}
	for i := range h.sent {
		seen[h.sent[i].event.Identity.ID] = true
	}
	delete(seen, "")
	all := slices.Sorted(maps.Keys(seen))
	for range min(2, len(all)) {
		id := pick(c.r, all...)
		got, err := c.reader.Presence(context.Background(), c.tenant, id, time.Time{}, time.Time{})
		c.equal("presence of "+id, present(c.events, id), got, err)
		if chance(c.r, 2) {
			c.listing(schemas.EventFilter{Identity: id, Limit: 1000}, func(e *schemas.Event) bool { return e.Identity.ID == id })
		}
	}
}

// one compares an event with its raw log.
func (c *comparison) one() {
	if len(c.events) > 0 {
		want := pick(c.r, c.events...)
		got, err := c.reader.Event(context.Background(), c.tenant, want.LogID)
		c.equal("event "+want.LogID, line(want), line(got), err)
		c.equal("raw log of "+want.LogID, string(want.Raw), string(got.Raw), err)
	}
}

func (c *comparison) listing(f schemas.EventFilter, has func(*schemas.Event) bool) {
	f.Tenant = c.tenant
	var want, got []schemas.Event
	for i := range c.events {
		if has(&c.events[i]) {
			want = append(want, c.events[i])
		}
	}
	what := fmt.Sprintf("listing of %q %q", f.Identity, f.UserID)
	for {
		page, err := c.reader.Events(context.Background(), f)
		if err != nil {
			c.equal(what, nil, nil, err)
			return
		}
		got = append(got, page...)
		if len(page) < f.Limit || len(got) > len(want) {
			break
		}
		last := page[len(page)-1]
		f.After = &schemas.EventCursor{Time: last.Time, LogID: last.LogID, Tenant: last.Tenant}
	}
	c.equal(what, lines(want), lines(got), nil)
}

func (c *comparison) token() {
	jti := jtiOf(c.seed, c.r.IntN(jtis))
	issue, uses := tokenOf(c.events, jti)
	token, err := c.reader.Token(context.Background(), c.tenant, jti)
	if errors.Is(err, schemas.ErrNotFound) {
		err = nil
	}
	got := ""
	if token.Issue != nil {
		got = line(*token.Issue)
	}
	c.equal("issue of token "+jti, issue, got, err)
	c.equal("uses of token "+jti, uses, lines(token.Uses), err)
	c.equal("number of uses of token "+jti, uint64(len(uses)), token.UseCount, err)
}

// findings compares the findings and how they came about.
func (c *comparison) findings() {
	ctx := context.Background()
	unsettled := map[string]bool{}
	for _, h := range c.histories {
		maps.Copy(unsettled, h.unsettled())
	}
	want := c.ledger.of(c.tenant, c.edge())
	got, err := c.reader.Findings(ctx, schemas.FindingFilter{Tenant: c.tenant, Limit: 1000})
	slices.SortFunc(got, func(a, b schemas.Finding) int { return strings.Compare(a.ID, b.ID) })
	ignored := []gocmp.Option{
		cmpopts.IgnoreFields(schemas.Finding{}, "Ver"), cmpopts.IgnoreFields(schemas.Evidence{}, "Summary", "NormalPerDay", "NextCommand"),
	}
	isUnsettled := func(f schemas.Finding) bool { return unsettled[f.Key] }
	c.equal("findings", slices.DeleteFunc(slices.Clone(want), isUnsettled), slices.DeleteFunc(slices.Clone(got), isUnsettled), err, ignored...)
	isOther := func(f schemas.Finding) bool { return !unsettled[f.Key] || f.State != schemas.StateOpen }
	c.equal("open findings of unsettled keys", slices.DeleteFunc(slices.Clone(want), isOther), slices.DeleteFunc(slices.Clone(got), isOther), err,
		append(ignored, cmpopts.IgnoreFields(schemas.Finding{}, "Changes", "Source", "Paging", "PagingReason", "PagedAt"))...)
	for _, f := range got {
		if unsettled[f.Key] || f.Changes == 1 && !chance(c.r, 8) {
			continue // most have no history to speak of
		}
		changes, err := c.reader.FindingHistory(ctx, f)
		c.equal("history of finding "+f.ID, c.ledger.history[f.ID], changes, err, cmpopts.IgnoreFields(schemas.FindingChange{}, "Ver"))
	}
	ours := func(all map[string]string) map[string]string {
		all = maps.Clone(all)
		maps.DeleteFunc(all, func(name, key string) bool { return !strings.HasPrefix(name, c.tenant+" ") || unsettled[key] })
		return all
	}
	c.equal("alerts", ours(c.ledger.alerts), ours(c.alerts.all), nil)
}

// deadLogs compares what was refused.
func (c *comparison) deadLogs() {
	want, got := map[string]bool{}, maps.Clone(c.dead.raws)
	for _, h := range c.histories {
		if h.tenant == c.tenant {
			maps.Copy(want, h.dead())
		}
	}
	maps.DeleteFunc(got, func(name string, _ bool) bool { return !strings.HasPrefix(name, c.tenant+" ") })
	c.equal("dead logs", want, got, nil)
}

package clickhouse

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// counted tells which part of a range of times is to be read where, so that
// each event is counted once: whole days without a dirty hour from daily
// counts, the other whole hours that are not dirty from hourly ones, the rest
// from events.
type counted struct {
	tenant   string    // "" for all
	from, to time.Time // whole milliseconds
	dirty    []dirtyHour
	byHour   bool // days are not read from daily counts, which do not tell hours
}

// counted looks for what is dirty before anything else is read. An hour that
// becomes dirty later is read as it was counted, and one that is recounted
// meanwhile from events: both are right.
func (r *Reader) counted(ctx context.Context, tenant string, from, to time.Time) (*counted, error) {
	c := &counted{tenant: tenant, from: boundOr(from, minTime), to: boundOr(to, maxTime)}
	var err error
	c.dirty, err = r.dirtyHours(ctx, tenant, c.from, c.to)
	return c, err
}

// boundOr is a bound of a range in whole milliseconds, or the range's end.
func boundOr(t, end time.Time) time.Time {
	if t.IsZero() {
		return end
	}
	return time.UnixMilli(ceilMilli(t)).UTC()
}

// fromDays, fromHours and fromEvents are the conditions of the three parts, with
// the parameters of params. Each begins with what the sorting key can skip by,
// since a month of hours is much to look at row by row. They are on keys alone,
// so that they may be PREWHERE.
func (c *counted) fromDays() string {
	return "day >= " + firstDay + " AND day < " + lastDay + " AND NOT " + c.isDirty("day", dirtyDays)
}

func (c *counted) fromHours() string {
	if c.byHour {
		return "hour >= " + firstHour + " AND hour < " + lastHour + " AND NOT " + c.isDirty("hour", dirtyHours)
	}
	return "hour >= " + firstHour + " AND hour < " + lastHour +
		" AND toDate(hour) IN (SELECT arrayJoin(arrayMap(d -> toDate(toDateTime(d, 'UTC')), {hour_days:Array(Int64)})))" +
		" AND (toDate(hour) < " + firstDay + " OR toDate(hour) >= " + lastDay + " OR " + c.isDirty("toDate(hour)", dirtyDays) + ")" +
		" AND NOT " + c.isDirty("hour", dirtyHours)
}

func (c *counted) fromEvents() string {
	return "time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')" +
		" AND toYYYYMMDD(time) IN {event_days:Array(UInt64)}" +
		" AND toStartOfHour(time) IN (SELECT arrayJoin(arrayMap(h -> toDateTime(h, 'UTC'), {event_hours:Array(Int64)})))" +
		" AND (toStartOfHour(time) < " + firstHour + " OR toStartOfHour(time) >= " + lastHour + " OR " + c.isDirty("toStartOfHour(time)", dirtyHours) + ")"
}

const (
	firstDay  = "toDate(toDateTime({first_day:Int64}, 'UTC'))"
	lastDay   = "toDate(toDateTime({last_day:Int64}, 'UTC'))"
	firstHour = "toDateTime({first_hour:Int64}, 'UTC')"
	lastHour  = "toDateTime({last_hour:Int64}, 'UTC')"

	dirtyDays  = "arrayMap(d -> toDate(toDateTime(d, 'UTC')), {dirty_days:Array(Int64)})"
	dirtyHours = "arrayMap(h -> toDateTime(h, 'UTC'), {dirty_hours:Array(Int64)})"
)

// union selects columns of every part, and of each row how often (n), when first
// and when last. Columns are made of the part's column of time. Conditions of w
// are on what both counts and events have; its parameters are completed. daily
// is the table that has the counts of days.
func (c *counted) union(w *where, daily string, columns func(at string) []string) string {
	c.params(w.paramsOf())
	tenant := ""
	if c.tenant != "" {
		tenant = "tenant = {tenant:String} AND "
		w.param("tenant", c.tenant)
	}
	part := func(table, at, counts, keys string, conditions ...string) string {
		if conditions = append(conditions, w.conditions...); len(conditions) > 0 {
			keys += "\n    WHERE " + strings.Join(conditions, "\n      AND ")
		}
		return "    SELECT " + strings.Join(append(columns(at), counts), ", ") + "\n    FROM " + table + " FINAL\n    PREWHERE " + tenant + keys
	}
	var parts []string
	if !c.byHour {
		parts = append(parts, part(daily, "day", "count AS n, first, last", c.fromDays(), "count > 0"))
	}
	parts = append(parts, part("counts_hourly", "hour", "count AS n, first, last", c.fromHours(), "count > 0"))
	if c.readsEvents() {
		parts = append(parts, part("events", "time", "1 AS n, time AS first, time AS last", c.fromEvents()))
	}
	return strings.Join(parts, "\nUNION ALL\n")
}

// isDirty tells whether a day or an hour is among the dirty ones of its tenant.
// Of one tenant the time alone does, at a third of the cost of a pair.
func (c *counted) isDirty(unit, units string) string {
	if c.tenant != "" {
		return unit + " IN (SELECT arrayJoin(" + units + "))"
	}
	return "(tenant, " + unit + ") IN (SELECT arrayJoin(arrayZip({dirty_tenants:Array(String)}, " + units + ")))"
}

// readsEvents tells whether a part of the range has to be read from events.
func (c *counted) readsEvents() bool { return len(c.eventHours()) > 0 }

// hours is the range of whole hours, days that of whole days; where there is
// none the first is not before the last.
func (c *counted) hours() (first, last time.Time) {
	return ceilTime(c.from, time.Hour), c.to.Truncate(time.Hour)
}

func (c *counted) days() (first, last time.Time) {
	return ceilTime(c.from, 24*time.Hour), c.to.Truncate(24 * time.Hour)
}

// params are the parameters of the conditions.
func (c *counted) params(params map[string]any) {
	firstHour, lastHour := c.hours()
	firstDay, lastDay := c.days()
	tenants, hours, days := []string{}, []int64{}, []int64{}
	for _, h := range c.dirty {
		tenants, hours, days = append(tenants, h.tenant), append(hours, h.hour), append(days, startOfDay(h.hour))
	}
	params["dirty_tenants"], params["dirty_hours"], params["dirty_days"] = tenants, hours, days
	params["first_hour"], params["last_hour"] = firstHour.Unix(), lastHour.Unix()
	params["first_day"], params["last_day"] = firstDay.Unix(), lastDay.Unix()
	params["from"], params["to"] = c.from.UnixMilli(), c.to.UnixMilli()
	params["hour_days"], params["event_hours"] = c.hourDays(), c.eventHours()
	params["event_days"] = daysOf(c.eventHours())
}

const daySeconds = 24 * 60 * 60

// eventHours are the hours, in Unix seconds, that events is read of: dirty ones,
// and those that the range begins or ends within.
func (c *counted) eventHours() []int64 {
	hours := []int64{}
	if !c.from.Before(c.to) {
		return hours
	}
	for _, edge := range []time.Time{c.from, c.to} {
		if hour := edge.Truncate(time.Hour); !edge.Equal(hour) {
			hours = append(hours, hour.Unix())
		}
	}
	for _, h := range c.dirty {
		hours = append(hours, h.hour)
	}
	return distinct(hours)
}

// hourDays are the days, in Unix seconds, that hourly counts are read of: those
// with dirty hours, and those that the range begins or ends within.
func (c *counted) hourDays() []int64 {
	days := []int64{}
	firstHour, lastHour := c.hours()
	firstDay, lastDay := c.days()
	if firstHour.Before(firstDay) {
		days = append(days, startOfDay(firstHour.Unix()))
	}
	if lastDay.Before(lastHour) {
		days = append(days, lastDay.Unix())
	}
	for _, h := range c.dirty {
		days = append(days, startOfDay(h.hour))
	}
	return distinct(days)
}

// daysOf are the days of hours in Unix seconds, as the partitions of events
// have them: YYYYMMDD.
func daysOf(hours []int64) []uint64 {
	days := []uint64{}
	for _, h := range hours {
		y, m, d := time.Unix(h, 0).UTC().Date()
		days = append(days, uint64(y*10_000+int(m)*100+d))
	}
	return distinct(days)
}

func distinct[T cmp.Ordered](all []T) []T {
	slices.Sort(all)
	return slices.Compact(all)
}

// startOfDay is that of a time in Unix seconds, of before 1970 too.
func startOfDay(at int64) int64 { return at - (at%daySeconds+daySeconds)%daySeconds }

// DirtyHours is how many hours of the range are to be recounted, and until then
// counted from events whenever somebody asks.
func (r *Reader) DirtyHours(ctx context.Context, tenant string, from, to time.Time) (int, error) {
	c, err := r.counted(ctx, tenant, from, to)
	if err != nil {
		return 0, err
	}
	return len(c.dirty), nil
}

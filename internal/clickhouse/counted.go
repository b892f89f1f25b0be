package clickhouse

import (
	"context"
	"slices"
	"time"
)

// counted tells which part of a range of times is to be read where, so that
// each event is counted once: whole days without a dirty hour from daily
// counts, the other whole hours that are not dirty from hourly ones, the rest
// from events.
type counted struct {
	from, to time.Time // whole milliseconds
	dirty    []dirtyHour
}

// counted looks for what is dirty before anything else is read. An hour that
// becomes dirty later is read as it was counted, and one that is recounted
// meanwhile from events: both are right.
func (r *Reader) counted(ctx context.Context, tenant string, from, to time.Time) (*counted, error) {
	c := &counted{from: boundOr(from, minTime), to: boundOr(to, maxTime)}
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

// The conditions of the three parts. Their parameters are those of params.
const (
	wholeDay = "day >= toDate(toDateTime({first_day:Int64}, 'UTC')) AND day < toDate(toDateTime({last_day:Int64}, 'UTC'))"
	cleanDay = "(tenant, toInt64(toUnixTimestamp(toDateTime(day, 'UTC')))) NOT IN (SELECT arrayJoin(arrayZip({dirty_tenants:Array(String)}, {dirty_days:Array(Int64)})))"
	fromDays = wholeDay + " AND " + cleanDay

	dayOfHour = "toDate(hour) >= toDate(toDateTime({first_day:Int64}, 'UTC')) AND toDate(hour) < toDate(toDateTime({last_day:Int64}, 'UTC'))" +
		" AND (tenant, toInt64(toUnixTimestamp(toStartOfDay(hour)))) NOT IN (SELECT arrayJoin(arrayZip({dirty_tenants:Array(String)}, {dirty_days:Array(Int64)})))"
	fromHours = "hour >= toDateTime({first_hour:Int64}, 'UTC') AND hour < toDateTime({last_hour:Int64}, 'UTC')" +
		" AND (tenant, toInt64(toUnixTimestamp(hour))) NOT IN (SELECT arrayJoin(arrayZip({dirty_tenants:Array(String)}, {dirty_hours:Array(Int64)})))" +
		" AND NOT (" + dayOfHour + ")"

	fromEvents = "time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')" +
		" AND toYYYYMMDD(time) IN {event_days:Array(UInt64)}" +
		" AND NOT (toInt64(toUnixTimestamp(toStartOfHour(time))) >= {first_hour:Int64} AND toInt64(toUnixTimestamp(toStartOfHour(time))) < {last_hour:Int64}" +
		" AND (tenant, toInt64(toUnixTimestamp(toStartOfHour(time)))) NOT IN (SELECT arrayJoin(arrayZip({dirty_tenants:Array(String)}, {dirty_hours:Array(Int64)}))))"
)

// readsEvents tells whether a part of the range has to be read from events.
func (c *counted) readsEvents() bool { return len(c.eventDays()) > 0 }

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
		tenants, hours, days = append(tenants, h.tenant), append(hours, h.hour), append(days, h.hour-h.hour%daySeconds)
	}
	params["dirty_tenants"], params["dirty_hours"], params["dirty_days"] = tenants, hours, days
	params["first_hour"], params["last_hour"] = firstHour.Unix(), lastHour.Unix()
	params["first_day"], params["last_day"] = firstDay.Unix(), lastDay.Unix()
	params["from"], params["to"] = c.from.UnixMilli(), c.to.UnixMilli()
	params["event_days"] = c.eventDays()
}

const daySeconds = 24 * 60 * 60

// eventDays are the days, as YYYYMMDD, that events is read of: those of dirty
// hours, and those that the range begins or ends within an hour of.
func (c *counted) eventDays() []uint64 {
	days := []uint64{}
	if !c.from.Before(c.to) {
		return days
	}
	add := func(t time.Time) {
		y, m, d := t.UTC().Date()
		days = append(days, uint64(y*10_000+int(m)*100+d))
	}
	if !c.from.Equal(c.from.Truncate(time.Hour)) {
		add(c.from)
	}
	if !c.to.Equal(c.to.Truncate(time.Hour)) {
		add(c.to)
	}
	for _, h := range c.dirty {
		add(time.Unix(h.hour, 0))
	}
	slices.Sort(days)
	return slices.Compact(days)
}

// DirtyHours is how many hours of the range are to be recounted, and until then
// counted from events whenever somebody asks.
func (r *Reader) DirtyHours(ctx context.Context, tenant string, from, to time.Time) (int, error) {
	c, err := r.counted(ctx, tenant, from, to)
	if err != nil {
		return 0, err
	}
	return len(c.dirty), nil
}

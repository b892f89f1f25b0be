package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// InsertDelivery records one attempt to deliver an alert. Recording the same
// attempt twice makes two rows.
func (s *FindingStore) InsertDelivery(ctx context.Context, d schemas.Delivery) error {
	if err := checkTime("time", d.Time); err != nil {
		return fmt.Errorf("insert a delivery: %w", err)
	}
	type delivery = schemas.Delivery
	columns := []column[delivery]{
		{"time", func(d *delivery) any { return d.Time.UnixMilli() }},
		{"tenant", func(d *delivery) any { return d.Tenant }},
		{"alert_id", func(d *delivery) any { return d.AlertID }},
		{"channel", func(d *delivery) any { return d.Channel }},
		{"attempt", func(d *delivery) any { return d.Attempt }},
		{"ok", func(d *delivery) any { return flag(d.OK) }},
		{"error", func(d *delivery) any { return d.Error }},
		{"kind", func(d *delivery) any { return string(d.Kind) }},
		{"rule_id", func(d *delivery) any { return d.RuleID }},
		{"level", func(d *delivery) any { return string(d.Level) }},
		{"summary", func(d *delivery) any { return d.Summary }},
	}
	return insert(ctx, s.db, "deliveries", columns, func(d *delivery) int64 { return monthOf(d.Time) }, []delivery{d})
}

// deliveriesShown is how far back a channel's deliveries are told.
const deliveriesShown = 30 * 24 * time.Hour

// addChannels adds what became of the alerts for each channel. The table has a
// row an attempt, and few are made: one that is away is asked every five minutes.
func (r *Reader) addChannels(ctx context.Context, status *schemas.StoreStatus) error {
	w := where{}
	w.and("channel != {none:String}", "none", "")
	w.and("time >= "+milliseconds("from"), "from", time.Now().Add(-deliveriesShown).UnixMilli())
	w.since("time", r.edge("deliveries"))
	var err error
	status.Channels, err = collect(ctx, r.conn, "read the deliveries of channels", w.query(selectChannels, "GROUP BY channel\nORDER BY channel"), scanChannel)
	return err
}

// selectChannels takes a repeat of an attempt, which a crash makes, for one. The
// times of nothing are those of the epoch.
const selectChannels = `SELECT
    channel, maxIf(time, ok = 1) AS last_ok, maxIf(time, summary = ''),
    argMaxIf(ok, (time, attempt), summary = ''), argMaxIf(error, (time, attempt), summary = ''),
    arrayMin(arrayFilter(t -> t > last_ok, groupArrayIf(time, ok = 0 AND summary = ''))),
    uniqExactIf(alert_id, ok = 1), uniqExactIf(alert_id, startsWith(error, '` + schemas.DeliveryRefused + `')), uniqExactIf(alert_id, summary != '')
FROM deliveries
`

func scanChannel(scan scanner) (c schemas.ChannelDeliveries, err error) {
	var ok uint8
	err = scan(&c.Name, &c.LastOK, &c.Last, &ok, &c.Error, &c.FailingSince, &c.Delivered, &c.Refused, &c.Summarised)
	c.OK = ok == 1
	for _, t := range []*time.Time{&c.LastOK, &c.Last, &c.FailingSince} {
		if t.UnixMilli() == 0 {
			*t = time.Time{}
		}
		*t = t.UTC()
	}
	return c, err
}

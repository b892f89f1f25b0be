package clickhouse

import (
	"context"
	"fmt"

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
	}
	return insert(ctx, s.db, "deliveries", columns, func(d *delivery) int64 { return monthOf(d.Time) }, []delivery{d})
}

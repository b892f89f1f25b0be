package clickhouse_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestDeliveriesAreToldByChannel(t *testing.T) {
	home := clickhousetest.New(t)
	db, _ := connectThrough(t, home, clickhouse.RoleAPI) // it has fewer rights
	s := clickhouse.NewFindingStore(home)
	now := time.Now().UTC().Truncate(time.Millisecond)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, d := range []schemas.Delivery{
		{Channel: "chat", AlertID: "a/open/1", Attempt: 1, Time: ago(4 * time.Minute), Error: "post: status 503"},
		{Channel: "chat", AlertID: "a/open/1", Attempt: 2, Time: ago(3 * time.Minute), OK: true},
		{Channel: "chat", AlertID: "a/open/1", Attempt: 3, Time: ago(2 * time.Minute), OK: true}, // a crash repeated it
		{Channel: "pager", AlertID: "a/open/1", Attempt: 1, Time: ago(9 * time.Minute), OK: true},
		{Channel: "pager", AlertID: "b/open/1", Attempt: 1, Time: ago(3 * time.Minute), Error: "post: status 500"},
		{Channel: "pager", AlertID: "b/open/1", Attempt: 2, Time: ago(2 * time.Minute), Error: "post: status 502"},
		{Channel: "siem", AlertID: "a/open/1", Attempt: 1, Time: ago(time.Minute), Error: "refused: status 400"},
		{Channel: "", AlertID: "c/open/1", Attempt: 1, Time: ago(time.Minute), Error: "no channel is configured"},
		{Channel: "past", AlertID: "c/open/1", Attempt: 1, Time: ago(31 * 24 * time.Hour), OK: true},
	} {
		d.Tenant = "acme"
		if err := s.InsertDelivery(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	got := status(t, db)
	want := []schemas.ChannelDeliveries{
		{Name: "chat", Delivered: 1, LastOK: ago(2 * time.Minute), Last: ago(2 * time.Minute), LastOutcome: schemas.LastOutcome{OK: true}},
		{Name: "pager", Delivered: 1, LastOK: ago(9 * time.Minute), Last: ago(2 * time.Minute), FailingSince: ago(3 * time.Minute), LastOutcome: schemas.LastOutcome{Error: "post: status 502"}},
		{Name: "siem", Refused: 1, Last: ago(time.Minute), FailingSince: ago(time.Minute), LastOutcome: schemas.LastOutcome{Error: "refused: status 400"}},
	}
	if diff := cmp.Diff(want, got.Channels); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

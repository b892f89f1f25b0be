package query_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestStatusTellsHowChannelsDo(t *testing.T) {
	at := now.UTC()
	failed := func(text string) schemas.LastOutcome { return schemas.LastOutcome{Error: text} }
	delivered := []schemas.ChannelDeliveries{
		{Name: "chat", Delivered: 3, LastOK: at, Last: at, LastOutcome: schemas.LastOutcome{OK: true}},
		{Name: "pager", Delivered: 1, LastOK: at.Add(-time.Hour), Last: at, FailingSince: at.Add(-time.Minute), LastOutcome: failed("post: status 503")},
		{Name: "siem", Refused: 1, Last: at, FailingSince: at, LastOutcome: failed("refused: status 400")},
		{Name: "old", Delivered: 9, LastOK: at, Last: at, LastOutcome: schemas.LastOutcome{OK: true}},
	}
	n := func(n uint64) *uint64 { return &n }
	earlier, minute := at.Add(-time.Hour), at.Add(-time.Minute)
	waits := backlog(func(context.Context) (schemas.Backlog, error) {
		return schemas.Backlog{Alerts: 7, Waiting: map[string]uint64{"pager": 5, "gone": 2}}, nil
	})
	types := map[string]string{"chat": "slack", "pager": "pagerduty", "siem": "ocsf", "new": "webhook"}
	got := decode[schemas.StatusView](t, ok(t, api(t, &store{status: schemas.StoreStatus{Channels: delivered}}, query.Config{Channels: types, Backlog: waits}), "/v1/status"))
	want := []schemas.ChannelView{
		{Name: "chat", Type: "slack", Health: "ok", Waiting: n(0), Delivered: 3, LastDelivery: &at, LastAttempt: &at},
		{Name: "gone", Health: "untried", Waiting: n(2)},
		{Name: "new", Type: "webhook", Health: "untried", Waiting: n(0)},
		{Name: "pager", Type: "pagerduty", Health: "failing", Waiting: n(5), Delivered: 1, LastDelivery: &earlier, LastAttempt: &at, FailingSince: &minute, Error: "post: status 503"},
		{Name: "siem", Type: "ocsf", Health: "refusing", Waiting: n(0), Refused: 1, LastAttempt: &at, FailingSince: &at, Error: "status 400"},
	}
	if diff := cmp.Diff(want, got.Channels); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// A process that has no channels in its configuration tells of all that it sees.
	alone := decode[schemas.StatusView](t, ok(t, api(t, &store{status: schemas.StoreStatus{Channels: delivered}}, query.Config{}), "/v1/status"))
	if len(alone.Channels) != 4 || alone.Channels[0].Waiting != nil {
		t.Errorf("%+v, want the four that something was delivered to", alone.Channels)
	}
}

package clickhouse_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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
		{Channel: "siem", AlertID: "b/open/1", Attempt: 1, Time: ago(time.Second), Error: "left to a summary", Summary: "summary/siem/1"}, // no attempt
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
		{Name: "siem", Refused: 1, Summarised: 1, Last: ago(time.Minute), FailingSince: ago(time.Minute), LastOutcome: schemas.LastOutcome{Error: "refused: status 400"}},
	}
	if diff := cmp.Diff(want, got.Channels); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSummariesAreThoseOfWindowsThatAreOver(t *testing.T) {
	db := clickhousetest.New(t)
	s := clickhouse.NewFindingStore(db)
	start := noon().Add(-24 * time.Hour)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	first, second := schemas.SummaryID("chat", start), schemas.SummaryID("chat", at(10*time.Minute))
	left := func(alert, rule string, level schemas.Level, kind schemas.AlertKind, when time.Time) schemas.Delivery {
		return schemas.Delivery{Channel: "chat", AlertID: alert, Kind: kind, RuleID: rule, Level: level, Time: when, Summary: schemas.SummaryID("chat", when)}
	}
	page := schemas.AlertPage
	for _, d := range []schemas.Delivery{
		{Channel: "chat", AlertID: "a/open/1", Kind: page, Level: schemas.LevelHigh, Time: at(0), OK: true},
		{Channel: "chat", AlertID: "a/open/1", Kind: page, Time: at(time.Second), OK: true}, // a crash repeated it
		{Channel: "chat", AlertID: "old/open/1", Time: at(time.Second), OK: true},           // of a former build
		{Channel: "chat", AlertID: "f/open/1", Kind: page, Time: at(time.Second), Error: "post: status 503"},
		{Channel: "chat", AlertID: "a/withdrawn/2", Kind: schemas.AlertEnd, Time: at(time.Second), OK: true},
		{Channel: "pager", AlertID: "b/open/1", Kind: page, Time: at(time.Second), OK: true},
		left("b/open/1", "MI-02", schemas.LevelHigh, page, at(time.Minute)),
		left("b/open/1", "MI-02", schemas.LevelHigh, page, at(2*time.Minute)), // a crash repeated it
		left("c/open/1", "MI-02", schemas.LevelLow, page, at(2*time.Minute)),
		left("d/open/1", "MI-01", schemas.LevelCritical, page, at(3*time.Minute)),
		left("b/withdrawn/2", "MI-02", schemas.LevelHigh, schemas.AlertEnd, at(4*time.Minute)),
		left("e/open/1", "MI-01", schemas.LevelHigh, page, at(11*time.Minute)),
	} {
		d.Tenant, d.Attempt = "acme", 1
		if err := s.InsertDelivery(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	one := schemas.Summary{
		ID: first, From: start, To: at(10 * time.Minute), Findings: 3, Ended: 1,
		Rules:  []schemas.Tally{{Value: "MI-02", Count: 2}, {Value: "MI-01", Count: 1}},
		Levels: []schemas.Tally{{Value: "critical", Count: 1}, {Value: "high", Count: 1}, {Value: "low", Count: 1}},
	}
	two := schemas.Summary{
		ID: second, From: at(10 * time.Minute), To: at(20 * time.Minute), Findings: 1,
		Rules: []schemas.Tally{{Value: "MI-01", Count: 1}}, Levels: []schemas.Tally{{Value: "high", Count: 1}},
	}
	due := func(when time.Time, want ...schemas.Summary) {
		t.Helper()
		got, err := s.Summaries(t.Context(), "chat", when)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("at %s: %v (-want +got):\n%s", when, err, diff)
		}
	}
	due(at(9*time.Minute + 59*time.Second))
	due(at(10*time.Minute), one)
	due(at(20*time.Minute), one, two)
	if n, err := s.Pages(t.Context(), "chat", "", at(-time.Minute)); n != 2 || err != nil {
		t.Errorf("%d pages, %v; want 2", n, err)
	}
	if n, err := s.Pages(t.Context(), "chat", "a/open/1", at(-time.Minute)); n != 1 || err != nil {
		t.Errorf("%d other pages, %v; want 1", n, err)
	}
	if n, err := s.Pages(t.Context(), "chat", "", at(time.Second)); n != 0 || err != nil {
		t.Errorf("%d pages since the last, %v; want none", n, err)
	}
	for finding, want := range map[string]schemas.Told{
		"a": {Paged: true, Levels: []schemas.Level{schemas.LevelHigh}, Ended: 2}, "b": {Summarised: true, Ended: 2}, "f": {}, "none": {},
	} {
		got, err := s.Told(t.Context(), "chat", "acme", finding)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("told of %s: %v (-want +got):\n%s", finding, err, diff)
		}
	}
	for _, outcome := range []schemas.Delivery{{Error: "post: status 503"}, {Error: schemas.DeliveryRefused + "status 400"}} {
		over := outcome.Error != "post: status 503"
		outcome.Channel, outcome.AlertID, outcome.Kind, outcome.Time = "chat", first, schemas.AlertSummary, at(11*time.Minute)
		if err := s.InsertDelivery(t.Context(), outcome); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Delivered(t.Context(), "chat", "", first); got != over || err != nil {
			t.Errorf("delivered %v, %v; want %v", got, err, over)
		}
	}
	due(at(20*time.Minute), two)
}

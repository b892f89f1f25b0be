package notify_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/processor/notify"
	"github.com/m2mwatch/m2mwatch/schemas"
)

type postable struct {
	Labels, Annotations map[string]string
	StartsAt, EndsAt    time.Time
	GeneratorURL        string
}

// alertmanager refuses what Alertmanager does: an alert without labels or with
// an empty one's name, or that ends before it starts.
func alertmanager(t *testing.T) *api[[]postable] {
	t.Helper()
	return newAPI(t, "/prefix/api/v2/alerts", http.StatusOK, func(r *http.Request, alerts []postable) error {
		if r.Header.Get("Authorization") != "Bearer token-of-test" {
			return errors.New("who is that?")
		}
		if len(alerts) == 0 {
			return errors.New("no alerts")
		}
		for _, a := range alerts {
			if len(a.Labels) == 0 || a.Labels["alertname"] == "" {
				return errors.New("at least one label pair required")
			}
			if a.StartsAt.IsZero() || a.EndsAt.Before(a.StartsAt) {
				return fmt.Errorf("start time must be before end time: %s, %s", a.StartsAt, a.EndsAt)
			}
			for name, value := range a.Labels {
				if name == "" || value == "" {
					return fmt.Errorf("label %q is %q", name, value)
				}
			}
		}
		return nil
	})
}

func TestAlertmanagerResolvesByTheSameLabels(t *testing.T) {
	server, at := alertmanager(t), time.Date(2026, 4, 14, 13, 0, 0, 0, time.UTC)
	m, err := notify.NewAlertmanager(notify.AlertmanagerConfig{
		Name: "am", URL: server.URL + "/prefix/", Token: "token-of-test", HTTP: notify.HTTP{Now: func() time.Time { return at }},
	})
	if err != nil {
		t.Fatal(err)
	}
	never := schemas.Alert{ID: "x/open/1", Finding: schemas.Finding{ID: "x", RuleID: "MI-02", Tenant: "acme", State: schemas.StateOpen}}
	for _, a := range []schemas.Alert{full(), withdrawn(full()), never} {
		if err := m.Deliver(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	got := server.all()
	open, closed := got[0][0], got[1][0]
	if diff := cmp.Diff(open.Labels, closed.Labels); diff != "" {
		t.Errorf("labels of open and withdrawn differ:\n%s", diff)
	}
	want := map[string]string{"alertname": "MI-02", "tenant": "acme", "identity": "app:billing", "severity": "high", "finding": "finding1", "service": "m2mwatch"}
	if diff := cmp.Diff(want, open.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if !open.StartsAt.Equal(full().Finding.First) || !open.EndsAt.After(at.Add(time.Hour)) || open.GeneratorURL != full().URL || open.Annotations["summary"] == "" {
		t.Errorf("open: %+v", open)
	}
	if !closed.EndsAt.Equal(at) {
		t.Errorf("withdrawn ends at %s, want now", closed.EndsAt)
	}
}

// Severity is a label, so that what was told at another level is an alert of its own.
func TestAlertmanagerEndsWhatWasToldAtAnotherLevel(t *testing.T) {
	server, at := alertmanager(t), time.Date(2026, 4, 14, 13, 0, 0, 0, time.UTC)
	m, err := notify.NewAlertmanager(notify.AlertmanagerConfig{
		Name: "am", URL: server.URL + "/prefix/", Token: "token-of-test", HTTP: notify.HTTP{Now: func() time.Time { return at }},
	})
	if err != nil {
		t.Fatal(err)
	}
	opened, rises, ended := full(), full(), withdrawn(full())
	opened.Finding.Level, rises.Finding.Level, ended.Finding.Level = schemas.LevelMedium, schemas.LevelCritical, schemas.LevelHigh
	rises.Told.Levels = []schemas.Level{schemas.LevelMedium}
	ended.Told.Levels = []schemas.Level{schemas.LevelCritical, schemas.LevelMedium}
	deliver(t, m, opened, rises, ended)
	var got []map[string]bool // whether it fires, by severity
	for _, posted := range server.all() {
		fires := map[string]bool{}
		for _, p := range posted {
			fires[p.Labels["severity"]] = p.EndsAt.After(at)
		}
		got = append(got, fires)
	}
	want := []map[string]bool{{"medium": true}, {"critical": true, "medium": false}, {"critical": false, "medium": false}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fires (-want +got):\n%s", diff)
	}
}

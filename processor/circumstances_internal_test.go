package processor

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// surroundings are what a test says they are.
type surroundings struct {
	live      time.Time
	warm      map[string]bool
	rotations map[string]schemas.Rotation
	known     map[string]bool // by the finding's id
}

func (s *surroundings) FirstLive(context.Context, string) (time.Time, error) { return s.live, nil }

func (s *surroundings) Warm(context.Context, string, []string, time.Time) (map[string]bool, error) {
	return s.warm, nil
}

func (s *surroundings) Rotations(_ context.Context, _ []string, since, until time.Time) (map[string]schemas.Rotation, error) {
	found := map[string]schemas.Rotation{}
	for id, r := range s.rotations {
		if !r.At.Before(since) && r.At.Before(until) {
			found[id] = r
		}
	}
	return found, nil
}

func (s *surroundings) SourceKnown(_ context.Context, f schemas.Finding) (*bool, error) {
	known, ok := s.known[f.ID]
	if !ok {
		return nil, nil
	}
	return &known, nil
}

func shipped(t *testing.T, code string) *detect.Correlation {
	t.Helper()
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: Rules()}}})
	if err != nil {
		t.Fatal(err)
	}
	all := set.Correlations()
	i := slices.IndexFunc(all, func(c detect.Correlation) bool { return c.Code == code })
	if i < 0 {
		t.Fatalf("there is no rule %s", code)
	}
	return &all[i]
}

// paged are the verdicts on new findings of a rule.
func paged(t *testing.T, rule *detect.Correlation, s *surroundings, now time.Time, findings ...schemas.Finding) map[string]schemas.Paging {
	t.Helper()
	c := &Correlator{cfg: CorrelatorConfig{Surroundings: s, Rules: &detect.Set{}}, live: &sync.Map{}}
	var changes []change
	for _, f := range findings {
		f.Tenant, f.State, f.Level, f.Source = "acme", schemas.StateOpen, schemas.LevelHigh, schemas.SourceStream
		changes = append(changes, opened(f))
	}
	around, err := c.circumstances(t.Context(), rule, changes, now)
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]schemas.Paging{}
	for i := range changes {
		verdicts[changes[i].finding.ID] = judge(&occasion{around: around, finding: &changes[i].finding}).paging
	}
	return verdicts
}

func TestWhatIsUsualIsLearnedBeforeItPages(t *testing.T) {
	live := time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)
	s := &surroundings{live: live, warm: map[string]bool{"app:warm": true}}
	at := func(id, identity string, first time.Time) schemas.Finding {
		return schemas.Finding{ID: id, Key: id, Identity: identity, First: first, Last: first}
	}
	findings := []schemas.Finding{
		at("cold", "app:cold", live.Add(time.Hour)), at("warm", "app:warm", live.Add(time.Hour)),
		at("last hour", "app:cold", live.Add(14*24*time.Hour-time.Hour)), at("later", "app:cold", live.Add(14*24*time.Hour)),
	}
	want := map[string]schemas.Paging{"cold": schemas.PagingLearning, "warm": schemas.PagingPage, "last hour": schemas.PagingLearning, "later": schemas.PagingPage}
	if diff := cmp.Diff(want, paged(t, shipped(t, "MI-19"), s, live.Add(20*24*time.Hour), findings...)); diff != "" {
		t.Errorf("a rule that learns (-want +got):\n%s", diff)
	}
	for id := range want {
		want[id] = schemas.PagingPage
	}
	if diff := cmp.Diff(want, paged(t, shipped(t, "MI-02"), s, live.Add(20*24*time.Hour), findings...)); diff != "" {
		t.Errorf("a rule that pages from the first hour (-want +got):\n%s", diff)
	}
	s.live = time.Time{}
	if got := paged(t, shipped(t, "MI-19"), s, live, findings[0]); got["cold"] != schemas.PagingLearning {
		t.Errorf("without any live event: %v, want learning", got)
	}
}

func TestRulesThatNeedNoLearningPageFromTheFirstHour(t *testing.T) {
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: Rules()}}})
	if err != nil {
		t.Fatal(err)
	}
	all := set.Correlations()
	for i := range all {
		if slices.Contains([]string{"MI-01", "MI-02", "MI-04", "MI-06", "MI-27", "MI-28", "MI-30"}, all[i].Code) && all[i].Learns() {
			t.Errorf("%s learns", all[i].Code)
		}
	}
}

func TestFailuresThatARotationMustCauseAreHeldForAnHour(t *testing.T) {
	now := time.Date(2026, 4, 14, 12, 0, 0, 0, time.UTC)
	rotated := schemas.Rotation{At: now.Add(-20 * time.Minute), Command: "apps rotate", Operator: "jane@ops-1"}
	s := &surroundings{
		rotations: map[string]schemas.Rotation{"app:a": rotated},
		known:     map[string]bool{"known": true, "new": false, "before": true, "other": true},
	}
	findings := []schemas.Finding{
		{ID: "known", Key: "1", Identity: "app:a", First: now.Add(-10 * time.Minute)},
		{ID: "new", Key: "2", Identity: "app:a", First: now.Add(-10 * time.Minute)},
		{ID: "untold", Key: "3", Identity: "app:a", First: now.Add(-10 * time.Minute)},
		{ID: "before", Key: "4", Identity: "app:a", First: now.Add(-30 * time.Minute)},
		{ID: "other", Key: "5", Identity: "app:b", First: now.Add(-10 * time.Minute)},
	}
	want := map[string]schemas.Paging{
		"known": schemas.PagingHeld, "new": schemas.PagingPage, "untold": schemas.PagingPage, "before": schemas.PagingPage, "other": schemas.PagingPage,
	}
	if diff := cmp.Diff(want, paged(t, shipped(t, "MI-02"), s, now, findings...)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := paged(t, shipped(t, "MI-02"), s, now.Add(41*time.Minute), findings[0]); got["known"] != schemas.PagingPage {
		t.Errorf("after an hour: %v, want page", got)
	}
	if got := paged(t, shipped(t, "MI-28"), s, now, findings[0]); got["known"] != schemas.PagingPage {
		t.Errorf("of a rule that is not about failures: %v, want page", got)
	}
}

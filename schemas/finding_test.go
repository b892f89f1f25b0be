package schemas_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestFindingIDIsAFunctionOfItsParts(t *testing.T) {
	t.Parallel()
	period := time.Date(2025, 6, 7, 8, 0, 0, 0, time.UTC)
	id := schemas.FindingID("mi-02", "acme", "abc", period)
	if !regexp.MustCompile(`^[0-9a-f]{24}$`).MatchString(id) {
		t.Errorf("id %q, want 24 hexadecimal digits", id)
	}
	if again := schemas.FindingID("mi-02", "acme", "abc", period.In(time.FixedZone("", 7200))); again != id {
		t.Errorf("the same finding has the ids %s and %s", id, again)
	}
	seen := map[string]string{id: "itself"}
	for name, other := range map[string]string{
		"another rule":          schemas.FindingID("mi-03", "acme", "abc", period),
		"another tenant":        schemas.FindingID("mi-02", "globex", "abc", period),
		"another key":           schemas.FindingID("mi-02", "acme", "abd", period),
		"the next period":       schemas.FindingID("mi-02", "acme", "abc", period.Add(time.Hour)),
		"the parts cut earlier": schemas.FindingID("mi-02", "acm", "eabc", period),
		"the parts cut later":   schemas.FindingID("mi-02a", "cme", "abc", period),
	} {
		if like, ok := seen[other]; ok {
			t.Errorf("%s has the id of %s", name, like)
		}
		seen[other] = name
	}
}

// TestFindingIDStaysAsItWasWritten holds a value that stands in stores and in
// people's alert channels.
func TestFindingIDStaysAsItWasWritten(t *testing.T) {
	t.Parallel()
	const want = "17e7b6290917d99e47f61894"
	if got := schemas.FindingID("mi-02", "acme", "abc", time.UnixMilli(1749283200000)); got != want {
		t.Errorf("FindingID = %s, want %s", got, want)
	}
}

func TestLevelsAreSigmas(t *testing.T) {
	t.Parallel()
	for level, want := range map[schemas.Level]bool{
		"informational": true, "low": true, "medium": true, "high": true, "critical": true, "": false, "High": false, "info": false,
	} {
		if got := level.Valid(); got != want {
			t.Errorf("Level(%q).Valid() = %t, want %t", level, got, want)
		}
	}
}

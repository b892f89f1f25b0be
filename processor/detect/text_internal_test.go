package detect

import "testing"

func TestSpansReadAsPeopleSayThem(t *testing.T) {
	for ms, want := range map[uint64]string{
		0: "a moment", 999: "a moment", 1000: "1 second", 59_000: "59 seconds", 60_000: "1 minute",
		7_199_000: "119 minutes", 7_200_000: "2 hours", 2 * 86_400_000: "2 days",
	} {
		if got := span(ms); got != want {
			t.Errorf("%d ms: got %q, want %q", ms, got, want)
		}
	}
}

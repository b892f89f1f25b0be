package notify

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// TestLaneGivesUpWhatIsNoUse: a dead receiver is tried for ever, one that answers
// that something is wrong for ninety minutes, one that refuses not again.
func TestLaneGivesUpWhatIsNoUse(t *testing.T) {
	down, unwelcome, refused := errors.New("connection refused"), fmt.Errorf("status 403: %w", ErrUnwelcome), fmt.Errorf("status 400: %w", ErrRefused)
	for _, c := range []struct {
		err     error
		attempt uint64
		again   time.Duration
		stored  string
	}{
		{nil, 1, 0, ""},
		{down, 1, time.Second, "connection refused"},
		{down, 4, 8 * time.Second, "connection refused"},
		{down, 100_000, 5 * time.Minute, "connection refused"},
		{&Busy{down, time.Minute}, 1, time.Minute, "connection refused"},
		{&Busy{down, time.Second}, 5, 16 * time.Second, "connection refused"},
		{&Busy{down, 100 * time.Hour}, 1, time.Hour, "connection refused"},
		{unwelcome, 24, 5 * time.Minute, "status 403: the receiver does not take it"},
		{unwelcome, 25, 0, "refused: status 403: the receiver does not take it"},
		{refused, 1, 0, "refused: status 400: the receiver refuses it"},
	} {
		n := &Notifier{cfg: Config{Logger: slog.New(slog.DiscardHandler)}}
		if err := n.measure(); err != nil {
			t.Fatal(err)
		}
		l := &lane{Notifier: n, unwelcomeID: "f/open/1", unwelcome: c.attempt - 1}
		d := schemas.Delivery{AlertID: "f/open/1", Channel: "pager", Attempt: c.attempt, OK: c.err == nil}
		if again := l.judge(t.Context(), &d, c.err); again != c.again || d.Error != c.stored || l.failing != (c.err != nil) {
			t.Errorf("attempt %d, %v: again after %s, stored %q, failing %v; want %s, %q", c.attempt, c.err, again, d.Error, l.failing, c.again, c.stored)
		}
	}
	var all time.Duration
	for attempt := uint64(1); attempt < maxUnwelcome; attempt++ {
		all += backoff(attempt)
	}
	if all < 80*time.Minute || all > 100*time.Minute {
		t.Errorf("an unwelcome alert is tried for %s, want some ninety minutes", all)
	}
}

// A receiver that was away for hours and then lacks an address has its ninety minutes.
func TestOutageDoesNotShortenTheTimeToPutThingsRight(t *testing.T) {
	n := &Notifier{cfg: Config{Logger: slog.New(slog.DiscardHandler)}}
	if err := n.measure(); err != nil {
		t.Fatal(err)
	}
	l := &lane{Notifier: n}
	attempts := func(alert string, err error) (made uint64) {
		for again := time.Second; again > 0 && made < 100; made++ {
			d := schemas.Delivery{AlertID: alert, Channel: "pager", Attempt: 40 + made}
			again = l.judge(t.Context(), &d, err)
		}
		return made
	}
	unwelcome := fmt.Errorf("status 404: %w", ErrUnwelcome)
	if made := attempts("f/open/1", errors.New("status 503")); made != 100 {
		t.Errorf("%d attempts while nobody is there, want no end", made)
	}
	if made := attempts("f/open/1", unwelcome); made != maxUnwelcome {
		t.Errorf("%d unwelcome attempts after an outage, want %d", made, maxUnwelcome)
	}
	if made := attempts("g/open/1", unwelcome); made != maxUnwelcome {
		t.Errorf("%d unwelcome attempts of the next alert, want %d", made, maxUnwelcome)
	}
}

func TestClipCutsBetweenCharacters(t *testing.T) {
	for _, c := range []struct {
		text, want string
		n          int
	}{{"short", "short", 5}, {"longer", "lo…", 5}, {"üüüü", "ü…", 6}} {
		if got := clip(c.text, c.n); got != c.want || len(got) > c.n {
			t.Errorf("clip(%q, %d) is %q, want %q", c.text, c.n, got, c.want)
		}
	}
}

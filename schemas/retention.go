package schemas

import "time"

// RetentionEdge is the first midnight, UTC, at and behind which nothing can have
// expired of rows that are kept for so long; the zero time where that is 0,
// for ever. A row expires in the second in which its time is up and not after
// it, so at midnight itself the rows of that midnight have: the edge is the next
// one. Old rows go in the background, so some of what lies before the edge may
// still be there: readers leave it out, lest an answer depends on when that is.
func RetentionEdge(now time.Time, kept time.Duration) time.Time {
	if kept <= 0 {
		return time.Time{}
	}
	const day = 24 * time.Hour
	return now.UTC().Add(-kept).Truncate(day).Add(day)
}

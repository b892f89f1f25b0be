package processor

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// What comes in now touches the same hours of every key and is asked for together;
// what a backfill touches is not, or each query would read the range of all.
func TestKeysOfTheSameHoursAreAskedForTogether(t *testing.T) {
	hour := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	lasting := func(n int, apart, lasts time.Duration) []*touchedKey {
		var all []*touchedKey
		for i := range n {
			at := hour.Add(time.Duration(i) * apart)
			all = append(all, &touchedKey{fmt.Sprintf("client-%05d", i), at, at.Add(lasts)})
		}
		return all
	}
	keys := func(n int, apart time.Duration) []*touchedKey { return lasting(n, apart, 0) }
	for _, c := range []struct {
		name string
		keys []*touchedKey
		want []int
	}{
		{"none", nil, nil},
		{"one", keys(1, 0), []int{1}},
		{"the same hour", keys(12_000, 0), []int{5000, 5000, 2000}},
		{"the same two hours", lasting(1200, 0, time.Hour), []int{1200}},
		{"the same first hour of a history", lasting(1200, 0, 30*24*time.Hour), []int{500, 500, 200}},
		{"an hour apart", keys(1200, time.Hour), []int{500, 500, 200}},
		{"two late ones, which come first", append(keys(900, 0), keys(3, -24*time.Hour)[1:]...), []int{500, 402}},
	} {
		slices.SortFunc(c.keys, func(a, b *touchedKey) int { return a.first.Compare(b.first) })
		var got []int
		for chunk := range chunks(c.keys) {
			got = append(got, len(chunk))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: jobs of %d keys, want %d", c.name, got, c.want)
		}
	}
}

package clickhouse

import (
	"slices"
	"testing"
)

func TestHalvesAreCutBetweenPartitionsWhereThereAreSeveral(t *testing.T) {
	partition := func(n *int) int64 { return int64(*n / 10) }
	tests := map[string]struct{ rows, one, other []int }{
		"one partition":    {[]int{1, 2, 3, 4, 5}, []int{1, 2}, []int{3, 4, 5}},
		"two rows":         {[]int{1, 2}, []int{1}, []int{2}},
		"in the middle":    {[]int{25, 1, 2, 21}, []int{1, 2}, []int{25, 21}},
		"near the end":     {[]int{1, 2, 3, 4, 5, 11}, []int{1, 2, 3, 4, 5}, []int{11}},
		"the nearest edge": {[]int{1, 11, 12, 13, 21, 31}, []int{1, 11, 12, 13}, []int{21, 31}},
	}
	for name, tt := range tests {
		one, other := halve(tt.rows, partition)
		if !slices.Equal(one, tt.one) || !slices.Equal(other, tt.other) {
			t.Errorf("%s: %v and %v, want %v and %v", name, one, other, tt.one, tt.other)
		}
	}
}

//go:build !race

package detect_test

// poolDrops is what a pool costs without the race detector: nothing.
const poolDrops = 0

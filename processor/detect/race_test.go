//go:build race

package detect_test

// poolDrops is the allocations that a pool costs under the race detector,
// which makes it drop what it holds at random.
const poolDrops = 5

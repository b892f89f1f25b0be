package auth0sim

import (
	"math/rand/v2"
	"time"
)

// Each use of randomness has its own sequence, so that a change in one leaves
// the others as they were.
const (
	sequencePopulation = 1 + iota
	sequenceHistory
	sequenceLive
	sequenceDelivery

	sequenceStore = 1 << 20 // beyond the log streams'

	// The parts of a long history are counted from here.
	sequenceParts = 1 << 32
)

func newRand(seed, sequence uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, sequence))
}

const (
	alphabet62 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	alphabet64 = alphabet62 + "-_"
	digits16   = "0123456789abcdef"
)

func base62(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet62[r.IntN(len(alphabet62))]
	}
	return string(b)
}

func hexString(r *rand.Rand, n int) string { return string(appendHex(make([]byte, 0, n), r, n)) }

// appendHex adds n random hexadecimal digits.
func appendHex(dst []byte, r *rand.Rand, n int) []byte {
	for n > 0 {
		bits := r.Uint64()
		for range min(n, 16) {
			dst = append(dst, digits16[bits&15])
			bits >>= 4
		}
		n -= 16
	}
	return dst
}

// appendBase64 adds n random characters of URL-safe base64.
func appendBase64(dst []byte, r *rand.Rand, n int) []byte {
	for n > 0 {
		bits := r.Uint64()
		for range min(n, 10) {
			dst = append(dst, alphabet64[bits&63])
			bits >>= 6
		}
		n -= 10
	}
	return dst
}

// between is uniform in [lo, hi).
func between(r *rand.Rand, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(r.Int64N(int64(hi-lo)))
}

func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

package clickhouse

import (
	"encoding/binary"
	"math/bits"
)

// sipHash64 is the server's function of this name for one string: SipHash-2-4
// with a key of zeros (Aumasson and Bernstein, 2012).
func sipHash64(text string) uint64 {
	h := sipState{0x736f6d6570736575, 0x646f72616e646f6d, 0x6c7967656e657261, 0x7465646279746573}
	rest := []byte(text)
	for ; len(rest) >= 8; rest = rest[8:] {
		h.add(binary.LittleEndian.Uint64(rest))
	}
	var last [8]byte
	copy(last[:], rest)
	last[7] = byte(len(text))
	h.add(binary.LittleEndian.Uint64(last[:]))
	h[2] ^= 0xff
	for range 4 {
		h.round()
	}
	return h[0] ^ h[1] ^ h[2] ^ h[3]
}

type sipState [4]uint64

// add takes in eight bytes.
func (h *sipState) add(word uint64) {
	h[3] ^= word
	h.round()
	h.round()
	h[0] ^= word
}

func (h *sipState) round() {
	h[0] += h[1]
	h[2] += h[3]
	h[1] = bits.RotateLeft64(h[1], 13) ^ h[0]
	h[3] = bits.RotateLeft64(h[3], 16) ^ h[2]
	h[0] = bits.RotateLeft64(h[0], 32)
	h[2] += h[1]
	h[0] += h[3]
	h[1] = bits.RotateLeft64(h[1], 17) ^ h[2]
	h[3] = bits.RotateLeft64(h[3], 21) ^ h[0]
	h[2] = bits.RotateLeft64(h[2], 32)
}

package processor

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// newFlushID makes a UUID of version 7: ids sort by the millisecond in which
// they were made, and those of several processors do not meet.
func newFlushID(now time.Time) string { return flushID(now, 7) }

// newHistoryFlushID makes that of touches of history, which is of version 8: see
// schemas.IsHistoryFlush.
func newHistoryFlushID(now time.Time) string { return flushID(now, 8) }

func flushID(now time.Time, version byte) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16)
	_, _ = rand.Read(id[6:]) // it never returns an error
	id[6] = id[6]&0x0f | version<<4
	id[8] = id[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[0:8], id[0:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:36], id[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// A group is the logs of one tenant and source that travel as one JetStream
// message. Its framing, version 1:
//
//	"M2MG"                   magic, 4 bytes
//	0x01                     version
//	uvarint n, n bytes       tenant
//	1 byte                   source
//	varint                   ingested_at, Unix microseconds
//	repeated to the end:
//	    1 byte               flags: bit 0 = secrets were masked
//	    uvarint n, n bytes   the raw log
//
// The number of logs is not written: a group is appended to while requests
// join it, and the message's length is known to the broker.
const (
	groupMagic   = "M2MG"
	groupVersion = 1

	flagMasked = 1 << 0
)

// ErrGroup is wrapped by every error of DecodeGroup.
var ErrGroup = errors.New("not a group of logs")

// AppendGroupHeader starts a group in dst.
func AppendGroupHeader(dst []byte, tenant string, source Source, ingestedAt time.Time) []byte {
	dst = append(dst, groupMagic...)
	dst = append(dst, groupVersion)
	dst = binary.AppendUvarint(dst, uint64(len(tenant)))
	dst = append(dst, tenant...)
	dst = append(dst, byte(source))
	return binary.AppendVarint(dst, ingestedAt.UnixMicro())
}

// AppendGroupLog adds one raw log to a group begun with AppendGroupHeader.
func AppendGroupLog(dst, raw []byte, masked bool) []byte {
	var flags byte
	if masked {
		flags |= flagMasked
	}
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, uint64(len(raw)))
	return append(dst, raw...)
}

// GroupHeaderSize and GroupLogSize bound what the two Append functions add.
func GroupHeaderSize(tenant string) int {
	return len(groupMagic) + 1 + binary.MaxVarintLen64 + len(tenant) + 1 + binary.MaxVarintLen64
}

// GroupLogSize bounds what AppendGroupLog adds for a log of n bytes.
func GroupLogSize(n int) int { return 1 + binary.MaxVarintLen64 + n }

// DecodeGroup appends the logs of a group to dst. Their Raw fields alias data.
// Its errors wrap ErrGroup; dst is then returned as it was.
func DecodeGroup(dst []Log, data []byte) ([]Log, error) {
	r := groupReader{data: data}
	if string(r.take(len(groupMagic))) != groupMagic {
		return dst, fmt.Errorf("%w: wrong magic", ErrGroup)
	}
	if v := r.byte(); v != groupVersion {
		return dst, fmt.Errorf("%w: framing version %d, this program reads %d", ErrGroup, v, groupVersion)
	}
	tenant := string(r.sized())
	source := Source(r.byte())
	at := r.varint()
	if r.failed || !source.Valid() || CheckTenant(tenant) != nil {
		return dst, fmt.Errorf("%w: broken header", ErrGroup)
	}
	ingestedAt := time.UnixMicro(at).UTC()

	logs := dst
	for len(r.data) > 0 {
		flags := r.byte()
		raw := r.sized()
		if r.failed || flags&^flagMasked != 0 {
			return dst, fmt.Errorf("%w: log %d is broken", ErrGroup, len(logs)-len(dst)+1)
		}
		logs = append(logs, Log{Tenant: tenant, Source: source, IngestedAt: ingestedAt, Raw: raw, Masked: flags&flagMasked != 0})
	}
	return logs, nil
}

// groupReader reads a group from the front; after the first short read it has
// failed and yields zeros.
type groupReader struct {
	data   []byte
	failed bool
}

func (r *groupReader) take(n int) []byte {
	if n < 0 || n > len(r.data) {
		r.failed, r.data = true, nil
		return nil
	}
	out := r.data[:n:n]
	r.data = r.data[n:]
	return out
}

func (r *groupReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *groupReader) sized() []byte {
	n, w := binary.Uvarint(r.data)
	if w <= 0 || n > uint64(len(r.data)-w) {
		r.take(-1)
		return nil
	}
	r.take(w)
	return r.take(int(n))
}

func (r *groupReader) varint() int64 {
	v, w := binary.Varint(r.data)
	if w <= 0 {
		r.take(-1)
		return 0
	}
	r.take(w)
	return v
}

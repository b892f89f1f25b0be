package clickhouse

import (
	"bytes"
	"slices"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// The column raw holds of a log what the other columns do not. Where a string
// of the log is, byte for byte, the value of one of the columns below, one
// byte stands for it and its quotes. JSON text has no bytes below 9 (RFC 8259,
// section 7), so that such a byte is always a marker. Ids are random: they do
// not compress, and raw would hold each a second time.
//
// A log that does hold such bytes, or that does not come back as it was, is
// stored whole, behind wholeMark.
//
// The numbers are on disk and never change.
const (
	wholeMark       = 0
	markLogID       = 1
	markTime        = 2
	markTokenID     = 3
	markUsedTokenID = 4
	markTraceID     = 5
	markCorrelation = 6
	markIP          = 7
	markClientIP    = 8
	marks           = 9
	rawTimeLayout   = "2006-01-02T15:04:05.000Z" // how Auth0 writes a date, nearly always
	minCut          = 4                          // a shorter value is not worth a look
)

// rawValues are the values that markers stand for, by marker.
type rawValues [marks]string

func rawValuesOf(e *schemas.Event) rawValues {
	return rawValues{
		markLogID: e.LogID, markTime: e.Time.UTC().Format(rawTimeLayout),
		markTokenID: e.TokenID, markUsedTokenID: e.UsedTokenID,
		markTraceID: e.TraceID, markCorrelation: e.CorrelationID,
		markIP: e.IP, markClientIP: e.ClientIP,
	}
}

// find is the marker of a value, 0 for none.
func (v *rawValues) find(text []byte) byte {
	if len(text) < minCut {
		return 0
	}
	for mark := byte(1); mark < marks; mark++ {
		if string(text) == v[mark] {
			return mark
		}
	}
	return 0
}

// cutRaw is the raw log of e as the column has it.
func cutRaw(e *schemas.Event) []byte {
	values := rawValuesOf(e)
	if len(e.Raw) == 0 {
		return nil
	}
	if slices.ContainsFunc(e.Raw, isMark) {
		return whole(e.Raw)
	}
	cut := values.cut(e.Raw)
	if !values.rebuilds(cut, e.Raw) {
		return whole(e.Raw)
	}
	return cut
}

func whole(raw []byte) []byte { return append([]byte{wholeMark}, raw...) }

// isMark reports whether b would be taken for a marker.
func isMark(b byte) bool { return b < marks }

// cut takes the values out of raw, which holds no bytes that are markers.
func (v *rawValues) cut(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for {
		start := bytes.IndexByte(raw, '"')
		if start < 0 {
			return append(out, raw...)
		}
		end := literalEnd(raw, start)
		if mark := v.find(raw[start+1 : max(start+1, end-1)]); mark != 0 {
			out = append(append(out, raw[:start]...), mark)
		} else {
			out = append(out, raw[:end]...)
		}
		raw = raw[end:]
	}
}

// rebuilds reports whether raw comes back from cut.
func (v *rawValues) rebuilds(cut, raw []byte) bool {
	for {
		i := slices.IndexFunc(cut, isMark)
		if i < 0 {
			return bytes.Equal(cut, raw)
		}
		value := v[cut[i]]
		end := i + len(value) + 2
		if len(raw) < end || !bytes.Equal(cut[:i], raw[:i]) ||
			raw[i] != '"' || string(raw[i+1:end-1]) != value || raw[end-1] != '"' {
			return false
		}
		cut, raw = cut[i+1:], raw[end:]
	}
}

// literalEnd is the index behind the string literal that begins at start, or
// the end of raw where it has none.
func literalEnd(raw []byte, start int) int {
	for i := start + 1; i < len(raw); i++ {
		next := bytes.IndexAny(raw[i:], `"\\`)
		if next < 0 {
			break
		}
		if i += next; raw[i] == '"' {
			return i + 1
		}
		i++
	}
	return len(raw)
}

// rebuildRaw is the log of e whose column raw holds cut.
func rebuildRaw(e *schemas.Event, cut []byte) []byte {
	if len(cut) > 0 && cut[0] == wholeMark {
		return cut[1:]
	}
	values := rawValuesOf(e)
	return values.rebuild(cut)
}

func (v *rawValues) rebuild(cut []byte) []byte {
	size := len(cut)
	for _, value := range v {
		size += len(value)
	}
	out := make([]byte, 0, size)
	for _, b := range cut {
		if b >= marks {
			out = append(out, b)
			continue
		}
		out = append(append(append(out, '"'), v[b]...), '"')
	}
	return out
}

package detect

import (
	"bytes"
	"strconv"
	"strings"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// state is what matching one event needs. It is pooled, so that a miss
// allocates nothing.
type state struct {
	event  *schemas.Event
	plan   *plan
	walked bool // slots hold what the raw log has

	slots   [][]string // by slot: the values found; strings alias event.Raw or arena
	one     [1]string
	kept    [1]string // of a field that is compared with another
	arena   []byte    // unescaped strings, and numbers as text
	joining []byte    // of several fields
	buf     bytes.Buffer
	dec     *jsontext.Decoder
}

func newState() *state {
	st := &state{}
	st.dec = jsontext.NewDecoder(&st.buf)
	return st
}

func (st *state) reset(e *schemas.Event, p *plan) {
	st.event, st.plan, st.walked = e, p, false
	st.one[0], st.kept[0] = "", ""
	for i := range st.slots {
		clear(st.slots[i])
		st.slots[i] = st.slots[i][:0]
	}
	if cap(st.arena) > 64<<10 { // one huge log must not hold its memory for ever
		st.arena = nil
	}
	st.arena = st.arena[:0]
	if e == nil {
		st.buf = bytes.Buffer{}
	}
}

// values returns what a field holds: none where it is absent or null, several
// where it is a list. It is valid until the next call.
func (st *state) values(f *field) []string {
	switch {
	case f.column != nil:
		st.one[0] = f.column(st.event)
		if st.one[0] == "" {
			return nil
		}
		return st.one[:]
	case f.number != nil:
		n := f.number(st.event)
		if n == 0 {
			return nil
		}
		start := len(st.arena)
		st.arena = strconv.AppendUint(st.arena, n, 10)
		st.one[0] = view(st.arena[start:])
		return st.one[:]
	case f.list != nil:
		return f.list(st.event)
	case f.path != nil:
		return st.raw(f.path)
	}
	return nil
}

// first is the first value of a field, "" where it has none.
func (st *state) first(f *field) string {
	if v := st.values(f); len(v) > 0 {
		return v[0]
	}
	return ""
}

// key joins what fields hold, ok where each holds something. It lies in the raw
// log no more.
func (st *state) key(fs fields) (key string, ok bool) {
	for i := range fs {
		v := st.first(&fs[i])
		switch {
		case v == "", len(v) > maxKey:
			return "", false
		case len(fs) == 1:
			return strings.Clone(v), true
		}
		st.joining = appendPart(st.joining[:len(st.joining)*min(i, 1)], i, v)
	}
	return string(st.joining), len(fs) > 0
}

// joined joins what fields hold. It lies in the raw log no more.
func (st *state) joined(fs fields) string {
	if len(fs) == 1 {
		v := st.first(&fs[0])
		return strings.Clone(v[:min(len(v), maxValue)])
	}
	st.joining = st.joining[:0]
	for i := range fs {
		v := st.first(&fs[i])
		st.joining = appendPart(st.joining, i, v[:min(len(v), maxPart)])
	}
	return string(st.joining)
}

// appendPart appends part i of a list to those before it.
func appendPart(list []byte, i int, part string) []byte {
	if i > 0 {
		list = append(list, schemas.PartSeparator...)
	}
	for _, b := range []byte(part) {
		if b == schemas.PartSeparator[0] {
			b = ' '
		}
		list = append(list, b)
	}
	return list
}

func (st *state) raw(path []string) []string {
	if st.plan.raw == nil {
		return nil
	}
	if !st.walked {
		st.walk()
	}
	if slot := st.plan.raw.find(path); slot >= 0 {
		return st.slots[slot]
	}
	return nil
}

// walk reads the raw log once, for all paths of the plan. It stops where the
// log stops being JSON: what lies behind is absent.
func (st *state) walk() {
	st.walked = true
	for len(st.slots) < st.plan.slots {
		st.slots = append(st.slots, nil)
	}
	st.buf = *bytes.NewBuffer(st.event.Raw)
	st.dec.Reset(&st.buf, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if st.dec.PeekKind() == '{' {
		st.object(st.plan.raw, true)
	}
}

// object reads an object whose members may be on the way to a wanted path.
// envelope is true at the top, where the log itself may lie under "data".
func (st *state) object(n *node, envelope bool) bool {
	if _, err := st.dec.ReadToken(); err != nil {
		return false
	}
	for st.dec.PeekKind() == '"' {
		name, ok := st.text()
		if !ok {
			return false
		}
		next := n.child(name)
		wrapped := envelope && next == nil && name == "data"
		if wrapped && st.dec.PeekKind() == '{' {
			ok = st.object(n, false)
		} else {
			ok = st.value(next)
		}
		if !ok {
			return false
		}
	}
	_, err := st.dec.ReadToken()
	return err == nil
}

func (st *state) value(n *node) bool {
	if n == nil {
		return st.dec.SkipValue() == nil
	}
	switch st.dec.PeekKind() {
	case '{':
		return st.object(n, false)
	case '[':
		return st.array(n)
	case '"':
		return st.keep(n)
	case 'n':
		return st.dec.SkipValue() == nil
	default:
		return st.keep(n)
	}
}

// array reads a list: each element counts as a value of the path.
func (st *state) array(n *node) bool {
	if _, err := st.dec.ReadToken(); err != nil {
		return false
	}
	for st.dec.PeekKind() != ']' {
		if !st.value(n) {
			return false
		}
	}
	_, err := st.dec.ReadToken()
	return err == nil
}

func (st *state) keep(n *node) bool {
	s, ok := st.text()
	if ok && n.slot >= 0 {
		st.slots[n.slot] = append(st.slots[n.slot], s)
	}
	return ok
}

// text reads a scalar as text: a string without its quotes, a number or a
// boolean as it stands.
func (st *state) text() (string, bool) {
	v, err := st.dec.ReadValue()
	if err != nil {
		return "", false
	}
	end := int(st.dec.InputOffset())
	b := st.event.Raw[end-len(v) : end]
	if b[0] != '"' {
		return view(b), true
	}
	if bytes.IndexByte(b, '\\') < 0 {
		return view(b[1 : len(b)-1]), true
	}
	start := len(st.arena)
	st.arena, err = jsontext.AppendUnquote(st.arena, b)
	return view(st.arena[start:]), err == nil || len(st.arena) > start
}

// view makes a string of bytes that nobody changes while it is in use: those
// of the raw log, which a stage never changes, and those of the arena, which is
// only appended to until the event is done. What leaves Match is cloned.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

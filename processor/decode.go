package processor

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// oddity is what is wrong with a log that is read nevertheless.
type oddity uint8

const (
	oddDuplicate oddity = 1 << iota // a member is there twice
	oddLogID                        // envelope and event have another log_id
)

// span is where a value lies in the decoder's text.
type span struct{ start, end int32 }

// record is what was taken out of one log. It is valid until the decoder is
// used again; the strings that get returns are valid for ever.
type record struct {
	text   string
	values [fieldCount]span
	seen   uint64 // bits of the fields met, to tell a duplicate
	odd    oddity
}

func (r *record) get(f field) string {
	s := r.values[f]
	return r.text[s.start:s.end]
}

func (r *record) has(f field) bool { return r.values[f].end > r.values[f].start }

func (r *record) meet(f field) {
	if r.seen&(1<<f) != 0 {
		r.odd |= oddDuplicate
	}
	r.seen |= 1 << f
}

// isEvent reports whether r has what only an event has: the data member of a
// log that is no envelope may be anything.
func (r *record) isEvent() bool { return r.has(fieldType) || r.has(fieldLogID) || r.has(fieldDate) }

// decoder reads logs in one pass over their tokens. What it takes is gathered
// in one buffer and becomes one string per log, of which the values are parts:
// an event costs one allocation, however many fields it has, and keeps nothing
// else of the log alive. Not for concurrent use.
type decoder struct {
	input   bytes.Buffer // wraps the raw log, so that it is not copied
	tokens  jsontext.Decoder
	options jsontext.Options
	text    []byte
	outer   record // the members of the top-level object
	inner   record // the members of its data
}

func newDecoder() *decoder {
	return &decoder{options: jsontext.AllowDuplicateNames(true)}
}

// decode reads an envelope or a bare event. Only what is no JSON object is an
// error: a value of an unexpected type counts as absent, a number as its text,
// broken UTF-8 and lone surrogates become U+FFFD, and of a member that is
// there twice the last one counts, as it does for most readers of JSON.
// Nesting is bounded by jsontext, at 10,000.
func (d *decoder) decode(raw []byte) (*record, error) {
	if err := d.read(raw, (*decoder).eventMember); err != nil {
		return nil, err
	}
	return d.choose(), nil
}

// read reads one object, whose members it gives to member.
func (d *decoder) read(raw []byte, member func(d *decoder, r *record, name []byte) error) error {
	d.input = *bytes.NewBuffer(raw)
	d.tokens.Reset(&d.input, d.options, jsontext.AllowInvalidUTF8(true))
	d.text, d.outer, d.inner = d.text[:0], record{}, record{}
	if d.tokens.PeekKind() != '{' {
		return refuse(schemas.DeadCodeJSON, "not a JSON object%s", d.why())
	}
	if err := d.object(&d.outer, member); err != nil {
		return refuse(schemas.DeadCodeJSON, "not a JSON object: %s", clip(err.Error(), 160))
	}
	if _, err := d.tokens.ReadToken(); !errors.Is(err, io.EOF) {
		return refuse(schemas.DeadCodeJSON, "more than one JSON object in a record")
	}
	return nil
}

// why tells the cause when the first token cannot be read.
func (d *decoder) why() string {
	if _, err := d.tokens.ReadToken(); err != nil {
		return ": " + clip(err.Error(), 160)
	}
	return ""
}

// choose tells an envelope from a bare event. The envelope's log_id wins over
// the event's own: it is the one that the stream's cursor goes by.
func (d *decoder) choose() *record {
	text := string(d.text)
	d.outer.text, d.inner.text = text, text
	if !d.inner.isEvent() {
		return &d.outer
	}
	r := &d.inner
	r.odd |= d.outer.odd
	if d.outer.has(fieldLogID) {
		if r.has(fieldLogID) && r.get(fieldLogID) != d.outer.get(fieldLogID) {
			r.odd |= oddLogID
		}
		r.values[fieldLogID] = d.outer.values[fieldLogID]
	}
	return r
}

// object reads an object, whose '{' is next, and gives each member to read.
// name is valid until read reads on.
func (d *decoder) object(r *record, read func(d *decoder, r *record, name []byte) error) error {
	if _, err := d.tokens.ReadToken(); err != nil {
		return err
	}
	for d.tokens.PeekKind() != '}' {
		name, err := d.tokens.ReadValue()
		if err != nil {
			return err
		}
		if err := read(d, r, unquote(name)); err != nil {
			return err
		}
	}
	_, err := d.tokens.ReadToken()
	return err
}

func (d *decoder) eventMember(r *record, name []byte) error {
	f := member(name)
	if f == fieldNone {
		return d.nested(r, name)
	}
	r.meet(f)
	switch f {
	case fieldDate:
		return d.date(r)
	case fieldAudience, fieldScope:
		return d.list(r, f)
	case fieldDetails:
		return d.within(r, (*decoder).detailsMember)
	case fieldData:
		return d.data(r)
	default:
		return d.value(r, f)
	}
}

// data reads the event inside an envelope. There is no envelope in an envelope.
func (d *decoder) data(r *record) error {
	if r == &d.inner {
		return d.skip()
	}
	return d.within(&d.inner, (*decoder).eventMember)
}

// within reads an object where there is one, and skips anything else.
func (d *decoder) within(r *record, read func(d *decoder, r *record, name []byte) error) error {
	if d.tokens.PeekKind() != '{' {
		return d.skip()
	}
	return d.object(r, read)
}

// nested reads the members of an event of which only parts are taken.
func (d *decoder) nested(r *record, name []byte) error {
	switch string(name) {
	case "security_context":
		return d.within(r, (*decoder).securityMember)
	case "auth0_client":
		return d.within(r, (*decoder).sdkMember)
	case "references":
		return d.within(r, (*decoder).referencesMember)
	case "location_info":
		return d.within(r, (*decoder).locationMember)
	}
	return d.skip()
}

// Each of these is a function of its own, and no closure: that would be an
// allocation per object.

func (d *decoder) securityMember(r *record, name []byte) error {
	return d.known(r, securityField(name))
}

func (d *decoder) sdkMember(r *record, name []byte) error { return d.known(r, sdkField(name)) }

func (d *decoder) referencesMember(r *record, name []byte) error {
	return d.known(r, referencesField(name))
}

func (d *decoder) locationMember(r *record, name []byte) error {
	return d.known(r, locationField(name))
}

func (d *decoder) responseMember(r *record, name []byte) error {
	if string(name) == "body" {
		return d.within(r, (*decoder).answerMember)
	}
	return d.known(r, responseField(name))
}

func (d *decoder) answerMember(r *record, name []byte) error { return d.known(r, answerField(name)) }

func (d *decoder) actorMember(r *record, name []byte) error { return d.known(r, actorField(name)) }

func (d *decoder) credentialsMember(r *record, name []byte) error {
	return d.known(r, credentialsField(name))
}

// known reads the text of a field, and skips what is none.
func (d *decoder) known(r *record, f field) error {
	if f == fieldNone {
		return d.skip()
	}
	return d.value(r, f)
}

func (d *decoder) detailsMember(r *record, name []byte) error {
	switch string(name) {
	case "request":
		return d.within(r, (*decoder).requestMember)
	case "response":
		return d.within(r, (*decoder).responseMember)
	case "limit":
		return d.within(r, (*decoder).limitMember)
	case "actor":
		return d.within(r, (*decoder).actorMember)
	}
	return d.known(r, detailsField(name))
}

func (d *decoder) limitMember(r *record, name []byte) error {
	switch string(name) {
	case "bucket":
		return d.value(r, fieldBucket)
	case "size":
		return d.value(r, fieldLimitSize)
	case "global":
		return d.truth(r, fieldLimitGlobal)
	}
	return d.skip()
}

func (d *decoder) requestMember(r *record, name []byte) error {
	switch string(name) {
	case "method":
		return d.value(r, fieldMethod)
	case "path":
		return d.value(r, fieldPath)
	case "channel":
		return d.value(r, fieldChannel)
	case "auth":
		return d.within(r, (*decoder).authMember)
	}
	return d.skip()
}

func (d *decoder) authMember(r *record, name []byte) error {
	switch string(name) {
	case "subject":
		return d.value(r, fieldSubject)
	case "strategy":
		return d.value(r, fieldAuthStrategy)
	case "credentials":
		return d.within(r, (*decoder).credentialsMember)
	case "user":
		if d.tokens.PeekKind() == '{' {
			return d.object(r, (*decoder).userMember)
		}
		return d.value(r, fieldAuthUserID)
	}
	return d.skip()
}

// userMember reads a member of auth.user, which is an empty object where a
// machine calls: any member in it is the sign of a user.
func (d *decoder) userMember(r *record, name []byte) error {
	r.seen |= 1 << fieldAuthUser
	if string(name) != "user_id" {
		return d.skip()
	}
	return d.value(r, fieldAuthUserID)
}

// date reads a string, a number, or an object that holds one of them under
// $date or $numberLong, as copies that went through a document store have it.
func (d *decoder) date(r *record) error {
	if d.tokens.PeekKind() != '{' {
		return d.value(r, fieldDate)
	}
	return d.object(r, func(d *decoder, r *record, name []byte) error {
		if string(name) != "$date" && string(name) != "$numberLong" {
			return d.skip()
		}
		return d.date(r)
	})
}

// list reads a text or an array of texts, which it joins with spaces.
func (d *decoder) list(r *record, f field) error {
	if d.tokens.PeekKind() != '[' {
		return d.value(r, f)
	}
	if _, err := d.tokens.ReadToken(); err != nil {
		return err
	}
	start := len(d.text)
	for d.tokens.PeekKind() != ']' {
		end := len(d.text)
		if end > start {
			d.text = append(d.text, ' ')
		}
		begin := len(d.text)
		if err := d.value(r, f); err != nil {
			return err
		}
		if len(d.text) == begin { // no text: it leaves no gap
			d.text = d.text[:end]
		}
	}
	r.values[f] = span{int32(start), int32(len(d.text))}
	_, err := d.tokens.ReadToken()
	return err
}

// value reads a text: a string, or a number as it is written. Anything else is
// no text, and clears what an earlier member of this name said.
func (d *decoder) value(r *record, f field) error {
	start := len(d.text)
	switch d.tokens.PeekKind() {
	case '"':
		v, err := d.tokens.ReadValue()
		if err != nil {
			return err
		}
		d.text = appendText(d.text, v)
	case '0':
		v, err := d.tokens.ReadValue()
		if err != nil {
			return err
		}
		d.text = append(d.text, v...)
	default:
		if err := d.skip(); err != nil {
			return err
		}
	}
	r.values[f] = span{int32(start), int32(len(d.text))}
	return nil
}

// truth reads true as a text; anything else is none.
func (d *decoder) truth(r *record, f field) error {
	start := len(d.text)
	if d.tokens.PeekKind() == 't' {
		d.text = append(d.text, "true"...)
	}
	r.values[f] = span{int32(start), int32(len(d.text))}
	return d.skip()
}

// appendText appends what a JSON string says. jsontext reports broken UTF-8
// after it has put U+FFFD in its place: that is what is wanted here.
func appendText(dst []byte, quoted jsontext.Value) []byte {
	dst, _ = jsontext.AppendUnquote(dst, quoted)
	return dst
}

// unquote returns the name that a JSON string is; names have no escapes but in
// hostile records.
func unquote(quoted jsontext.Value) []byte {
	if bytes.IndexByte(quoted, '\\') >= 0 {
		return appendText(nil, quoted)
	}
	return quoted[1 : len(quoted)-1]
}

// skip passes over a value. Reading it whole is faster than passing over its
// tokens, by a fifth for a Management API call of 4 KB.
func (d *decoder) skip() error {
	_, err := d.tokens.ReadValue()
	return err
}

package query

import (
	stdjson "encoding/json"
	"io"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// jsonFormat writes every answer: times with milliseconds, lists never null,
// what a log held of broken UTF-8 replaced, and a raw record untouched.
var jsonFormat = huma.Format{Marshal: writeJSON, Unmarshal: stdjson.Unmarshal}

const timeFormat = "2006-01-02T15:04:05.000Z"

var jsonOptions = json.JoinOptions(
	jsontext.AllowInvalidUTF8(true),
	json.Deterministic(true),
	json.WithMarshalers(json.MarshalToFunc(func(enc *jsontext.Encoder, t time.Time) error {
		return enc.WriteToken(jsontext.String(t.UTC().Format(timeFormat)))
	})),
)

func writeJSON(w io.Writer, v any) error {
	var b []byte
	var err error
	switch v := v.(type) {
	case eventDetail:
		b, err = v.bytes()
	default:
		b, err = json.Marshal(v, jsonOptions)
	}
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// eventDetail is the answer to a question for one event: all of it, or its raw
// record alone.
type eventDetail struct {
	schemas.EventDetail
	alone bool
}

// bytes appends the raw record by hand: an encoder would take the spaces out
// of it, and it is promised byte for byte.
func (e eventDetail) bytes() ([]byte, error) {
	if e.alone {
		return e.Raw, nil
	}
	b, err := json.Marshal(e.EventView, jsonOptions)
	if err != nil {
		return nil, err
	}
	raw := e.Raw
	if !jsontext.Value(raw).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		raw, err = json.Marshal(string(raw), jsonOptions)
		if err != nil {
			return nil, err
		}
	}
	b = append(b[:len(b)-1], `,"raw":`...)
	return append(append(b, raw...), '}'), nil
}

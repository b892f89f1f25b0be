package ingest

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// piece consumes what cannot be read at the window's front, up to where the
// next record may begin. cause is why it is not JSON; nil means that it does
// not even begin like a record.
func (s *Splitter) piece(cause error) (Record, error) {
	offset := errorOffset(cause)
	s.broken++
	for {
		data := s.w.bytes()
		n := s.cut(data, offset)
		if n < 0 && !s.w.eof {
			if err := s.double(); err != nil {
				return Record{}, err
			}
			continue
		}
		s.torn = n < 0
		if n < 0 {
			n = len(data)
		}
		reason := s.reason(data[:n], cause)
		if s.shape != shapeTop {
			n = trimComma(data[:n])
		}
		return s.take(n, reason), nil
	}
}

// reason tells a line that is another JSON value from one that is no JSON.
func (s *Splitter) reason(piece []byte, cause error) string {
	if cause == nil && jsontext.Value(piece).IsValid(s.opts...) {
		return "not a JSON object: a record is an object"
	}
	return describe(trim(piece), cause)
}

// trimComma returns the length of b without the commas and the whitespace at
// its end, which hold elements together.
func trimComma(b []byte) int { return len(bytes.TrimRight(b, " \t\r\n,")) }

// cut returns where the broken piece at the front of data ends, or -1 where it
// does not end in data. The JSON broke at offset.
func (s *Splitter) cut(data []byte, offset int) int {
	floor := 0
	if s.broken > brokenBudget {
		floor = offset
	}
	if s.shape == shapeTop {
		return cutLines(data, offset, floor)
	}
	return s.cutArray(data, floor)
}

// cutLines ends a broken line at its newline. One that broke only on a later
// line is an object over several lines, or a line cut short: it ends before
// the next line that begins with a brace.
func cutLines(data []byte, offset, floor int) int {
	newline := bytes.IndexByte(data, '\n')
	if newline < 0 || offset <= newline {
		return newline
	}
	from := max(newline, min(floor, len(data)))
	if i := bytes.Index(data[from:], []byte("\n{")); i >= 0 {
		return from + i
	}
	return -1
}

// cutArray ends a broken element at the comma or bracket that closes it by its
// structure, or earlier where a neighbour begins that it has swallowed. A
// newline ends a string: JSON has none inside.
func (s *Splitter) cutArray(data []byte, floor int) int {
	own := s.key
	if k := firstKey(data); k != nil {
		own = k
	}
	depth, inString, before, newline := 0, false, byte(0), false
	for i := 0; i < len(data); i++ {
		c := data[i]
		if c == '{' && i > 0 && i >= floor && (newline || before == ',' || before == '}') {
			switch begins(data[i:], own, s.key) {
			case beginsRecord:
				return i
			case beginsUnknown:
				if !s.w.eof {
					return -1
				}
			}
		}
		switch {
		case inString:
			switch c {
			case '\\':
				i++
			case '"', '\n':
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			depth++
		case c == ']' && depth == 0, c == ',' && depth == 0:
			if i >= floor {
				return i
			}
		case (c == '}' || c == ']') && depth > 0:
			depth--
		}
		switch c {
		case ' ', '\t', '\r':
		case '\n':
			newline = true
		default:
			before, newline = c, false
		}
	}
	return -1
}

type beginning uint8

const (
	beginsOther beginning = iota
	beginsRecord
	beginsUnknown // data are too short to tell
)

// begins tells whether the brace at the front of data opens a record, by its
// first key: log_id, data, or one that other records of this body begin with.
func begins(data []byte, keys ...[]byte) beginning {
	at := 1 + leadingSpace(data[1:])
	rest := data[at:]
	result := beginsOther
	check := func(key []byte) {
		switch {
		case len(key) == 0 || result == beginsRecord:
		case bytes.HasPrefix(rest, key):
			result = beginsRecord
		case bytes.HasPrefix(key, rest):
			result = beginsUnknown
		}
	}
	check([]byte(`"log_id"`))
	check([]byte(`"data"`))
	for _, key := range keys {
		check(key)
	}
	return result
}

// firstKey returns a copy of the quoted first key of the object that data
// begins with, or nil where there is none of at most 64 bytes.
func firstKey(data []byte) []byte {
	if len(data) == 0 || data[0] != '{' {
		return nil
	}
	rest := data[1:]
	rest = rest[leadingSpace(rest):]
	if len(rest) < 2 || rest[0] != '"' {
		return nil
	}
	end := bytes.IndexByte(rest[1:min(len(rest), 64)], '"')
	if end < 1 || bytes.IndexByte(rest[1:1+end], '\\') >= 0 || bytes.IndexByte(rest[1:1+end], '\n') >= 0 {
		return nil
	}
	return bytes.Clone(rest[:end+2])
}

// errorOffset is where the JSON broke; at its end where it was only cut short.
func errorOffset(err error) int {
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, io.ErrUnexpectedEOF):
		return int(^uint(0) >> 1)
	case errors.As(err, &syntax):
		return int(syntax.ByteOffset)
	}
	return 0
}

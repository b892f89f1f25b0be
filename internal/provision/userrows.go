package provision

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// lines reads a JSON object a line; empty lines count and are passed over.
func (r *recordRows) lines(text []byte) {
	line := 0
	for part := range bytes.Lines(text) {
		if line++; len(bytes.TrimSpace(part)) > 0 {
			r.object(line, part)
		}
	}
}

// array reads the elements of a JSON array, and where each begins. After text that
// is no JSON nothing more can be read.
func (r *recordRows) array(text []byte) {
	d := json.NewDecoder(bytes.NewReader(text))
	at, line := 0, 1
	lineAt := func(offset int) int {
		line += bytes.Count(text[at:offset], []byte("\n"))
		at = offset
		return line
	}
	_, err := d.Token()
	for err == nil && d.More() {
		var element json.RawMessage
		if err = d.Decode(&element); err == nil {
			r.object(lineAt(int(d.InputOffset())-len(element)), element)
		}
	}
	if err == nil {
		_, err = d.Token() // the end of the array
	}
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the array")
		}
	}
	if err != nil {
		r.wrong(lineAt(min(max(at, whereWrong(err, int(d.InputOffset()), text)), len(text))), fmt.Errorf("read JSON: %w", err))
	}
}

// whereWrong is where in a text JSON ends to be JSON; read is what was good of it.
func whereWrong(err error, read int, text []byte) int {
	if broken, ok := errors.AsType[*json.SyntaxError](err); ok {
		return int(broken.Offset)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return len(bytes.TrimSpace(text))
	}
	return read
}

// listSeparator stands between the elements of a list in a cell.
const listSeparator = ";"

// csv reads a table whose first line names the members. An empty cell is none.
func (r *recordRows) csv(text []byte) {
	c := csv.NewReader(bytes.NewReader(text))
	header, err := c.Read()
	if err != nil {
		r.wrong(1, fmt.Errorf("read CSV: %w", err))
		return
	}
	if !r.header(header) {
		return
	}
	for {
		cells, err := c.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		line := 0
		if broken, ok := errors.AsType[*csv.ParseError](err); ok {
			r.wrong(broken.StartLine, fmt.Errorf("read CSV: %w", broken.Err))
			if !errors.Is(err, csv.ErrFieldCount) {
				return // where the next line begins is not known
			}
			continue
		}
		line, _ = c.FieldPos(0)
		r.row(line, header, cells)
	}
}

// header wants names that there are, each once: of another file nothing is a user.
func (r *recordRows) header(names []string) bool {
	known := userMembers()
	for i, name := range names {
		names[i] = strings.ToLower(strings.TrimSpace(name))
		switch _, ok := known[names[i]]; {
		case !ok:
			r.wrong(1, fmt.Errorf("the column %q: there is no such member", name))
		case slices.Contains(names[:i], names[i]):
			r.wrong(1, fmt.Errorf("the column %q is there twice", name))
		}
	}
	return len(r.errs) == 0
}

func (r *recordRows) row(line int, header, cells []string) {
	members := map[string]any{}
	for i, cell := range cells {
		if cell = strings.TrimSpace(cell); cell == "" {
			continue
		}
		switch header[i] {
		case "roles", "permissions":
			var list []any
			for part := range strings.SplitSeq(cell, listSeparator) {
				list = append(list, strings.TrimSpace(part))
			}
			members[header[i]] = list
		case "metadata", "user_metadata":
			object, err := ReadObject([]byte(cell))
			if err != nil {
				r.wrong(line, fmt.Errorf("%s: %w", header[i], err))
			}
			members[header[i]] = object
		default:
			members[header[i]] = cell
		}
	}
	r.line, r.members = append(r.line, line), append(r.members, members)
}

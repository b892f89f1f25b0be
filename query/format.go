package query

import (
	"encoding/csv"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// The media types of answers beside JSON.
const (
	typeNDJSON = "application/x-ndjson"
	typeCSV    = "text/csv"
)

// formats are what answers can be asked for in, by Accept. A listing is its rows
// in the latter two, any other answer one row.
func formats() map[string]huma.Format {
	return map[string]huma.Format{
		"application/json": jsonFormat,
		"json":             jsonFormat, // of problem+json
		typeNDJSON:         {Marshal: writeNDJSON, Unmarshal: noRequest},
		typeCSV:            {Marshal: writeCSV, Unmarshal: noRequest},
	}
}

func noRequest([]byte, any) error { return errors.New("want JSON") }

// list are the rows of an answer, and one without any values, whose members name
// the columns where there is no row.
type list struct {
	rows []any
	zero any
}

func listOf[T any](rows []T) list {
	var zero T
	l := list{zero: zero}
	for _, row := range rows {
		l.rows = append(l.rows, row)
	}
	return l
}

func rowsOf(v any) list {
	switch v := v.(type) {
	case schemas.EventPage:
		return listOf(v.Events)
	case schemas.FindingPage:
		return listOf(v.Findings)
	case schemas.IdentityPage:
		return listOf(v.Identities)
	case schemas.StatsPage:
		return listOf(v.Rows)
	case schemas.UsagePage:
		return listOf(v.Rows)
	case schemas.EventTypePage:
		return listOf(v.EventTypes)
	case schemas.InventoryPage:
		return listOf(v.Items)
	case schemas.InventoryChangePage:
		return listOf(v.Changes)
	case schemas.InventorySyncPage:
		return listOf(v.Syncs)
	case schemas.ProvisionPage:
		return listOf(v.Calls)
	case schemas.ReprocessPage:
		return listOf(v.Jobs)
	case schemas.DeadPage:
		return listOf(v.Dead)
	case eventDetail:
		return listOf([]eventRow{{EventView: v.EventView, Raw: string(v.Raw)}})
	}
	return list{rows: []any{v}, zero: v}
}

// eventRow is an event with its raw record as text: in a line of its own it
// could not be told byte for byte as JSON.
type eventRow struct {
	schemas.EventView
	Raw string `json:"raw"`
}

func writeNDJSON(w io.Writer, v any) error {
	if d, ok := v.(eventDetail); ok && d.alone {
		return writeJSON(w, v)
	}
	for _, row := range rowsOf(v).rows {
		b, err := json.Marshal(row, jsonOptions)
		if err != nil {
			return err
		}
		if _, err := w.Write(append(b, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// writeCSV writes a header and the rows (RFC 4180). A member of a member is a
// column with a dot in its name, a list of texts is joined by spaces, and what is
// nested deeper is JSON.
func writeCSV(w io.Writer, v any) error {
	if d, ok := v.(eventDetail); ok && d.alone {
		return writeJSON(w, v)
	}
	l := rowsOf(v)
	rows := l.rows
	if len(rows) == 0 {
		rows = []any{l.zero}
	}
	columns := columnsOf(reflect.TypeOf(l.zero), "")
	cells := make([]map[string]string, len(rows))
	for i, row := range rows {
		names, values, err := flatten(row)
		if err != nil {
			return err
		}
		for _, name := range names {
			if !slices.Contains(columns, name) && !hasMembers(columns, name) {
				columns = append(columns, name)
			}
		}
		cells[i] = values
	}
	out := csv.NewWriter(w)
	if err := out.Write(columns); err != nil {
		return err
	}
	record := make([]string, len(columns))
	for _, values := range cells[:len(l.rows)] {
		for i, name := range columns {
			record[i] = inert(values[name])
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// hasMembers tells whether a member that is null here has columns for its own.
func hasMembers(columns []string, name string) bool {
	return slices.ContainsFunc(columns, func(column string) bool { return strings.HasPrefix(column, name+".") })
}

// columnsOf are the names that flatten gives to the members of a type, those too
// that a value may lack: every page of a listing has the same.
func columnsOf(t reflect.Type, prefix string) []string {
	var names []string
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct || t.Implements(marshaler) {
		return nil
	}
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" || !field.IsExported():
		case field.Anonymous && name == "":
			names = append(names, columnsOf(field.Type, prefix)...)
		case prefix == "" && len(columnsOf(field.Type, ".")) > 0:
			names = append(names, columnsOf(field.Type, name+".")...)
		default:
			names = append(names, prefix+name)
		}
	}
	return names
}

var marshaler = reflect.TypeFor[interface{ MarshalJSON() ([]byte, error) }]()

// inert keeps a spreadsheet from taking a text for a formula: names of clients
// and user agents are whatever somebody sent.
// https://owasp.org/www-community/attacks/CSV_Injection
func inert(cell string) string {
	if r, _ := utf8.DecodeRuneInString(cell); cell != "" && strings.ContainsRune("=+-@＝＋－＠\t\r\n", r) {
		return "'" + cell
	}
	return cell
}

// flatten is a value's members, in their order.
func flatten(v any) (names []string, values map[string]string, err error) {
	b, err := json.Marshal(v, jsonOptions)
	if err != nil {
		return nil, nil, err
	}
	values = map[string]string{}
	add := func(name string, value jsontext.Value) error {
		text, err := cellOf(value)
		names, values[name] = append(names, name), text
		return err
	}
	err = members(b, func(name string, value jsontext.Value) error {
		if value.Kind() != '{' {
			return add(name, value)
		}
		return members(value, func(inner string, value jsontext.Value) error { return add(name+"."+inner, value) })
	})
	return names, values, err
}

// members calls f with each member of an object.
func members(object []byte, f func(name string, value jsontext.Value) error) error {
	dec := jsontext.NewDecoder(strings.NewReader(string(object)), jsontext.AllowInvalidUTF8(true))
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		text := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		if err := f(text, value); err != nil {
			return err
		}
	}
	return nil
}

func cellOf(v jsontext.Value) (string, error) {
	switch v.Kind() {
	case 'n':
		return "", nil
	case '"':
		var s string
		return s, json.Unmarshal(v, &s)
	case '[':
		var texts []string
		if json.Unmarshal(v, &texts) == nil {
			return strings.Join(texts, " "), nil
		}
	}
	return string(v), nil
}

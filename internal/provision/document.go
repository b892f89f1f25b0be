package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// readExactly reads one JSON value without losing a digit of a number. What
// follows it is an error: half of a file would be taken for all of it.
func readExactly(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("read JSON: something follows the value, at byte %d", d.InputOffset())
	}
	return nil
}

// equal compares what readExactly has read as Auth0 keeps it, which are
// JavaScript's values: 1, 1.0 and 1e0 are one number. What is missing equals null.
func equal(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a, b)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	}
	switch b.(type) {
	case []any, map[string]any:
		return false
	}
	return a == b
}

// sameNumber compares numbers as doubles; those that no double holds, as texts.
func sameNumber(a, b json.Number) bool {
	x, failed := a.Float64()
	y, alsoFailed := b.Float64()
	if failed != nil || alsoFailed != nil || math.IsInf(x, 0) || math.IsInf(y, 0) {
		return a == b
	}
	return x == y
}

// sameLogin compares an email address or a user name. Auth0 keeps both in lower
// case, in a database of its own. Source: GET /users-by-email in the OpenAPI
// document, and Auth0 Community 7763 of user names.
func sameLogin(a, b any) bool {
	x, ok := a.(string)
	y, too := b.(string)
	return ok && too && strings.EqualFold(x, y) || equal(a, b)
}

// ReadObject reads a JSON object of metadata: null removes a member.
func ReadObject(text []byte) (map[string]any, error) {
	var object map[string]any
	if err := readExactly(text, &object); err != nil {
		return nil, err
	}
	if object == nil {
		return nil, fmt.Errorf("read JSON: want an object")
	}
	return object, nil
}

// sortedNames are the names of members in their order.
func sortedNames[V any](members map[string]V) []string {
	return slices.Sorted(maps.Keys(members))
}

package provision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// readExactly reads JSON without losing a digit of a number.
func readExactly(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	return nil
}

// equal compares what readExactly has read; what is missing equals null.
func equal(a, b any) bool { return reflect.DeepEqual(a, b) }

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

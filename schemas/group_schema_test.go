package schemas_test

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// framing is what group.json says of how a value is written.
type framing struct {
	Encoding   string             `json:"x-encoding"`
	Length     int                `json:"x-length"`
	Order      []string           `json:"x-order"`
	Required   []string           `json:"required"`
	Properties map[string]framing `json:"properties"`
	Items      *framing           `json:"items"`
	Const      any                `json:"const"`
	Enum       []any              `json:"enum"`
	Pattern    string             `json:"pattern"`
}

// read takes a value as described from the front of data and returns the rest.
func (f *framing) read(t *testing.T, data []byte) (value any, rest []byte) {
	t.Helper()
	switch f.Encoding {
	case "uint8":
		return f.check(t, float64(data[0])), data[1:]
	case "varint":
		v, n := binary.Varint(data)
		return v, data[n:]
	case "bytes":
		return f.check(t, string(data[:f.Length])), data[f.Length:]
	case "sized":
		size, n := binary.Uvarint(data)
		data = data[n:]
		return string(data[:size]), data[size:]
	case "repeated":
		all := []any{}
		for len(data) > 0 {
			value, data = f.Items.read(t, data)
			all = append(all, value)
		}
		return all, nil
	}
	if len(f.Order) == 0 {
		t.Fatalf("no encoding and no order: %+v", f)
	}
	fields := map[string]any{}
	for _, name := range f.Order {
		property := f.Properties[name]
		fields[name], data = property.read(t, data)
	}
	return fields, data
}

func (f *framing) check(t *testing.T, value any) any {
	t.Helper()
	if f.Const != nil && f.Const != value || f.Enum != nil && !slices.Contains(f.Enum, value) {
		t.Errorf("%v is not what is described: %v %v", value, f.Const, f.Enum)
	}
	return value
}

// A reader in another language has nothing but group.json.
func TestGroupIsWrittenAsItsSchemaSays(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("jsonschema/group.json")
	if err != nil {
		t.Fatal(err)
	}
	var group framing
	if err := json.Unmarshal(text, &group); err != nil {
		t.Fatal(err)
	}
	for source := range 256 {
		s := schemas.Source(source)
		property := group.Properties["source"]
		if described := slices.Contains(property.Enum, any(float64(source))); described != s.Valid() {
			t.Errorf("source %d is described: %t, valid: %t", source, described, s.Valid())
		}
		if !s.Valid() {
			continue
		}
		data := encode([]schemas.Log{
			{Tenant: "acme-1", Source: s, IngestedAt: ingestedAt, Raw: make([]byte, 300), Masked: true},
			{Tenant: "acme-1", Source: s, IngestedAt: ingestedAt, Raw: []byte("{}")},
		})
		got, rest := group.read(t, data)
		want := map[string]any{
			"magic": "M2MG", "version": 1.0, "tenant": "acme-1", "source": float64(source), "ingested_at": ingestedAt.UnixMicro(),
			"logs": []any{map[string]any{"flags": 1.0, "raw": string(make([]byte, 300))}, map[string]any{"flags": 0.0, "raw": "{}"}},
		}
		if diff := cmp.Diff(want, got); diff != "" || len(rest) != 0 {
			t.Errorf("%d bytes are left, (-want +got):\n%s", len(rest), diff)
		}
	}
	if pattern := group.Properties["tenant"].Pattern; pattern != schemas.TenantPattern {
		t.Errorf("tenant is described by %s, want %s", pattern, schemas.TenantPattern)
	}
}

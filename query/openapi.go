package query

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// document is the API's description in its two forms.
type document struct {
	json, yaml []byte
}

// describe finishes the document that huma has collected and renders it, once:
// huma's own routes for it render at the first request, without a lock.
func describe(o *huma.OpenAPI) document {
	paths := make(map[string]*huma.PathItem, len(o.Paths))
	for path, item := range o.Paths {
		paths[prefix+path] = item
	}
	o.Paths = paths

	components := o.Components.Schemas
	components.Schema(reflect.TypeFor[schemas.Problem](), true, "")
	// huma describes its own errors even where they are never written.
	delete(components.Map(), "ErrorModel")
	delete(components.Map(), "ErrorDetail")
	for _, s := range components.Map() {
		neverNull(s)
	}

	j, err := o.MarshalJSON()
	if err == nil {
		var y []byte
		if y, err = o.YAML(); err == nil {
			return document{json: j, yaml: y}
		}
	}
	panic(err) // the document does not depend on any input
}

// neverNull says of lists what writeJSON does with them.
func neverNull(s *huma.Schema) {
	for _, p := range s.Properties {
		if p.Type == huma.TypeArray {
			p.Nullable = false
		}
	}
}

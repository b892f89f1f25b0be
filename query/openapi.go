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
	describeIntake(o)
	paths := make(map[string]*huma.PathItem, len(o.Paths))
	for path, item := range o.Paths {
		paths[prefix+path] = item
	}
	o.Paths = paths
	for _, item := range paths {
		offerRows(item.Get)
	}

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

// offerRows says of an answer that it comes in lines and in columns too.
func offerRows(op *huma.Operation) {
	if op == nil || op.Responses["200"] == nil {
		return
	}
	content := op.Responses["200"].Content
	if content["application/json"] == nil || content[typeBytes] != nil { // it writes its answer by itself
		return
	}
	for mediaType, text := range map[string]string{
		typeNDJSON: "A line of JSON for each row of a listing, else one.",
		typeCSV:    "A header, and a line for each row of a listing, else one (RFC 4180). A text that a spreadsheet would take for a formula has an apostrophe before it.",
	} {
		content[mediaType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Description: text}}
	}
}

// neverNull says of lists what writeJSON does with them.
func neverNull(s *huma.Schema) {
	for _, p := range s.Properties {
		if p.Type == huma.TypeArray {
			p.Nullable = false
		}
	}
}

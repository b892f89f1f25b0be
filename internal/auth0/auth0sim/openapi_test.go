package auth0sim

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sharedVariable names the folder that has data/auth0-management.openapi.json,
// Auth0's own description of the Management API. It is not a part of this
// repository.
const sharedVariable = "M2MWATCH_SHARED"

// openAPI is a description that answers are held against.
type openAPI struct{ root document }

func loadOpenAPI(t *testing.T) *openAPI {
	t.Helper()
	dir := os.Getenv(sharedVariable)
	if dir == "" {
		t.Logf("NOT VALIDATED: %s is not set, so no answer is held against Auth0's OpenAPI (make test-openapi)", sharedVariable)
		return nil
	}
	data, err := os.ReadFile(filepath.Join(dir, "data", "auth0-management.openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := readJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	return &openAPI{v.(document)}
}

// schema is that of an answer; nil where the description has none.
func (o *openAPI) schema(method, path string, code int) document {
	segments := strings.Split(path, "/")
	for _, template := range o.root.child("paths").names() {
		parts := strings.Split(template, "/")
		fits := len(parts) == len(segments)
		for i := 0; fits && i < len(parts); i++ {
			fits = strings.HasPrefix(parts[i], "{") || parts[i] == segments[i]
		}
		if operation := o.root.child("paths").child(template).child(strings.ToLower(method)); fits && operation != nil {
			return operation.child("responses").child(strconv.Itoa(code)).child("content").child("application/json").child("schema")
		}
	}
	return nil
}

func (o *openAPI) resolve(schema document) document {
	for schema.text("$ref") != "" {
		schema = o.root.child("components").child("schemas").child(schema.text("$ref")[strings.LastIndex(schema.text("$ref"), "/")+1:])
	}
	return schema
}

// check tells where a value is not as a schema says; "" if nowhere.
func (o *openAPI) check(at string, schema document, v any) string {
	schema = o.resolve(schema)
	if v == nil && (schema.flag("nullable") || slices.Contains(schema.texts("type"), "null") || schema["type"] == nil) {
		return ""
	}
	for _, each := range schema.documents("allOf") {
		if wrong := o.check(at, each, v); wrong != "" {
			return wrong
		}
	}
	for _, choice := range []string{"oneOf", "anyOf"} {
		if wrong := o.checkChoice(at, schema.documents(choice), v); wrong != "" {
			return wrong
		}
	}
	if wrong := checkType(at, schema, v); wrong != "" {
		return wrong
	}
	switch v := v.(type) {
	case document:
		return o.checkObject(at, schema, v)
	case []any:
		for i, item := range v {
			if wrong := o.check(fmt.Sprintf("%s[%d]", at, i), schema.child("items"), item); wrong != "" {
				return wrong
			}
		}
	}
	return ""
}

func (o *openAPI) checkChoice(at string, choices []document, v any) string {
	var all []string
	for _, choice := range choices {
		wrong := o.check(at, choice, v)
		if wrong == "" {
			return ""
		}
		all = append(all, wrong)
	}
	return strings.Join(all, " or ")
}

func checkType(at string, schema document, v any) string {
	types := schema.texts("type")
	if one := schema.text("type"); one != "" {
		types = []string{one}
	}
	got := string(kindOf(v))
	if len(types) > 0 && !slices.Contains(types, got) && (got != "integer" || !slices.Contains(types, "number")) {
		return fmt.Sprintf("%s is %s, not %v", at, got, types)
	}
	if allowed, ok := schema["enum"].([]any); ok && !slices.ContainsFunc(allowed, func(a any) bool { return fmt.Sprint(a) == fmt.Sprint(v) }) {
		return fmt.Sprintf("%s is %v, none of %v", at, v, allowed)
	}
	return ""
}

func (o *openAPI) checkObject(at string, schema, d document) string {
	for _, name := range schema.texts("required") {
		if _, ok := d[name]; !ok {
			return at + " lacks " + name
		}
	}
	for _, name := range d.names() {
		member, known := schema.child("properties")[name].(document)
		extra, others := schema["additionalProperties"]
		switch {
		case known:
			if wrong := o.check(at+"."+name, member, d[name]); wrong != "" {
				return wrong
			}
		case others && extra == false:
			return at + " has " + name
		}
	}
	return ""
}

// beyondOpenAPI are answers that the description does not allow, and why they
// are given all the same.
func beyondOpenAPI() map[string]string {
	return map[string]string{
		"credentials[0] has alg":                   "recordings tell of credentials whole where a client is made",
		"credentials[0] has created_at":            "the same, of certificates",
		"token_vault_privileged_access has grants": "recordings have them",
		"has enabled_clients":                      "recordings have them",
		"has provisioning_ticket_url":              "recordings have it",
		"filters[0].name is security":              "recordings have this filter in priority streams",
		"scope is null":                            "recordings have null in logs, and the schemas of logs allow it",
		"client_grants[0] has subject_type":        "recordings have it",
		"has grant_id":                             "recordings have it",
		"has owner_id":                             "recordings have it in roles of organizations",
		"encryption_key lacks pem":                 "recordings never tell the key again",
		"has third_party_client_access":            "recordings have it",
	}
}

// TestAnswersAreAsTheOpenAPISays holds every answer to a recorded request, and
// every listing of the population, against Auth0's description.
func TestAnswersAreAsTheOpenAPISays(t *testing.T) {
	t.Parallel()
	api := loadOpenAPI(t)
	if api == nil {
		return
	}
	checked, wrongs := 0, make(map[string]int)
	hold := func(method, path string, code int, body any) {
		schema := api.schema(method, path, code)
		if schema == nil || body == nil {
			return
		}
		checked++
		if wrong := api.check("answer", schema, body); wrong != "" {
			wrongs[method+" "+template(path)+" "+strconv.Itoa(code)+": "+wrong]++
		}
	}
	files := recordedIn(t, recordings(t))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		r := newReplayer()
		for n := range files[name] {
			i := &files[name][n]
			code, got := r.send(t, i)
			r.learn(decoded(i.Response.Body), got, i.Request.Method == "POST")
			target, _ := url.Parse(i.Request.URL)
			hold(i.Request.Method, strings.TrimPrefix(target.EscapedPath(), apiPrefix), code, got)
		}
	}
	tenant := New(Config{Seed: 1, Machines: 12, People: 12})
	tenant.AddLogStream(Stream{Endpoint: "https://watch.example", Authorization: "s3"})
	tenant.KeepHistory(historyEnd.AddDate(0, 0, -1), historyEnd, 400)
	for _, path := range []string{"/users", "/clients", "/client-grants", "/resource-servers", "/connections", "/log-streams", "/logs", "/tenants/settings", "/keys/signing", "/roles", "/actions/actions"} {
		for _, query := range []string{"", "?include_totals=true", "?take=10"} {
			code, got := answerTo(t, tenant, "GET", path+query, "")
			hold("GET", path, code, got)
		}
	}
	reasons, used := beyondOpenAPI(), make(map[string]bool)
	for _, wrong := range slices.Sorted(maps.Keys(wrongs)) {
		known := false
		for part := range reasons {
			if strings.Contains(wrong, part) {
				known, used[part] = true, true
			}
		}
		if !known {
			t.Errorf("%d times %.400s", wrongs[wrong], wrong)
		}
	}
	for part := range reasons {
		if !used[part] {
			t.Errorf("no answer needs %q", part)
		}
	}
	t.Logf("%d answers held against the OpenAPI", checked)
}

// template leaves ids out of a path.
func template(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if len(s) > 18 || strings.Contains(s, "_") && len(s) > 12 {
			segments[i] = "{id}"
		}
	}
	return cmp.Or(strings.Join(segments, "/"), "/")
}

package query

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// securityWebhook is the scheme of what faces the internet.
const securityWebhook = "webhook"

// describeIntake adds what the ingest stage serves: a caller has one document.
// The stages meet in schemas alone, so nothing here is made of its code; cmd's
// TestIntakeAnswersAsItIsDescribed holds the two together.
func describeIntake(o *huma.OpenAPI) {
	o.Components.SecuritySchemes[securityWebhook] = &huma.SecurityScheme{
		Type: "apiKey", In: "header", Name: "Authorization",
		Description: "A secret of the tenant in the configuration (tenants[].secrets, or tenants[].custom_secrets for custom events), with Bearer before it or without.",
	}
	o.Components.Schemas.Map()["CloudEvent"] = cloudEventSchema()
	event := &huma.Schema{Ref: "#/components/schemas/CloudEvent"}
	events := &huma.Schema{Type: huma.TypeArray, Items: event}
	unsaid := &huma.Schema{}
	accepted := o.Components.Schemas.Schema(reflect.TypeFor[schemas.Accepted](), true, "Accepted")
	for _, in := range []intake{
		{
			id: "receive-logs", path: "/logs/{tenant}", summary: "Take logs of a log stream",
			text: "The webhook of an Auth0 log stream. A body is JSON lines, an array, {\"logs\": […]} or single objects, gzip or not, whatever its content type says. " +
				"200 means that every record is on disk, those that cannot be read among the dead logs. Anything else: send the body again; what comes twice is stored once.",
			bodies: map[string]*huma.Schema{"application/json": unsaid, typeNDJSON: unsaid}, secret: true,
			errors: []int{http.StatusForbidden},
		},
		{
			id: "receive-custom-events", path: "/custom/{tenant}", summary: "Take custom events",
			text: "CloudEvents 1.0 in JSON, in structured mode: one, an array or lines, gzip or not. time is needed; source and id make the log_id. " +
				"One event that cannot be taken refuses the body, of which nothing is stored then; the detail names it by its index.",
			bodies: map[string]*huma.Schema{
				"application/cloudevents+json": event, "application/cloudevents-batch+json": events, "application/json": unsaid, typeNDJSON: unsaid,
			},
			secret: true,
			errors: []int{http.StatusForbidden},
		},
		{
			id: "import-logs", path: "/import/{tenant}", summary: "Take history",
			text:   "Logs of the past, in the forms of receive-logs. They alert nobody.",
			bodies: map[string]*huma.Schema{"application/json": unsaid, typeNDJSON: unsaid}, errors: []int{http.StatusNotFound},
		},
	} {
		o.Paths[in.path] = &huma.PathItem{Post: in.operation(accepted)}
	}
}

// intake is an operation that takes records.
type intake struct {
	id, path, summary, text string
	bodies                  map[string]*huma.Schema // by media type
	secret                  bool                    // asks for a secret of the tenant, and no token of the API
	errors                  []int                   // beside those that all of them have
}

// intakeTexts are those of errorTexts that say something else here.
var intakeTexts = map[int]string{
	http.StatusBadRequest:            "The body cannot be taken; the detail says why. Where it ended early: send it again.",
	http.StatusUnauthorized:          "The secret or the token is missing or wrong, or the tenant is none that is configured.",
	http.StatusForbidden:             "ingest.allow does not name the address that this came from.",
	http.StatusNotFound:              "The tenant is none that is configured.",
	http.StatusRequestTimeout:        "The body did not come in its time; send it again, in smaller parts.",
	http.StatusRequestEntityTooLarge: "The body is larger than ingest.max_body, a body of custom events also where it is larger than an eighth of ingest.memory; send it in parts.",
	http.StatusServiceUnavailable:    "Too much is arriving, or it could not be stored. Nothing is lost: send the body again after Retry-After seconds.",
}

func (in *intake) operation(accepted *huma.Schema) *huma.Operation {
	op := &huma.Operation{
		OperationID: in.id, Method: http.MethodPost, Path: in.path, Summary: in.summary, Description: in.text,
		Parameters: []*huma.Param{{
			Name: "tenant", In: "path", Required: true, Example: "acme",
			Schema: &huma.Schema{Type: huma.TypeString, Pattern: "^[a-z0-9-]{1,63}$"},
		}},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{}},
		Responses: map[string]*huma.Response{
			statusKey(http.StatusOK): {Description: "OK", Content: map[string]*huma.MediaType{"application/json": {Schema: accepted}}},
		},
	}
	for mediaType, schema := range in.bodies {
		op.RequestBody.Content[mediaType] = &huma.MediaType{Schema: schema}
	}
	if in.secret {
		op.Security = []map[string][]string{{securityWebhook: {}}}
	}
	always := []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable}
	for _, status := range append(always, in.errors...) {
		op.Responses[statusKey(status)] = problemResponse(intakeTexts[status])
	}
	return op
}

// cloudEventSchema describes what schemas.CloudEvent checks.
func cloudEventSchema() *huma.Schema {
	longest := 1024
	text := func(description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: &longest, Description: description}
	}
	return &huma.Schema{
		Type:        huma.TypeObject,
		Description: "A CloudEvent 1.0. Of data client_id, user_id, jti, ip and others have columns; all of it is kept.",
		Properties: map[string]*huma.Schema{
			"specversion": {Type: huma.TypeString, Enum: []any{"1.0"}},
			"id":          text("With source, what makes a repeat the same event."),
			"source":      text("Who tells of it."),
			"type":        {Type: huma.TypeString, Pattern: "^[A-Za-z0-9._/:-]{1,128}$", Description: "token.used tells of the use of an access token, by its jti in data."},
			"time":        {Type: huma.TypeString, Format: "date-time", Description: "When it happened; the same in each repeat."},
			"data":        {Type: huma.TypeObject},
		},
		Required:             []string{"specversion", "id", "source", "type", "time"},
		AdditionalProperties: true,
	}
}

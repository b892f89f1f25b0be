package auth0sim

import (
	"cmp"
	"net/http"
	"time"
)

func logStreamFields() fields {
	filter := fields{"type": enumMember("category"), "name": enumMember(
		"auth.ancillary.fail", "auth.ancillary.success", "auth.consent.fail", "auth.consent.success", "auth.login.fail", "auth.login.notification", "auth.login.success",
		"auth.logout.fail", "auth.logout.success", "auth.signup.fail", "auth.signup.success", "auth.silent_auth.fail", "auth.silent_auth.success",
		"auth.token_exchange.fail", "auth.token_exchange.success", "management.fail", "management.success", "scim.event", "system.notification",
		"user.fail", "user.notification", "user.success", "actions", "other", "security")}
	pii := fields{"log_fields": listMember(1, 0, textMember(1, 0)), "method": enumMember("mask", "hash"), "algorithm": enumMember("xxhash")}.require("log_fields")
	return fields{
		"name": textMember(1, 0), "type": enumMember("http", "eventbridge", "eventgrid", "datadog", "splunk", "sumo", "segment", "mixpanel"),
		"sink": objectMember(nil), "filters": listMember(0, 0, objectMember(filter)).orNull(), "isPriority": flagMember(), "pii_config": objectMember(pii).orNull(),
		"startFrom": textMember(1, 0).matching(`^\d{4}-\d\d-\d\d`),
	}
}

// webhookFields are those of the sink of type http. Only what listens on the
// same machine, as a test's receiver does, may be without TLS.
func webhookFields() fields {
	header := fields{"header": textMember(1, 0), "value": textMember(1, 0)}.require("header", "value")
	return fields{
		"httpEndpoint":      textMember(1, 0).matching(`^(https://|http://(127\.0\.0\.1|\[::1\]|localhost)[:/])`),
		"httpAuthorization": textMember(0, 0), "httpContentType": textMember(0, 0),
		"httpContentFormat": enumMember("JSONLINES", "JSONARRAY", "JSONOBJECT"), "httpCustomHeaders": listMember(0, 0, objectMember(header)),
	}.require("httpEndpoint")
}

func logStreamOperations() []operation {
	update := logStreamFields().without("type", "startFrom").and(fields{"status": enumMember(streamActive, streamPaused)})
	return []operation{
		{"GET", "/log-streams", []string{"read:log_streams"}, false, "Get log streams", nil, listStreams},
		{"POST", "/log-streams", []string{"create:log_streams"}, false, "Create a log stream", logStreamFields().require("type", "sink"), createStream},
		{"GET", "/log-streams/{id}", []string{"read:log_streams"}, false, "Get a log stream", nil, showStream},
		{"PATCH", "/log-streams/{id}", []string{"update:log_streams"}, false, "Update a log stream", update, updateStream},
		{"DELETE", "/log-streams/{id}", []string{"delete:log_streams"}, false, "Delete a log stream", nil, deleteStream},
	}
}

// sinkOf and webhookOf are a webhook as the API and as deliveries know it.
func sinkOf(s Stream) document {
	sink := document{"httpEndpoint": s.Endpoint, "httpContentFormat": string(s.Format), "httpContentType": s.ContentType}
	if s.Authorization != "" {
		sink["httpAuthorization"] = s.Authorization
	}
	return sink
}

func webhookOf(d document) Stream {
	sink := d.child("sink")
	s := Stream{
		Endpoint: sink.text("httpEndpoint"), Authorization: sink.text("httpAuthorization"), Format: Format(sink.text("httpContentFormat")),
		ContentType: sink.text("httpContentType"), Header: make(http.Header),
	}
	for _, h := range sink.documents("httpCustomHeaders") {
		s.Header.Add(h.text("header"), h.text("value"))
	}
	for _, filter := range d.documents("filters") {
		s.Categories = append(s.Categories, filter.text("name"))
	}
	return s
}

// delivering is what delivers to a stream, nil where nothing does.
func (t *Tenant) delivering(id string) *logStream {
	for _, l := range t.streamList() {
		if l.id == id {
			return l
		}
	}
	return nil
}

// streamAnswer is a stream as it is told, with its present state.
func (c *apiCall) streamAnswer(d document) document {
	answer := d.clone()
	answer.setDefaults(document{"status": streamActive})
	if l := c.t.delivering(d.text("id")); l != nil {
		_, answer["status"] = l.now()
	}
	if sink := answer.child("sink"); sink["mixpanelServiceAccountPassword"] != nil {
		sink["mixpanelServiceAccountPassword"] = "********"
	}
	return answer
}

func (c *apiCall) stream(id string) (document, error) {
	if d := c.streams.get(id); d != nil {
		return d, nil
	}
	return nil, notFound("", "The log stream does not exist.")
}

// listStreams answers all of them. The API documents no parameters.
func listStreams(c *apiCall) (reply, error) {
	for name := range c.query {
		return reply{}, badRequest("invalid_query_string", "Query validation error: 'Additional properties not allowed: %s'.", name)
	}
	docs := c.streams.all(nil)
	for i, d := range docs {
		docs[i] = c.streamAnswer(d)
	}
	return reply{http.StatusOK, docs}, nil
}

func showStream(c *apiCall) (reply, error) {
	d, err := c.stream(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, c.streamAnswer(d)}, nil
}

func createStream(c *apiCall) (reply, error) {
	d := c.object().clone()
	if err := checkSink(d); err != nil {
		return reply{}, err
	}
	if len(c.streams.ids) >= c.t.cfg.MaxLogStreams {
		return reply{}, conflict("", "You have reached the maximum number of log streams for your account.")
	}
	prioritize(d)
	from := d.text("startFrom")
	delete(d, "startFrom")
	removeNulls(d)
	stream := c.t.startStream(webhookOf(d))
	d["id"] = stream.id
	if d.text("type") != "http" { // nothing speaks to other vendors' sinks
		c.t.stopStream(stream.id)
	} else if at, err := time.Parse(time.RFC3339, from); err == nil {
		c.replay(stream, at)
	}
	if d.text("type") == "eventbridge" {
		d.child("sink")["awsPartnerEventSource"] = "aws.partner/auth0.com/" + c.t.cfg.Name + "-" + hexString(c.rng, 32) + "/auth0.logs"
	}
	c.streams.put(stream.id, d)
	return reply{http.StatusOK, c.streamAnswer(d)}, nil
}

// replay queues what is kept from a time on.
func (c *apiCall) replay(stream *logStream, from time.Time) {
	for _, l := range c.t.keptLogs() {
		if date, err := time.Parse(time.RFC3339, l.document().text("date")); err == nil && !date.Before(from) {
			stream.push(l.raw, categoryOf(l.raw))
		}
	}
}

func checkSink(d document) error {
	if d.text("type") != "http" {
		return nil
	}
	if wrong := webhookFields().check("sink", d.child("sink")); wrong != "" {
		return badRequest("invalid_body", "Payload validation error: %s.", wrong)
	}
	return nil
}

// prioritize gives a priority stream the one filter that it has, whatever was
// asked for.
func prioritize(d document) {
	if d.flag("isPriority") {
		d["filters"] = []any{document{"type": "category", "name": "security"}}
	}
}

func updateStream(c *apiCall) (reply, error) {
	d, err := c.stream(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	after := d.clone()
	changes := c.object().clone()
	status, changed := changes["status"].(string)
	delete(changes, "status")
	after.set(changes)
	if err := checkSink(after); err != nil {
		return reply{}, err
	}
	prioritize(after)
	if l := c.t.delivering(d.text("id")); l != nil {
		if !changed {
			_, status = l.now()
		}
		to := webhookOf(after)
		to.Format, to.ContentType = cmp.Or(to.Format, FormatJSONLines), cmp.Or(to.ContentType, "application/json")
		l.change(to, status)
	} else if changed {
		after["status"] = status
	}
	c.streams.put(d.text("id"), after)
	return reply{http.StatusOK, c.streamAnswer(after)}, nil
}

// deleteStream answers 204 whether the stream was there or not.
func deleteStream(c *apiCall) (reply, error) {
	if c.streams.remove(c.params["id"]) {
		c.t.stopStream(c.params["id"])
	}
	return reply{http.StatusNoContent, nil}, nil
}

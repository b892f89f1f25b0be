package auth0sim

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	apiPrefix  = "/api/v2"
	maxAPIBody = 1 << 20
)

// operation is one call of the Management API.
type operation struct {
	method, path string   // {name} stands for one segment
	scopes       []string // any of them, or all
	all          bool
	title        string // what its log rows are called
	body         fields // nil where it takes no object
	handle       func(*apiCall) (reply, error)
}

// reply is an answer before it is written. A nil body is none.
type reply struct {
	status int
	body   any
}

// apiCall is one call while it is served; the store is locked meanwhile.
type apiCall struct {
	*store
	t       *Tenant
	op      *operation
	by      *actor
	params  map[string]string
	query   url.Values
	header  http.Header // of the request
	raw     []byte
	body    any
	answers http.Header // of the answer
	secrets []string    // what the answer tells that is secret
}

// object is the body of a call that takes one.
func (c *apiCall) object() document {
	d, _ := c.body.(document)
	return d
}

// operations are all that the tenant serves, by resource.
func operations() []operation {
	return slices.Concat(
		clientOperations(), credentialOperations(), clientGrantOperations(), resourceServerOperations(),
		userOperations(), userRoleOperations(), userPermissionOperations(), userBlockOperations(), identityOperations(), roleOperations(),
		logOperations(), logStreamOperations(),
		connectionOperations(), organizationOperations(), organizationMemberOperations(), organizationGrantOperations(), organizationConnectionOperations(),
		jobOperations(), actionOperations(), settingsOperations(), scimOperations(), discoveryDomainOperations(), invitationOperations(), sessionOperations(),
	)
}

// splitPath splits what comes after the prefix into segments and unescapes
// each: an id may hold an escaped slash.
func splitPath(escaped string) ([]string, bool) {
	rest, ok := strings.CutPrefix(escaped, apiPrefix+"/")
	if !ok {
		return nil, false
	}
	segments := strings.Split(rest, "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return nil, false
		}
		segments[i] = plain
	}
	return segments, true
}

// match returns what the path's segments hold.
func (o *operation) match(method string, segments []string) (map[string]string, bool) {
	pattern := strings.Split(o.path[1:], "/")
	if method != o.method || len(pattern) != len(segments) {
		return nil, false
	}
	params := make(map[string]string)
	for i, p := range pattern {
		switch {
		case strings.HasPrefix(p, "{"):
			params[p[1:len(p)-1]] = segments[i]
		case p != segments[i]:
			return nil, false
		}
	}
	return params, true
}

// serveAPI serves the Management API: route, token, scope, body, deed, log row.
func (t *Tenant) serveAPI(w http.ResponseWriter, r *http.Request) {
	c := &apiCall{t: t, store: t.api(), query: r.URL.Query(), header: r.Header, answers: w.Header()}
	segments, ok := splitPath(r.URL.EscapedPath())
	for i := range t.operations {
		if params, fits := t.operations[i].match(r.Method, segments); ok && fits {
			c.op, c.params = &t.operations[i], params
			break
		}
	}
	if c.op == nil {
		write(w, reply{}, notFound("", "Not Found"))
		return
	}
	c.raw, _ = io.ReadAll(http.MaxBytesReader(w, r.Body, maxAPIBody)) // what is cut off is no JSON
	answer, err := c.serve(r)
	write(w, answer, err)
}

// serve does the call under the store's lock, so that log rows are in the order
// of what they tell.
func (c *apiCall) serve(r *http.Request) (reply, error) {
	by, err := c.t.actorOf(r, c.op)
	if by == nil {
		return reply{}, err
	}
	c.by = by
	c.mu.Lock()
	defer c.mu.Unlock()
	var answer reply
	if err == nil {
		if err = c.read(); err == nil {
			answer, err = c.op.handle(c)
		}
	}
	c.log(r, answer, err)
	if err != nil || answer.body == nil {
		return answer, err
	}
	data, err := json.Marshal(answer.body) // while nobody changes it
	answer.body = json.RawMessage(data)
	return answer, err
}

// read reads the body of a call that takes an object.
func (c *apiCall) read() error {
	if c.op.body == nil {
		return nil
	}
	body, err := readJSON(c.raw)
	if err != nil {
		return badRequest("invalid_body", "Invalid request payload JSON format")
	}
	c.body = body
	return checkBody(c.op.body, body)
}

// write answers with what was done, or with why it was not.
func write(w http.ResponseWriter, answer reply, err error) {
	var refused *apiError
	switch {
	case errors.As(err, &refused):
		answer = reply{refused.status, refused.body()}
	case err != nil:
		answer = reply{http.StatusInternalServerError, document{"statusCode": 500, "error": "Internal Server Error", "message": err.Error()}}
	}
	if answer.body == nil {
		w.WriteHeader(answer.status)
		return
	}
	data, err := json.Marshal(answer.body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answerRaw(w, answer.status, string(data))
}

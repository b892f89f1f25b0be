package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// liveCall is a call of Auth0 that a command made, and its answer.
type liveCall struct {
	Command string          `json:"command"`
	Side    string          `json:"side"`
	Method  string          `json:"method"`
	Path    string          `json:"path"`
	Status  int             `json:"status"`
	Request json.RawMessage `json:"request,omitempty"`
	Answer  json.RawMessage `json:"answer,omitempty"`
}

// recorder passes calls on and keeps them, without their secrets.
type recorder struct {
	next    http.RoundTripper
	secrets *secrets // all that went by, for whoever looks whether one was kept

	mu    sync.Mutex // guards what follows
	calls []liveCall
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	var asked []byte
	if request.Body != nil {
		var err error
		if asked, err = io.ReadAll(request.Body); err != nil {
			return nil, err
		}
		request.Body.Close()
		request = request.Clone(request.Context())
		request.Body = io.NopCloser(bytes.NewReader(asked))
	}
	response, err := r.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(answer))
	r.secrets.note(asked)
	r.secrets.note(answer)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, liveCall{
		Method: request.Method, Path: request.URL.EscapedPath(), Status: response.StatusCode, Request: withoutSecrets(asked), Answer: withoutSecrets(answer),
	})
	return response, nil
}

// take returns the calls since the last time, but for those that were too many:
// they were made again.
func (r *recorder) take(side, command string) []liveCall {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := slices.DeleteFunc(r.calls, func(c liveCall) bool { return c.Status == http.StatusTooManyRequests })
	r.calls = nil
	for i := range calls {
		calls[i].Side, calls[i].Command = side, command
	}
	return calls
}

// withoutSecrets is a body as JSON with its secrets replaced; what is neither JSON
// nor a form is left out.
func withoutSecrets(body []byte) json.RawMessage {
	var document any
	if len(body) == 0 {
		return nil
	}
	if json.Unmarshal(body, &document) != nil {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return json.RawMessage(`"(left out)"`)
		}
		members := map[string]any{}
		for name := range form {
			members[name] = form.Get(name)
		}
		document = members
	}
	text, err := json.Marshal(hideAll(document))
	if err != nil {
		return json.RawMessage(`"(left out)"`)
	}
	return text
}

func hideAll(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if slices.Contains(secretMembers, name) || slices.Contains([]string{"signing_keys", "encryption_key", "id_token"}, name) {
				v[name] = "***"
				continue
			}
			v[name] = hideAll(member)
		}
	case []any:
		for i := range v {
			v[i] = hideAll(v[i])
		}
	}
	return value
}

// idSegment is a part of a path that is another in each tenant.
var idSegment = regexp.MustCompile(`^((cgr|rol|lst|cred|con|org|rs|cli)_\w+|[0-9A-Za-z]{24,32}|auth0%7C.*|https%3A.*)$`)

// route is a path without ids.
func (c *liveCall) route() string {
	segments := strings.Split(c.Path, "/")
	for i, s := range segments {
		if idSegment.MatchString(s) {
			segments[i] = "*"
		}
	}
	return c.Method + " " + strings.Join(segments, "/")
}

// collections are lists of all that a tenant has: of them only what a run has made
// itself is compared.
var collections = regexp.MustCompile(`^GET /api/v2/(clients|roles|users|resource-servers|log-streams|connections|client-grants)$`)

// shape are the members of an answer, by their paths.
func (c *liveCall) shape(prefix string) []string {
	var document any
	if json.Unmarshal(c.Answer, &document) != nil {
		return nil
	}
	set := map[string]bool{}
	own := collections.MatchString(c.route())
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for name, member := range v {
				set[path+"."+name] = true
				walk(path+"."+name, member)
			}
		case []any:
			for _, element := range v {
				if text, err := json.Marshal(element); err != nil || own && !strings.Contains(string(text), prefix) {
					continue
				}
				walk(path+"[]", element)
			}
		}
	}
	walk("", document)
	return slices.Sorted(maps.Keys(set))
}

// disagreement is where a real tenant does otherwise than the simulated one.
type disagreement struct{ command, call, what string }

func (d disagreement) String() string { return d.command + ": " + d.call + ": " + d.what }

// callSummary is what is compared of a call.
type callSummary struct {
	route  string
	status int
	shape  []string
}

// callSummaries joins the pages of a collection: how many there are depends on what
// else a tenant has.
func callSummaries(calls []liveCall, prefix string) (list []callSummary) {
	for i := range calls {
		next := callSummary{calls[i].route(), calls[i].Status, calls[i].shape(prefix)}
		if collections.MatchString(next.route) {
			next.shape = without(next.shape, []string{".next"})
			if n := len(list); n > 0 && list[n-1].route == next.route && list[n-1].status == next.status {
				list[n-1].shape = slices.Compact(slices.Sorted(slices.Values(append(list[n-1].shape, next.shape...))))
				continue
			}
		}
		list = append(list, next)
	}
	return list
}

// compareCalls compares what a command did in both tenants. The n-th call of a
// route is compared with the n-th of the same one.
func compareCalls(command, prefix string, live, simulated []liveCall) (list []disagreement) {
	did, was := callSummaries(live, prefix), callSummaries(simulated, prefix)
	routes := func(calls []callSummary) (all []string) {
		for i := range calls {
			all = append(all, calls[i].route)
		}
		return all
	}
	if l, s := routes(did), routes(was); !slices.Equal(l, s) {
		list = append(list, disagreement{command, "its calls", fmt.Sprintf("live %q, simulated %q", l, s)})
	}
	for _, call := range did {
		at := slices.IndexFunc(was, func(other callSummary) bool { return other.route == call.route })
		if at < 0 {
			continue // told above
		}
		other := was[at]
		was = slices.Delete(was, at, at+1)
		if call.status != other.status {
			list = append(list, disagreement{command, call.route, fmt.Sprintf("live %d, simulated %d", call.status, other.status)})
			continue
		}
		if only := without(call.shape, other.shape); len(only) > 0 {
			list = append(list, disagreement{command, call.route, fmt.Sprintf("live alone has %q", only)})
		}
		if only := without(other.shape, call.shape); len(only) > 0 {
			list = append(list, disagreement{command, call.route, fmt.Sprintf("simulated alone has %q", only)})
		}
	}
	return list
}

// without are the elements of a list that another does not have.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

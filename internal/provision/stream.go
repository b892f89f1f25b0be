package provision

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// The states of a log stream. Auth0 alone suspends one.
const (
	StreamActive    = "active"
	StreamPaused    = "paused"
	StreamSuspended = "suspended"
)

// StreamWebhook is the type of a log stream that delivers to m2mwatch: Auth0's
// Custom Webhook.
const StreamWebhook = "http"

// Stream is what is read of a log stream; Raw is all of it, as it was answered, but
// for what opens its sink: Auth0 answers that in clear.
type Stream struct {
	Raw json.RawMessage `json:"-"`

	ID       string `json:"id"`
	Name     string `json:"name"`
	Type     string `json:"type"`
	Status   string `json:"status"`
	Priority bool   `json:"isPriority"`
	Filters  []struct {
		Name string `json:"name"`
	} `json:"filters"`
	Endpoint, Format string `json:"-"` // of a webhook

	answered json.RawMessage // with its secrets
	sink     map[string]any  // with its secrets
}

// String keeps the secrets out of every text.
func (s Stream) String() string { return "log stream " + s.ID }

// GoString keeps them out of %#v.
func (s Stream) GoString() string { return s.String() }

// Categories are those that it delivers; none is all.
func (s *Stream) Categories() []string {
	var names []string
	for _, f := range s.Filters {
		names = append(names, f.Name)
	}
	return names
}

// Health says what its status means, "" where nothing is to be done.
//
// Source: Auth0's documentation, "Check Log Stream Health".
func (s *Stream) Health() string {
	switch s.Status {
	case StreamActive, "":
		return ""
	case StreamPaused:
		return "paused by somebody: logs wait, as long as the tenant keeps them, until it is resumed"
	case StreamSuspended:
		return "suspended by Auth0, since deliveries failed for days: see why (m2mwatch doctor --url), then resume it; a new stream with a start in the past brings what was not delivered"
	}
	return "its status is one that m2mwatch does not know"
}

// hidden stands in the place of what opens a sink.
const hidden = "***"

// plainSink are the members of sinks that open nothing. Whatever else a sink has
// is hidden, so that a member that Auth0 adds is, too.
var plainSink = []string{
	"httpContentType", "httpContentFormat", "awsAccountId", "awsRegion", "awsPartnerEventSource",
	"azureSubscriptionId", "azureRegion", "azureResourceGroup", "azurePartnerTopic", "datadogRegion",
	"splunkDomain", "splunkPort", "splunkSecure", "mixpanelRegion", "mixpanelProjectId", "mixpanelServiceAccountUsername",
}

func readStream(raw json.RawMessage) (Stream, error) {
	s := Stream{answered: raw}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("read the log stream: %w", err)
	}
	var all, shown map[string]any
	if err := readExactly(raw, &all); err != nil {
		return s, err
	}
	if err := readExactly(raw, &shown); err != nil {
		return s, err
	}
	s.sink, _ = all["sink"].(map[string]any)
	if sink, ok := shown["sink"].(map[string]any); ok {
		hideSink(sink)
		s.Endpoint, _ = sink["httpEndpoint"].(string)
		s.Format, _ = sink["httpContentFormat"].(string)
	}
	var err error
	s.Raw, err = json.Marshal(shown)
	return s, err
}

// hideSink takes out of a sink what opens it. Headers keep their names.
func hideSink(sink map[string]any) {
	for name, value := range sink {
		switch {
		case value == nil || slices.Contains(plainSink, name):
		case name == "httpEndpoint":
			sink[name] = hideURL(value)
		case name == "httpCustomHeaders":
			headers, _ := value.([]any)
			for _, h := range headers {
				if header, ok := h.(map[string]any); ok {
					header["value"] = hidden
				}
			}
		default:
			sink[name] = hidden
		}
	}
}

// hideURL hides what an address may carry to be let in.
func hideURL(value any) string {
	text, _ := value.(string)
	u, err := url.Parse(text)
	if err != nil {
		return hidden
	}
	if u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		return text
	}
	at, query := "", ""
	if u.User != nil {
		at = hidden + "@"
	}
	if u.RawQuery != "" {
		query = "?" + hidden
	}
	return u.Scheme + "://" + at + u.Host + u.EscapedPath() + query
}

// LogCategories are the categories that a log stream can be narrowed to, in their
// order.
func LogCategories() []string { return categoriesWhere(func(schemas.EventType) bool { return true }) }

// MachineCategories are those of them in which machines play a part by the event
// types that they carry: what a log stream has to deliver for machines to be
// watched.
func MachineCategories() []string {
	return categoriesWhere(func(t schemas.EventType) bool { return t.Machine != schemas.MachineClassNone })
}

func categoriesWhere(fits func(schemas.EventType) bool) []string {
	var names []string
	for _, t := range schemas.EventTypes().All() {
		if t.Category != "" && fits(t) && !slices.Contains(names, t.Category) {
			names = append(names, t.Category)
		}
	}
	slices.Sort(names)
	return names
}

func filtersOf(categories []string) []any {
	filters := []any{}
	for _, name := range categories {
		filters = append(filters, map[string]any{"type": "category", "name": name})
	}
	return filters
}

// Sink is where a webhook delivers and what it sends to be let in: a secret.
func (s *Stream) Sink() (endpoint, authorization string) {
	endpoint, _ = s.sink["httpEndpoint"].(string)
	authorization, _ = s.sink["httpAuthorization"].(string)
	return endpoint, authorization
}

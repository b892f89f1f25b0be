package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// PagerDutyURL takes events of services in the United States; those in Europe
// have https://events.eu.pagerduty.com/v2/enqueue.
const PagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// PagerDutyConfig says which service of PagerDuty is told.
type PagerDutyConfig struct {
	// Name is the channel's name in records, logs and metrics.
	Name string
	// URL takes events. Default PagerDutyURL.
	URL string
	// RoutingKey is the integration key of the service: Events API v2.
	RoutingKey string
	HTTP
}

// PagerDuty triggers an incident for a finding, and resolves it when the finding
// is withdrawn or resolved. The finding's id is the dedup key.
type PagerDuty struct {
	name, key string
	post      *poster
}

// NewPagerDuty checks the configuration and reports every problem of it at once.
func NewPagerDuty(cfg PagerDutyConfig) (*PagerDuty, error) {
	var problems []error
	if cfg.URL == "" {
		cfg.URL = PagerDutyURL
	}
	post, err := newPoster(cfg.URL, cfg.HTTP, cfg.RoutingKey)
	if err != nil {
		problems = append(problems, fmt.Errorf("pagerduty %s: %w", cfg.Name, err))
	}
	if cfg.RoutingKey == "" {
		problems = append(problems, fmt.Errorf("pagerduty %s: routing key: want one", cfg.Name))
	}
	return &PagerDuty{cfg.Name, cfg.RoutingKey, post}, errors.Join(problems...)
}

// Name is the channel's name.
func (p *PagerDuty) Name() string { return p.name }

// The bounds of https://developer.pagerduty.com/docs/events-api-v2-overview.
const (
	pagerDutySummary = 1024
	pagerDutyDetail  = 4096
)

type pagerDutyEvent struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action"`
	DedupKey   string            `json:"dedup_key"`
	Client     string            `json:"client,omitempty"`
	ClientURL  string            `json:"client_url,omitempty"`
	Links      []pagerDutyLink   `json:"links,omitempty"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"`
}

type pagerDutyLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

type pagerDutyPayload struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity"`
	Timestamp string            `json:"timestamp,omitempty"`
	Component string            `json:"component,omitempty"`
	Group     string            `json:"group,omitempty"`
	Class     string            `json:"class,omitempty"`
	Details   map[string]string `json:"custom_details,omitempty"`
}

// Deliver sends one alert. A resolve of what PagerDuty does not know is ignored
// there. Of a summary in which nothing is open nobody is woken: it is not sent.
func (p *PagerDuty) Deliver(ctx context.Context, a schemas.Alert) error {
	if a.Summary != nil && a.Summary.OfEnds() {
		return nil
	}
	body, err := json.Marshal(p.event(a))
	if err != nil {
		return fmt.Errorf("write the body: %w", err)
	}
	return p.post.post(ctx, http.Header{}, body)
}

func (p *PagerDuty) event(a schemas.Alert) pagerDutyEvent {
	f := a.Finding
	e := pagerDutyEvent{RoutingKey: p.key, Action: "trigger", DedupKey: f.ID}
	if f.State.Over() {
		e.Action = "resolve"
		return e
	}
	e.Client, e.ClientURL = "m2mwatch", a.URL
	if a.URL != "" {
		e.Links = []pagerDutyLink{{a.URL, "The finding " + f.ID}}
	}
	e.Payload = &pagerDutyPayload{
		Summary: clip(headline(a), pagerDutySummary), Source: cmp.Or(f.Tenant, "m2mwatch"), // a summary is of no tenant, and a source must be
		Severity:  pagerDutySeverity(f.Level),
		Component: clip(f.Identity, pagerDutySummary), Group: f.Tenant, Class: f.RuleID, Details: map[string]string{"finding": f.ID},
	}
	if !f.Last.IsZero() {
		e.Payload.Timestamp = f.Last.UTC().Format(time.RFC3339Nano)
	}
	for _, x := range facts(a) {
		e.Payload.Details[x.name] = clip(x.value, pagerDutyDetail)
	}
	return e
}

// pagerDutySeverity is one of the four that PagerDuty has.
func pagerDutySeverity(l schemas.Level) string {
	switch l {
	case schemas.LevelCritical:
		return "critical"
	case schemas.LevelHigh:
		return "error"
	case schemas.LevelMedium:
		return "warning"
	}
	return "info"
}

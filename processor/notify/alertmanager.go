package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// AlertmanagerConfig says where an Alertmanager is.
type AlertmanagerConfig struct {
	// Name is the channel's name in records, logs and metrics.
	Name string
	// URL is that of its web pages, such as http://alertmanager:9093, with its
	// --web.route-prefix. A user and password in it are sent as basic
	// authentication.
	URL string
	// Token is sent as a bearer token. Default none.
	Token string
	HTTP
}

// Alertmanager hands findings over to Prometheus' Alertmanager, and with them the
// routing, grouping and silencing that it has.
type Alertmanager struct {
	name, token string
	post        *poster
}

// NewAlertmanager checks the configuration.
func NewAlertmanager(cfg AlertmanagerConfig) (*Alertmanager, error) {
	if cfg.Name == "" {
		return nil, errors.New("alertmanager: want a name")
	}
	target := cfg.URL
	if u, err := url.Parse(cfg.URL); err == nil && u.Host != "" {
		u.Path = strings.TrimSuffix(u.Path, "/") + "/api/v2/alerts"
		target = u.String()
	}
	post, err := newPoster(target, cfg.HTTP, cfg.Token)
	if err != nil {
		return nil, fmt.Errorf("alertmanager %s: %w", cfg.Name, err)
	}
	return &Alertmanager{cfg.Name, cfg.Token, post}, nil
}

// Name is the channel's name.
func (m *Alertmanager) Name() string { return m.name }

// alertmanagerOpen is how long Alertmanager takes an alert for firing. Its own
// default is five minutes from the last time that it was told, and it is told
// once.
const alertmanagerOpen = 24 * time.Hour

// postableAlert is one of https://github.com/prometheus/alertmanager, api/v2.
type postableAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// Deliver posts one alert. Alertmanager knows a repeat by the labels.
func (m *Alertmanager) Deliver(ctx context.Context, a schemas.Alert) error {
	body, err := json.Marshal(m.alerts(a))
	if err != nil {
		return fmt.Errorf("write the body: %w", err)
	}
	header := http.Header{}
	if m.token != "" {
		header.Set("Authorization", "Bearer "+m.token)
	}
	return m.post.post(ctx, header, body)
}

// alerts are what is told of a finding: the severity is a label, so that each level at
// which it was told is an alert of its own. Those of which it is no more are ended.
func (m *Alertmanager) alerts(a schemas.Alert) []postableAlert {
	f, levels := a.Finding, a.Told.Levels
	var all []postableAlert
	if !f.State.Over() || len(levels) == 0 {
		all, levels = append(all, m.alert(a)), slices.DeleteFunc(slices.Clone(levels), func(l schemas.Level) bool { return l == f.Level })
	}
	for _, l := range levels {
		ended := a
		ended.Finding.Level = l
		p := m.alert(ended)
		p.EndsAt = m.post.now().UTC()
		all = append(all, p)
	}
	return all
}

// alert makes labels of what stays the same in a finding's life, and annotations
// of the rest: the labels are what it is resolved by. The owner is one since
// Alertmanager routes by labels; where it changes meanwhile the alert ends after a
// day.
func (m *Alertmanager) alert(a schemas.Alert) postableAlert {
	f, now := a.Finding, m.post.now().UTC()
	p := postableAlert{
		Labels:      map[string]string{"alertname": f.RuleID, "service": "m2mwatch", "tenant": f.Tenant, "identity": f.Identity, "severity": string(f.Level), "finding": f.ID, "owner": f.Evidence.Owner},
		Annotations: map[string]string{"summary": headline(a), "title": f.Title, "alert_id": a.ID},
		StartsAt:    f.First.UTC(), EndsAt: now.Add(alertmanagerOpen), GeneratorURL: a.URL,
	}
	if f.First.IsZero() || f.First.After(now) {
		p.StartsAt = now
	}
	if f.State.Over() {
		p.EndsAt = now
	}
	if a.Kind() == schemas.AlertSummary { // nobody will resolve it
		p.EndsAt = now.Add(schemas.SummaryWindow)
	}
	if a.Test {
		p.Labels["test"] = "true"
		p.EndsAt = now.Add(time.Minute)
	}
	for _, x := range facts(a) {
		p.Annotations[strings.ReplaceAll(strings.ToLower(x.name), " ", "_")] = x.value
	}
	for name, value := range p.Labels { // an empty label is none
		if value == "" {
			delete(p.Labels, name)
		}
	}
	return p
}

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/processor/notify"
	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// startNotify reads ALERTS, and a queue of each channel.
func (s *server) startNotify(ctx context.Context, rules *detect.Set) error {
	source, err := nats.NewAlertsSource(s.broker)
	if err != nil {
		return err
	}
	s.life.closes("source of alerts", source)
	limits := streamLimits(s.cfg)
	limits.AckWait = s.ackWait()
	outbox := nats.NewOutbox(s.broker, s.publisher, limits)
	cfg := notify.Config{
		Source: source, Outbox: outbox, Deliveries: clickhouse.NewFindingStore(s.writeDB), Routes: routes(s.cfg), Link: link(s.cfg),
		Digest: func(ctx context.Context, from, to time.Time) (schemas.Digest, error) {
			return query.Digest(ctx, clickhouse.NewReader(s.writeDB), schemas.DigestFilter{From: from, To: to})
		},
		Explain: s.explainBy(clickhouse.NewFindingStore(s.writeDB)),
		Logger:  s.log, Registerer: s.registry, At: s.at("notify."),
	}
	for _, c := range s.cfg.Notify.All() {
		channel, err := newChannel(c, notify.HTTP{})
		if err != nil {
			return err
		}
		if closer, ok := channel.(io.Closer); ok {
			s.life.closes("channel "+c.Name, closer)
		}
		queue, err := outbox.Open(ctx, c.Name)
		if err != nil {
			return err
		}
		s.life.closes("queue of channel "+c.Name, queue)
		cfg.Lanes = append(cfg.Lanes, notify.Lane{Channel: channel, Queue: queue, Burst: c.Pages(), Digest: c.Digest})
	}
	notifier, err := notify.New(cfg)
	if err != nil {
		return err
	}
	s.rules.told = func(set *detect.Set) {
		for _, pattern := range unknownRules(cfg.Routes, set) {
			s.log.Warn("a route of notify names a rule that there is not: no alert of it will come that way", "rule", pattern)
		}
	}
	s.rules.told(rules)
	s.life.run("notify", notifier.Run)
	return nil
}

// newChannel makes a channel of its configuration.
func newChannel(c config.Channel, over notify.HTTP) (notify.Channel, error) {
	switch c.Type {
	case config.ChannelSlack:
		return notify.NewSlack(notify.SlackConfig{Name: c.Name, URL: c.URL.Reveal(), HTTP: over})
	case config.ChannelPagerDuty:
		return notify.NewPagerDuty(notify.PagerDutyConfig{Name: c.Name, URL: c.URL.Reveal(), RoutingKey: c.RoutingKey.Reveal(), HTTP: over})
	case config.ChannelWebhook:
		return notify.NewWebhook(notify.WebhookConfig{Name: c.Name, URL: c.URL.Reveal(), Secrets: []string{c.Secret.Reveal()}, HTTP: over})
	case config.ChannelAlertmanager:
		return notify.NewAlertmanager(notify.AlertmanagerConfig{Name: c.Name, URL: c.URL.Reveal(), Token: c.Token.Reveal(), HTTP: over})
	case config.ChannelOCSF:
		return notify.NewOCSF(notify.OCSFConfig{Name: c.Name, Path: c.OutputFile, Version: version})
	}
	return nil, fmt.Errorf("channel %s: there is no type %q", c.Name, c.Type)
}

func routes(cfg *config.Config) []notify.Route {
	var all []notify.Route
	for _, r := range cfg.Notify.Routes {
		route := notify.Route{Tenants: r.Tenants, MinLevel: schemas.Level(r.MinLevel), Rules: r.Rules, Owners: r.Owners, Channels: r.Channels}
		for _, level := range r.Levels {
			route.Levels = append(route.Levels, schemas.Level(level))
		}
		all = append(all, route)
	}
	return all
}

// link tells where the API shows what an alert tells of; nil where nobody is told
// that it can be reached.
func link(cfg *config.Config) func(schemas.Alert) string {
	if cfg.ExternalURL == "" {
		return nil
	}
	base := strings.TrimSuffix(cfg.ExternalURL, "/")
	return func(a schemas.Alert) string {
		if a.Digest != nil {
			return base + "/v1/digest?from=" + a.Digest.From.UTC().Format(time.DateOnly) + "&to=" + a.Digest.To.UTC().Format(time.DateOnly)
		}
		if a.Summary != nil {
			return base + "/v1/findings?from=" + a.Summary.From.UTC().Format(time.RFC3339) + "&to=" + a.Summary.To.UTC().Format(time.RFC3339)
		}
		return base + "/v1/findings/" + a.Finding.ID
	}
}

// unknownRules are the rules of routes that fit none that there is.
func unknownRules(routes []notify.Route, rules *detect.Set) []string {
	var ids, unknown []string
	for _, rule := range rules.Correlations() {
		ids = append(ids, rule.Code)
	}
	for _, r := range routes {
		for _, pattern := range r.Rules {
			one := notify.Route{Rules: []string{pattern}}
			if !slices.ContainsFunc(ids, func(id string) bool { return one.Matches(schemas.Finding{RuleID: id}) }) {
				unknown = append(unknown, pattern)
			}
		}
	}
	return unknown
}

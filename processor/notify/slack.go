package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// SlackConfig says where a Slack channel is.
type SlackConfig struct {
	// Name is the channel's name in records, logs and metrics.
	Name string
	// URL is that of an incoming webhook. Who has it can write to the channel.
	URL string
	HTTP
}

// Slack writes findings into a channel of Slack, as Block Kit.
type Slack struct {
	name string
	post *poster
}

// NewSlack checks the configuration.
func NewSlack(cfg SlackConfig) (*Slack, error) {
	post, err := newPoster(cfg.URL, cfg.HTTP)
	if err != nil {
		return nil, fmt.Errorf("slack %s: %w", cfg.Name, err)
	}
	if cfg.Name == "" {
		return nil, errors.New("slack: want a name")
	}
	return &Slack{cfg.Name, post}, nil
}

// Name is the channel's name.
func (s *Slack) Name() string { return s.name }

// Slack's bounds, https://docs.slack.dev/reference/block-kit/blocks.
const (
	slackHeader  = 150
	slackSection = 3000
	slackField   = 2000
	slackFields  = 10
	slackText    = 4000
)

// slackMessage is what an incoming webhook takes. Text is shown in notifications.
type slackMessage struct {
	Text   string       `json:"text"`
	Blocks []slackBlock `json:"blocks"`
}

type slackBlock struct {
	Type     string         `json:"type"`
	Text     *slackTextNode `json:"text,omitempty"`
	Fields   []any          `json:"fields,omitempty"`
	Elements []any          `json:"elements,omitempty"`
}

type slackTextNode struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// Deliver writes one alert. Slack has no key by which it knows a repeat, so the
// finding's id is in the text.
func (s *Slack) Deliver(ctx context.Context, a schemas.Alert) error {
	body, err := json.Marshal(slackBody(a))
	if err != nil {
		return fmt.Errorf("write the body: %w", err)
	}
	return s.post.post(ctx, http.Header{}, body)
}

func slackBody(a schemas.Alert) slackMessage {
	f := a.Finding
	m := slackMessage{Text: slackEscape(headline(a)+" (finding "+f.ID+")", slackText)}
	title := mark(a) + f.RuleID + " " + f.Title
	if a.Summary != nil || a.Digest != nil {
		title = f.Title
	}
	m.Blocks = append(m.Blocks, slackBlock{Type: "header", Text: plain(title, slackHeader)})
	if f.Evidence.Summary != "" {
		m.Blocks = append(m.Blocks, slackBlock{Type: "section", Text: plain(f.Evidence.Summary, slackSection)})
	}
	for some := range slices.Chunk(facts(a), slackFields) {
		fields := slackBlock{Type: "section"}
		for _, x := range some {
			fields.Fields = append(fields.Fields, plain(x.name+": "+x.value, slackField))
		}
		m.Blocks = append(m.Blocks, fields)
	}
	foot := "finding `" + slackEscape(f.ID, 100) + "`"
	if a.URL != "" {
		foot += " · <" + slackEscape(strings.ReplaceAll(a.URL, "|", "%7C"), slackField) + "|look at it>"
	}
	m.Blocks = append(m.Blocks, slackBlock{Type: "context", Elements: []any{slackTextNode{"mrkdwn", foot}}})
	return m
}

// plain is text in which Slack sees no links, mentions or marks: much of it was
// chosen by whoever called Auth0.
func plain(text string, limit int) *slackTextNode {
	return &slackTextNode{"plain_text", clip(text, limit)}
}

// slackEscape takes a text's links and mentions away, where Slack looks for them.
func slackEscape(text string, limit int) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(clip(text, limit/2))
}

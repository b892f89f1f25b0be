package config

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Notify says where alerts go.
type Notify struct {
	// Webhook is short for a channel of this type and name.
	Webhook Webhook `koanf:"webhook"`
	// Channels are the ways to reach people. Default none: findings are stored and
	// nobody is told.
	Channels []Channel `koanf:"channels"`
	// Routes say which alerts go to which channels; an alert goes wherever one of
	// those that match it leads. Default all to all.
	Routes []Route `koanf:"routes"`
}

// Webhook takes alerts, signed as Standard Webhooks say.
type Webhook struct {
	URL        Secret `koanf:"url"`    // it may hold a password or a token
	Secret     Secret `koanf:"secret"` // whsec_<base64>
	SecretFile string `koanf:"secret_file"`
}

// Types of a Channel.
const (
	ChannelSlack        = "slack"
	ChannelPagerDuty    = "pagerduty"
	ChannelWebhook      = "webhook"
	ChannelAlertmanager = "alertmanager"
	ChannelOCSF         = "ocsf"
)

// Channel is one way to reach people. Which keys a channel has says its type.
type Channel struct {
	Name string `koanf:"name"` // of a-z, 0-9 and -, 32 characters at most; its queue is named so, too
	Type string `koanf:"type"` // slack, pagerduty, webhook, alertmanager or ocsf
	// URL is where it is: the incoming webhook of slack, that of webhook, the
	// address of alertmanager; pagerduty has https://events.pagerduty.com/v2/enqueue
	// by default. Whoever has one of slack can write there.
	URL     Secret `koanf:"url"`
	URLFile string `koanf:"url_file"`
	// RoutingKey is the integration key of a service of pagerduty.
	RoutingKey     Secret `koanf:"routing_key"`
	RoutingKeyFile string `koanf:"routing_key_file"`
	// Secret signs what webhook is sent, whsec_<base64>.
	Secret     Secret `koanf:"secret"`
	SecretFile string `koanf:"secret_file"`
	// Token is sent to alertmanager as a bearer token. Default none.
	Token     Secret `koanf:"token"`
	TokenFile string `koanf:"token_file"`
	// Burst is how many pages it gets within ten minutes; of more it is told in one
	// summary. -1 is any number. Default 10, of ocsf any number: a file wakes nobody.
	Burst int `koanf:"burst"`
	// Digest has it get the digest of each week, on Monday from 06:00 UTC on: slack,
	// webhook and ocsf can.
	Digest bool `koanf:"digest"`
	// OutputFile is what ocsf appends to. Its folder must be there.
	OutputFile string `koanf:"output_file"`
}

// Route sends the alerts that it matches to channels. What is left empty matches
// all.
type Route struct {
	Tenants  []string `koanf:"tenants"`
	Levels   []string `koanf:"levels"`    // informational, low, medium, high, critical
	MinLevel string   `koanf:"min_level"` // this one and those above
	Rules    []string `koanf:"rules"`     // ids, or their beginnings with a * behind
	Owners   []string `koanf:"owners"`    // of the finding's identity, by the inventory; * for any characters, an empty one for nobody
	Channels []string `koanf:"channels"`
}

// defaultBurst is how many pages a person may get within ten minutes.
const defaultBurst = 10

// Pages is how many pages the channel gets within ten minutes; 0 is any number.
func (c *Channel) Pages() uint64 {
	switch {
	case c.Burst > 0:
		return uint64(c.Burst)
	case c.Burst < 0, c.Type == ChannelOCSF:
		return 0
	}
	return defaultBurst
}

// All are the channels, with the one of Webhook.
func (n *Notify) All() []Channel {
	if n.Webhook.URL == "" {
		return n.Channels
	}
	short := Channel{Name: ChannelWebhook, Type: ChannelWebhook, URL: n.Webhook.URL, Secret: n.Webhook.Secret, SecretFile: n.Webhook.SecretFile}
	return append([]Channel{short}, n.Channels...)
}

// Secrets are what is secret of a channel: all of Slack's URL, of another's what
// may stand before its host.
func (c *Channel) Secrets() []Secret {
	secrets := []Secret{c.RoutingKey, c.Secret, c.Token}
	if c.Type == ChannelSlack {
		return append(secrets, c.URL)
	}
	if u, err := url.Parse(c.URL.Reveal()); err == nil && u.User != nil {
		password, _ := u.User.Password()
		secrets = append(secrets, Secret(password))
	}
	return secrets
}

// secretFiles are the files with a channel's secrets, with what they are read
// into.
func (c *Channel) secretFiles() map[*string]*Secret {
	return map[*string]*Secret{&c.URLFile: &c.URL, &c.RoutingKeyFile: &c.RoutingKey, &c.SecretFile: &c.Secret, &c.TokenFile: &c.Token}
}

// SecretFiles are the files with a channel's secrets.
func (c *Channel) SecretFiles() []string {
	return []string{c.URLFile, c.RoutingKeyFile, c.SecretFile, c.TokenFile}
}

// channelKeys are the keys that channels of a type have, beside name and type.
var channelKeys = map[string][]string{
	ChannelSlack:        {"url", "url_file"},
	ChannelPagerDuty:    {"url", "url_file", "routing_key", "routing_key_file"},
	ChannelWebhook:      {"url", "url_file", "secret", "secret_file"},
	ChannelAlertmanager: {"url", "url_file", "token", "token_file"},
	ChannelOCSF:         {"output_file"},
}

func (c *Channel) keys() map[string]bool {
	return map[string]bool{
		"url": c.URL != "", "url_file": c.URLFile != "", "routing_key": c.RoutingKey != "", "routing_key_file": c.RoutingKeyFile != "",
		"secret": c.Secret != "", "secret_file": c.SecretFile != "", "token": c.Token != "", "token_file": c.TokenFile != "", "output_file": c.OutputFile != "",
	}
}

var channelName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

func (p *problems) notify(n Notify) {
	p.webhook(n.Webhook)
	names := map[string]bool{}
	if n.Webhook.URL != "" {
		names[ChannelWebhook] = true
	}
	files := map[string]string{}
	for i, c := range n.Channels {
		where := fmt.Sprintf("notify.channels[%d]", i)
		if c.Name != "" {
			where = "notify: channel " + c.Name
		}
		p.check(channelName.MatchString(c.Name), "%s: want a name of 1 to 32 of a-z, 0-9 and -", where)
		p.check(!names[c.Name], "%s: the name is there twice%s", where, map[bool]string{true: "; notify.webhook has it"}[c.Name == ChannelWebhook && n.Webhook.URL != ""])
		names[c.Name] = true
		p.channel(where, c)
		if c.OutputFile != "" {
			p.check(files[c.OutputFile] == "", "%s: output_file is that of channel %s", where, files[c.OutputFile])
			files[c.OutputFile] = c.Name
		}
	}
	for i, r := range n.Routes {
		p.route(fmt.Sprintf("notify.routes[%d]", i), r, names)
	}
}

func (p *problems) channel(where string, c Channel) {
	known, ok := channelKeys[c.Type]
	if !ok {
		p.check(false, "%s: type %q: want slack, pagerduty, webhook, alertmanager or ocsf", where, c.Type)
		return
	}
	p.check(c.Burst >= -1, "%s: burst: want a number of pages within ten minutes, or -1 for any", where)
	p.check(!c.Digest || c.Type == ChannelSlack || c.Type == ChannelWebhook || c.Type == ChannelOCSF, "%s: digest: slack, webhook and ocsf can have it", where)
	set := c.keys()
	for _, key := range []string{"url", "url_file", "routing_key", "routing_key_file", "secret", "secret_file", "token", "token_file", "output_file"} {
		// A secret that was read from a file is told by the file's key.
		fromFile := set[key+"_file"]
		p.check(!set[key] || fromFile || slices.Contains(known, key), "%s: %s: a channel of type %s has none", where, key, c.Type)
	}
	want := func(key string, is Secret) bool {
		p.check(is != "", "%s: want %s or %s_file", where, key, key)
		return is != ""
	}
	switch c.Type {
	case ChannelSlack, ChannelAlertmanager:
		want("url", c.URL)
	case ChannelPagerDuty:
		want("routing_key", c.RoutingKey)
	case ChannelWebhook:
		want("url", c.URL)
		if want("secret", c.Secret) {
			p.check(signs(c.Secret), "%s: secret: want whsec_ and the base64 of 24 to 64 bytes, as Standard Webhooks say", where)
		}
	case ChannelOCSF:
		p.check(c.OutputFile != "", "%s: want output_file", where)
	}
	if c.URL != "" {
		p.check(isWeb(c.URL), "%s: url: want an http or https URL", where)
	}
	for key, s := range map[string]Secret{"routing_key": c.RoutingKey, "token": c.Token} {
		p.check(!strings.ContainsAny(s.Reveal(), "\r\n \t"), "%s: %s: want one word", where, key)
	}
}

func (p *problems) route(where string, r Route, channels map[string]bool) {
	p.check(len(r.Channels) > 0, "%s: want channels", where)
	for _, name := range r.Channels {
		p.check(channels[name], "%s: there is no channel %q in notify.channels", where, name)
	}
	for _, level := range r.Levels {
		p.check(schemas.Level(level).Valid(), "%s: levels: %q: want informational, low, medium, high or critical", where, level)
	}
	p.check(r.MinLevel == "" || schemas.Level(r.MinLevel).Valid(), "%s: min_level %q: want informational, low, medium, high or critical", where, r.MinLevel)
	p.check(r.MinLevel == "" || len(r.Levels) == 0, "%s: want levels or min_level, not both", where)
	for _, tenant := range r.Tenants {
		if err := schemas.CheckTenant(tenant); err != nil {
			p.check(false, "%s: tenants: %v", where, err)
		}
	}
	for _, rule := range r.Rules {
		p.check(rule != "" && !strings.Contains(strings.TrimSuffix(rule, "*"), "*"), "%s: rules: %q: want an id such as MI-02, or its beginning with a * behind", where, rule)
	}
}

func (p *problems) webhook(w Webhook) {
	if w.URL == "" {
		p.check(w.Secret == "", "notify.webhook: a secret without a url")
		return
	}
	p.check(isWeb(w.URL), "notify.webhook.url: want an http or https URL")
	p.check(signs(w.Secret), "notify.webhook.secret: want whsec_ and the base64 of 24 to 64 bytes, as Standard Webhooks say")
}

// externalURL checks what links begin with.
func (p *problems) externalURL(text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	p.check(err == nil && isWeb(Secret(text)) && u.User == nil && u.RawQuery == "" && u.Fragment == "",
		"external_url: want http:// or https:// and a host, without a user, a query or a fragment: it is sent to every channel")
}

func isWeb(s Secret) bool {
	u, err := url.Parse(s.Reveal())
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// signs reports whether a secret is one of Standard Webhooks.
func signs(s Secret) bool {
	text, ok := strings.CutPrefix(s.Reveal(), "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	return ok && err == nil && len(key) >= 24 && len(key) <= 64
}

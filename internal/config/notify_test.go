package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/config"
)

// loadNotify loads a file with this notify section and these secrets beside it.
func loadNotify(t *testing.T, text string) (*config.Config, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"m2mwatch.yaml": text, "slack": "https://hooks.slack.example/services/T0/B0/hunter2\n", "key": "0123456789abcdef0123456789abcdef\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config.Load(config.Origin{File: filepath.Join(dir, "m2mwatch.yaml")})
}

func TestChannelsAndRoutesAreRead(t *testing.T) {
	c, err := loadNotify(t, `
external_url: https://m2mwatch.example
notify:
  webhook: {url: "https://hook.example", secret: whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz}
  channels:
    - {name: ops, type: slack, url_file: slack}
    - {name: oncall, type: pagerduty, routing_key_file: key}
    - {name: am, type: alertmanager, url: "http://alertmanager:9093", token: abc}
    - {name: siem, type: ocsf, output_file: findings.jsonl}
    - {name: own, type: webhook, url: "http://127.0.0.1:1", secret: whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz}
  routes:
    - {min_level: high, channels: [oncall, webhook]}
    - {tenants: [acme], levels: [low, medium], rules: [MI-02, P-*], channels: [ops]}
`)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, channel := range c.Notify.All() {
		names = append(names, channel.Name)
	}
	if got := strings.Join(names, " "); got != "webhook ops oncall am siem own" {
		t.Errorf("channels %s", got)
	}
	if got := c.Notify.Channels[0].URL.Reveal(); got != "https://hooks.slack.example/services/T0/B0/hunter2" {
		t.Errorf("the URL of the file is %q", got)
	}
	if !filepath.IsAbs(c.Notify.Channels[3].OutputFile) {
		t.Errorf("output_file %s, want it beside the configuration", c.Notify.Channels[3].OutputFile)
	}
}

func TestChannelsAndRoutesSayEverythingThatIsWrong(t *testing.T) {
	_, err := loadNotify(t, `
external_url: https://user:hunter2@m2mwatch.example
notify:
  webhook: {url: "https://hook.example", secret: whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz}
  channels:
    - {name: Ops, type: slack, url: "no url hunter2"}
    - {name: oncall, type: pagerduty, token: abc}
    - {name: oncall, type: mail}
    - {name: webhook, type: webhook, url: "http://x", secret: hunter2}
    - {name: am, type: alertmanager, url_file: none-there, secret_file: key}
    - {name: a, type: ocsf, output_file: f}
    - {name: b, type: ocsf, output_file: f}
    - {type: slack}
  routes:
    - {levels: [urgent], min_level: high}
    - {tenants: [Acme], min_level: worst, rules: ["M*-1"], channels: [chat]}
`)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"external_url: want", "channel Ops: want a name", "channel Ops: url: want an http", "channel oncall: token: a channel of type pagerduty has none",
		"channel oncall: want routing_key or routing_key_file", "channel oncall: the name is there twice", `type "mail": want slack,`,
		"channel webhook: the name is there twice; notify.webhook has it", "channel webhook: secret: want whsec_", "channel am: read secret file", "channel am: want url or url_file",
		"channel am: secret_file: a channel of type alertmanager has none", "channel b: output_file is that of channel a", "notify.channels[7]: want a name", "notify.channels[7]: want url or url_file",
		"routes[0]: want channels", `routes[0]: levels: "urgent"`, "routes[0]: want levels or min_level", `routes[1]: there is no channel "chat"`, "routes[1]: tenants:", `routes[1]: min_level "worst"`, "routes[1]: rules:",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not tell %q", want)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error tells a secret: %v", err)
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestDeployedExampleIsValid(t *testing.T) {
	text, err := os.ReadFile("../../deploy/notify.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"m2mwatch.yaml": string(text), "secrets/slack_url": "https://hooks.slack.example/services/T0/B0/x",
		"secrets/pagerduty_key": "0123456789abcdef0123456789abcdef", "secrets/tickets_secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(config.Origin{File: filepath.Join(dir, "m2mwatch.yaml")})
	if err != nil || len(c.Notify.Channels) != 5 || len(c.Notify.Routes) != 4 {
		t.Errorf("%+v, %v", c.Notify, err)
	}
}

func TestChannelsHaveAShareOfPages(t *testing.T) {
	for want, c := range map[uint64]config.Channel{
		10: {Type: config.ChannelSlack}, 3: {Type: config.ChannelOCSF, Burst: 3}, 0: {Type: config.ChannelPagerDuty, Burst: -1},
	} {
		if got := c.Pages(); got != want {
			t.Errorf("%+v gets %d pages, want %d", c, got, want)
		}
	}
	if file := (&config.Channel{Type: config.ChannelOCSF}); file.Pages() != 0 {
		t.Errorf("a file gets %d pages, want any number", file.Pages())
	}
	if _, err := loadNotify(t, "notify: {channels: [{name: a, type: ocsf, output_file: f, burst: -2}]}"); err == nil || !strings.Contains(err.Error(), "channel a: burst") {
		t.Errorf("error %v, want it to name burst", err)
	}
	if _, err := loadNotify(t, "notify: {channels: [{name: a, type: pagerduty, routing_key: k, digest: true}]}"); err == nil || !strings.Contains(err.Error(), "channel a: digest") {
		t.Errorf("error %v, want it to name digest", err)
	}
}

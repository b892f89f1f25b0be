package doctor

import (
	"os"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/config"
)

func TestSecretsAreJudgedAndNeverShown(t *testing.T) {
	file := write(t, "acme.secret", goodSecret, 0o600)
	for name, c := range map[string]struct {
		change func(*config.Config)
		state  State
		found  string
	}{
		"good":        {func(*config.Config) {}, StateOK, "each its own"},
		"none":        {func(c *config.Config) { c.Tenants = nil }, StateSkip, "none"},
		"short":       {func(c *config.Config) { c.Tenants[0].Secrets = []config.Secret{"abcdefgh"} }, StateWarn, "8 characters"},
		"placeholder": {func(c *config.Config) { c.Tenants[0].Secrets = []config.Secret{"please-changeme-before-use"} }, StateFail, "placeholder"},
		"the same": {func(c *config.Config) {
			c.Tenants = append(c.Tenants, config.Tenant{Name: "other", Secrets: []config.Secret{"Bearer " + goodSecret}})
		}, StateFail, "tenant other has the same secret as tenant acme"},
		"of the API":     {func(c *config.Config) { c.API.Tokens = []config.Token{{Name: "ops", Token: goodSecret}} }, StateFail, "API token ops has the same"},
		"missing file":   {func(c *config.Config) { c.Tenants[0].SecretFiles = []string{"/nowhere/acme.secret"} }, StateFail, "cannot be read"},
		"good file":      {func(c *config.Config) { c.Tenants[0].SecretFiles = []string{file} }, StateOK, "each its own"},
		"read by all":    {func(c *config.Config) { c.Tenants[0].SecretFiles = []string{write(t, "s", goodSecret, 0o644)} }, StateWarn, "everybody may read it (mode 0644)"},
		"written by all": {func(c *config.Config) { c.Tenants[0].SecretFiles = []string{write(t, "s", goodSecret, 0o666)} }, StateFail, "others may write it"},
		"of a collector": {func(c *config.Config) {
			c.Traces.Headers = []config.Header{{Name: "X-Key", ValueFile: write(t, "s", goodSecret, 0o644)}}
		}, StateWarn, "everybody may read it"},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings(t)
			c.change(s)
			r := look(t, Config{Settings: s}, "secrets")
			wantNote(t, r, c.state, c.found)
			for _, n := range r.Notes {
				for _, secret := range []string{goodSecret, "abcdefgh", "changeme-before"} {
					if strings.Contains(n.Found+n.Advice, secret) {
						t.Errorf("a note shows a secret: %+v", n)
					}
				}
			}
		})
	}
}

func TestASecretInAConfigurationThatAllReadIsTold(t *testing.T) {
	s := settings(t)
	with := func(text string, mode os.FileMode) Config {
		return Config{Settings: s, Origin: config.Origin{File: write(t, "m2mwatch.yaml", text, mode)}}
	}
	const text = "tenants: [{name: acme, secrets: [" + goodSecret + "]}]"
	wantNote(t, look(t, with(text, 0o644), "secrets"), StateWarn, "m2mwatch.yaml holds a secret")
	wantNote(t, look(t, with(text, 0o600), "secrets"), StateOK, "")
	wantNote(t, look(t, with("tenants: []", 0o644), "secrets"), StateOK, "") // it came from the environment
	s.ClickHouse.URL = "clickhouse://app:hunter2@host/m2mwatch"
	wantNote(t, look(t, with("clickhouse: {url: 'clickhouse://app:hunter2@host/m2mwatch'}", 0o644), "secrets"), StateWarn, "holds a secret")
}

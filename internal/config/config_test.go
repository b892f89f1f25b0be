package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultIsValid(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestLaterLayersWin(t *testing.T) {
	file := write(t, "m2mwatch.yaml", "listen: 127.0.0.1:1\ndata: from-file\nclickhouse: {memory: 512MiB}\nstore: {retention: 30d}\n")
	c, err := Load(Origin{
		File:    file,
		Environ: []string{"M2MWATCH_DATA=from-env", "M2MWATCH_LISTEN=127.0.0.1:2", "NATS_URL=nats://example:4222", "HOME=/"},
		Flags:   map[string]any{"listen": "127.0.0.1:3"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.Listen, c.Data, c.NATS.URL.Reveal(), int64(c.ClickHouse.Memory), int(c.Store.Retention))
	if want := fmt.Sprint("127.0.0.1:3", "from-env", "nats://example:4222", 512<<20, 30); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRetentionIsGivenByTable(t *testing.T) {
	file := write(t, "m2mwatch.yaml", "store: {retention: 30d, retention_by_table: {findings: 0, events: 90d}}\n")
	for name, environ := range map[string][]string{
		"file":        nil,
		"environment": {"M2MWATCH_STORE_RETENTION_BY_TABLE={findings: 0, events: 90d}"},
	} {
		c, err := Load(Origin{File: file, Environ: environ})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := c.Store.RetentionByTable; len(got) != 2 || got["events"] != 90 || got["findings"] != 0 {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestEnvironmentTakesListsAsYAML(t *testing.T) {
	c, err := Load(Origin{Environ: []string{`M2MWATCH_TENANTS=[{name: acme, secrets: ["s3cret-value"]}]`}})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Tenants) != 1 || c.Tenants[0].Name != "acme" || c.Tenants[0].Secrets[0].Reveal() != "s3cret-value" {
		t.Errorf("got %+v", c.Tenants)
	}
}

func TestEveryKeyIsAnEnvironmentVariable(t *testing.T) {
	for key, list := range Keys() {
		value := map[bool]string{true: "[]", false: ""}[list]
		env, err := environment([]string{EnvName(key) + "=" + value})
		if err != nil {
			t.Errorf("%s: %v", key, err)
		}
		if _, ok := env[key]; !ok {
			t.Errorf("%s: not set by %s", key, EnvName(key))
		}
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	secret, custom := write(t, "secret", "from-a-file-1\n"), write(t, "custom", "from-a-file-2\n")
	file := write(t, "c.yaml", fmt.Sprintf("tenants: [{name: acme, secrets: [inline-secret], secret_files: [%q], custom_secrets: [inline-custom], custom_secret_files: [%q]}]", secret, custom))
	c, err := Load(Origin{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Tenants[0].Secrets; len(got) != 2 || got[1].Reveal() != "from-a-file-1" {
		t.Errorf("got %d secrets", len(got))
	}
	if got := Reveal(c.Tenants[0].CustomSecrets); len(got) != 2 || got[1] != "from-a-file-2" {
		t.Errorf("got %d secrets for custom events", len(got))
	}
	if files := c.Files(file); len(files) != 3 {
		t.Errorf("files to watch: got %v", files)
	}
}

func TestEventTypesComeFromAFile(t *testing.T) {
	const header = "code\ttitle\tcategory\toutcome\tmachine\n"
	types := write(t, "mine.tsv", header+"brand_new\tBrand new\t\tfailure\tm2m\n")
	file := filepath.Join(filepath.Dir(types), "c.yaml")
	if err := os.WriteFile(file, []byte("event_types: mine.tsv"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Origin{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if et, ok := c.Catalogue().Lookup("brand_new"); !ok || et.Title != "Brand new" {
		t.Errorf("got %+v, %t", et, ok)
	}
	if _, ok := c.Catalogue().Lookup("seccft"); !ok {
		t.Error("the program's own event types are gone")
	}
	if files := c.Files(file); !slices.Contains(files, types) {
		t.Errorf("files to watch: got %v, want %s among them", files, types)
	}
	before := *c
	if err := os.WriteFile(types, []byte(header+"brand_new\tBrand new\t\tsuccess\tm2m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = Load(Origin{File: file}); err != nil || reflect.DeepEqual(*c, before) {
		t.Errorf("a changed table makes an equal configuration, or %v", err)
	}
	if err := os.WriteFile(types, []byte(header+"\nbrand_new\tBrand new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Origin{File: file}); err == nil || !strings.Contains(err.Error(), "event_types: "+types+":3: ") {
		t.Errorf("got %v, want the file and the line", err)
	}
	if _, err := Load(Origin{Environ: []string{"M2MWATCH_EVENT_TYPES=/nowhere.tsv"}}); err == nil || !strings.Contains(err.Error(), "event_types: ") {
		t.Errorf("got %v, want an error about the file that is not there", err)
	}
}

func TestPathsOfFilesAreTheConfigurationsNeighbours(t *testing.T) {
	file := write(t, "c.yaml", "enrich: {mmdb: [country.mmdb, /var/asn.mmdb]}\ntls: {cert_file: cert.pem, key_file: /var/key.pem}")
	c, err := Load(Origin{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{filepath.Join(filepath.Dir(file), "country.mmdb"), "/var/asn.mmdb"}; !slices.Equal(c.Enrich.MMDB, want) {
		t.Errorf("got %v, want %v", c.Enrich.MMDB, want)
	}
	if want := filepath.Join(filepath.Dir(file), "cert.pem"); c.TLS.CertFile != want || c.TLS.KeyFile != "/var/key.pem" {
		t.Errorf("got %+v, want %s", c.TLS, want)
	}
	for text, want := range map[string]string{
		"enrich: {mmdb: [a.mmdb, '']}":       "enrich.mmdb[1]: want a path",
		"enrich: {mmdb: [a.mmdb, ./a.mmdb]}": "a.mmdb is there twice",
		"enrich: {mmdb: {country: a.mmdb}}":  "enrich.mmdb",
		"enrich: {geo: [a.mmdb]}":            "unknown keys: geo",
	} {
		if c, err := Load(Origin{File: write(t, "bad.yaml", text)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, %v; want %q", text, c, err, want)
		}
	}
}

func TestLoadReportsEveryProblem(t *testing.T) {
	file := write(t, "c.yaml", "listen: nowhere\nlog: {format: xml}\ntenants: [{name: Acme}, {name: ok-1}]\napi: {tokens: [{token: short}]}\n")
	_, err := Load(Origin{File: file})
	if err == nil {
		t.Fatal("loaded")
	}
	for _, want := range []string{"listen", "log.format", `"Acme"`, "tenant ok-1: want at least one secret", "api.tokens[0]: want a name", "16 characters"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}

func TestValidateRefusesWhatNoServerWouldTake(t *testing.T) {
	for text, want := range map[string]string{
		"nats: {max_payload: 16MiB}":                           "nats.max_payload",
		"tenants: [{name: acme, secrets: ['Bearer short']}]":   "shorter than 8",
		"tenants: [{name: acme, secrets: ['             ']}]":  "shorter than 8",
		"tenants: [{name: acme, secrets: ['Bearer        ']}]": "shorter than 8",

		"tenants: [{name: acme, secrets: [long-enough], custom_secrets: [short]}]":                "custom_secrets is shorter than 8",
		"tenants: [{name: acme, secrets: [long-enough], custom_secrets: ['bearer long-enough']}]": "the log stream's too",
	} {
		if _, err := Load(Origin{File: write(t, "c.yaml", text)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestLimitsOfHTTPAreBounded(t *testing.T) {
	c, err := Load(Origin{File: write(t, "c.yaml", "http: {max_connections: 50, max_header: 64KiB, idle_timeout: 30s}\ningest: {body_timeout: 5m}")})
	if err != nil {
		t.Fatal(err)
	}
	want := Default().HTTP
	want.MaxConnections, want.MaxHeader, want.IdleTimeout = 50, 64<<10, Duration(30*time.Second)
	if c.HTTP != want || c.Ingest.BodyTimeout != Duration(5*time.Minute) {
		t.Errorf("got %+v, %v", c.HTTP, c.Ingest.BodyTimeout)
	}
	_, err = Load(Origin{File: write(t, "c.yaml", "http: {max_connections: 0, max_header: 2MiB, header_timeout: 0s, body_pause: -1s, write_timeout: 2h, idle_timeout: 1ms}\ningest: {body_timeout: 0s}")})
	for _, key := range []string{"max_connections", "max_header", "header_timeout: want 1s to 5m0s", "body_pause", "write_timeout", "idle_timeout", "ingest.body_timeout"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("got %v, want %s in it", err, key)
		}
	}
	if _, err := Load(Origin{File: write(t, "c.yaml", "http: {idle_timeout: 30}")}); err == nil || !strings.Contains(err.Error(), "want a number with") {
		t.Errorf("got %v", err)
	}
}

func TestUnknownKeysAreErrors(t *testing.T) {
	for _, text := range []string{"lissten: 127.0.0.1:1", "nats: {ulr: x}", "tenants: [{name: a, secret: x}]"} {
		if _, err := Load(Origin{File: write(t, "c.yaml", text)}); err == nil || !strings.Contains(err.Error(), "unknown keys") {
			t.Errorf("%s: got %v", text, err)
		}
	}
	if _, err := Load(Origin{Environ: []string{"M2MWATCH_LISSTEN=x"}}); err == nil {
		t.Error("unknown environment variable was taken")
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	const value = "do-not-print-me"
	s := Secret(value)
	j, _ := json.Marshal(struct{ S Secret }{s})
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%v %s %q %#v %+v", s, s, s, s, []Secret{s}), string(j), log.String()} {
		if strings.Contains(text, value) {
			t.Errorf("printed: %s", text)
		}
	}
	for _, text := range []string{
		"tenants: [{name: acme, secrets: {a: " + value + "}}]",
		"api: {tokens: " + value + "}",
		"clickhouse: " + value,
	} {
		if _, err := Load(Origin{File: write(t, "c.yaml", text)}); err == nil || strings.Contains(err.Error(), value) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestUnitsRoundTrip(t *testing.T) {
	for text, want := range map[string]Bytes{"0": 0, "1500": 1500, "64KiB": 64 << 10, "20GiB": 20 << 30} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%s: got %d, %v", text, b, err)
		}
		if out, _ := b.MarshalText(); string(out) != text {
			t.Errorf("%s: written %s", text, out)
		}
	}
	for text, want := range map[string]Duration{"500ms": Duration(500 * time.Millisecond), "30s": Duration(30 * time.Second), "2m0s": Duration(2 * time.Minute)} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d != want {
			t.Errorf("%s: got %d, %v", text, d, err)
		}
		if out, _ := d.MarshalText(); string(out) != text {
			t.Errorf("%s: written %s", text, out)
		}
	}
	var d Duration
	for _, text := range []string{"", "30", "1 hour"} {
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	var b Bytes
	for _, text := range []string{"", "-1", "1MB", "9999999999TiB"} {
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestInspectReturnsWhatCouldBeReadBesideEveryProblem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m2mwatch.yaml")
	text := "data: elsewhere\ntennants: []\nnats: {replicas: 2}\ntenants: [{name: acme, secret_files: [none]}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Inspect(Origin{File: file})
	if err == nil || c == nil || c.Data != filepath.Join(filepath.Dir(file), "elsewhere") || len(c.Tenants) != 1 || c.Listen != Default().Listen {
		t.Fatalf("got %+v, %v", c, err)
	}
	for _, want := range []string{"unknown keys: tennants", "nats.replicas", "read secret file"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told: %v", want, err)
		}
	}
}

func TestASecretThatSignsNoAlertIsRefusedBeforeTheStart(t *testing.T) {
	for secret, ok := range map[Secret]bool{
		"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz": true, // 24 bytes
		"whsec_c2hvcnQ=":                         false,
		"whsec_!":                                false,
		"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz":       false,
		"":                                       false,
	} {
		c := Default()
		c.Notify.Webhook = Webhook{URL: "https://alerts.example.com", Secret: secret}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%q: got %v", secret.Reveal(), err)
		}
	}
}

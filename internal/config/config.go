// Package config is the one configuration of every command: defaults, then the
// file, then the environment, then flags.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Config holds every setting. The name of a key in the file is the koanf tag;
// the same key in the environment is M2MWATCH_ and the path in upper case with
// _ for the dots (nats.url is M2MWATCH_NATS_URL); lists and mappings are
// written there as YAML. A relative path in the file begins at its folder, one
// in the environment or in flags at the working directory. Keys marked
// "reloaded" apply without a restart.
type Config struct {
	// Data is the directory that one process owns: the embedded servers' files,
	// the API's socket, the hash of the first API token.
	Data string `koanf:"data"`
	// Listen serves the API, health and metrics, and the webhook where
	// WebhookListen is empty.
	Listen string `koanf:"listen"`
	// WebhookListen serves the webhook and nothing else, so that only it has to
	// face the internet.
	WebhookListen string `koanf:"webhook_listen"`

	// ExternalURL is where people reach the API: what alerts link to begins with it.
	// Default none: they have no link.
	ExternalURL string `koanf:"external_url"`

	// TrustedProxies are the proxies before Listen and WebhookListen. Where one of
	// them holds the connection, the client's address is the rightmost of
	// X-Forwarded-For that is not theirs; the header counts for nothing
	// otherwise. Default none. Reloaded.
	TrustedProxies []Network `koanf:"trusted_proxies"`

	// EventTypes is a file of event types that are added to the program's own,
	// or replace them; see schemas.Catalogue.With for its form.
	EventTypes string `koanf:"event_types"`

	TLS        TLS        `koanf:"tls"`
	HTTP       HTTP       `koanf:"http"`
	Log        Log        `koanf:"log"`
	Tenants    []Tenant   `koanf:"tenants"`
	API        API        `koanf:"api"`
	Ingest     Ingest     `koanf:"ingest"`
	Processor  Processor  `koanf:"processor"`
	Enrich     Enrich     `koanf:"enrich"`
	Rules      Rules      `koanf:"rules"`
	NATS       NATS       `koanf:"nats"`
	ClickHouse ClickHouse `koanf:"clickhouse"`
	Store      Store      `koanf:"store"`
	Notify     Notify     `koanf:"notify"`
	Traces     Traces     `koanf:"traces"`

	catalogue *schemas.Catalogue // of EventTypes, read by Load
}

// Catalogue knows the event types, those of the file EventTypes included.
func (c *Config) Catalogue() *schemas.Catalogue {
	if c.catalogue == nil {
		return schemas.EventTypes()
	}
	return c.catalogue
}

// TLS is spoken on Listen and WebhookListen where there is a certificate, and
// never on the data directory's socket.
type TLS struct {
	// CertFile is the certificate with its chain, KeyFile its private key, both
	// PEM. Read at start, and again when they were replaced. Default none.
	CertFile string `koanf:"cert_file"`
	KeyFile  string `koanf:"key_file"`
	ACME     ACME   `koanf:"acme"`
}

// ACME gets certificates, instead of the files, and keeps them under Data.
type ACME struct {
	// Hosts are the names to get certificates for. The directory must reach
	// Listen or WebhookListen as port 443 of each. Default none: no ACME.
	Hosts []string `koanf:"hosts"`
	Email string   `koanf:"email"` // told to the directory. Default none
	// Directory is the URL of the server's directory, whose terms of service are
	// agreed to. Default Let's Encrypt's.
	Directory string `koanf:"directory"`
	CAFile    string `koanf:"ca_file"` // what Directory's own certificate is trusted by. Default the system's
}

// HTTP bounds what connections to Listen and to WebhookListen may take.
type HTTP struct {
	MaxConnections int   `koanf:"max_connections"` // of each; further ones wait until one is closed
	MaxHeader      Bytes `koanf:"max_header"`      // of a request; more is 431

	HeaderTimeout Duration `koanf:"header_timeout"` // for a handshake, and for a header; then the connection is closed
	BodyPause     Duration `koanf:"body_pause"`     // the longest while a body comes in; one goes on for as long as it needs
	WriteTimeout  Duration `koanf:"write_timeout"`  // from the end of a request to the end of its answer
	IdleTimeout   Duration `koanf:"idle_timeout"`   // between requests; then the connection is closed
}

// Log says what goes to standard error.
type Log struct {
	Level  slog.Level `koanf:"level"`  // debug, info, warn or error
	Format string     `koanf:"format"` // text or json
}

// Tenant is one Auth0 tenant. Reloaded.
type Tenant struct {
	Name string `koanf:"name"` // schemas.TenantPattern; the path segment of its webhook
	// Secrets are the values that the tenant's log stream may send as
	// Authorization; several while one replaces another.
	Secrets []Secret `koanf:"secrets"`
	// SecretFiles are read at start and whenever they change.
	SecretFiles []string `koanf:"secret_files"`
	// CustomSecrets are what senders of custom events may send as
	// Authorization. Without any, Secrets are valid for them: then an API that
	// reports events could send logs as well.
	CustomSecrets []Secret `koanf:"custom_secrets"`
	// CustomSecretFiles are read as SecretFiles are.
	CustomSecretFiles []string `koanf:"custom_secret_files"`
	// Domain is the tenant's at Auth0: acme.eu.auth0.com. Wanted with Management.
	Domain string `koanf:"domain"`
	// Management is whom the server is for the tenant's Management API, which it
	// only reads. Default nobody: then the log stream is all that is known.
	Management Management `koanf:"management"`
}

// API guards the query API.
type API struct {
	// Tokens are the bearer tokens it takes. Without any, one is made at the
	// first start, printed once and kept as a hash in the data directory.
	// Reloaded.
	Tokens []Token `koanf:"tokens"`
}

// Token is one bearer token of the API.
type Token struct {
	Name      string `koanf:"name"` // shown in logs
	Token     Secret `koanf:"token"`
	TokenFile string `koanf:"token_file"`
}

// Ingest bounds what the webhook takes.
type Ingest struct {
	MaxBody  Bytes `koanf:"max_body"`  // of one request, decompressed; more is 413. Hard cap 128 MiB
	MaxGroup Bytes `koanf:"max_group"` // of one JetStream message; at most what the server takes
	Memory   Bytes `koanf:"memory"`    // held by all requests together; more is 503
	Requests int   `koanf:"requests"`  // at once; more is 503

	BodyTimeout Duration `koanf:"body_timeout"` // for all of one body; then it is 408
	// Allow are the networks that the webhook takes deliveries from; others get
	// 403. Default all. Reloaded.
	Allow []Network `koanf:"allow"`
}

// Processor bounds a flush.
type Processor struct {
	FlushRows int   `koanf:"flush_rows"` // events that make a flush
	Memory    Bytes `koanf:"memory"`     // raw bytes held at once
}

// Enrich says what is known of addresses beside the logs.
type Enrich struct {
	// MMDB are files in MaxMind's format, of whatever maker, that tell the
	// country and the autonomous system of an address; of two that know the same
	// the first counts. Read at start, and each again when it was replaced.
	// Default none: asn and as_org are empty, and country where the log lacks it.
	MMDB []string `koanf:"mmdb"`
}

// Rules are those that stand beside the shipped ones. Reloaded, with the files of
// Dirs: all of them or, where something in them is not understood, none.
type Rules struct {
	// Dirs are folders of rules, *.yml and *.yaml, in Sigma's language. Default
	// none.
	Dirs []string `koanf:"dirs"`
	// Placeholders fill what rules leave open, by name: your-tenant-domain for
	// {your-tenant-domain}; one value or a list. A rule with one that nothing
	// fills is not evaluated.
	Placeholders map[string][]string `koanf:"placeholders"`
}

// NATS is the broker. Without a URL the process brings its own, in process,
// without a listener, under Data.
type NATS struct {
	URL       Secret `koanf:"url"`        // nats://host:4222[,…]; NATS_URL works too. It may hold a password
	CredsFile string `koanf:"creds_file"` // a user's .creds file
	User      string `koanf:"user"`
	Password  Secret `koanf:"password"`
	// PasswordFile has the password, read at start.
	PasswordFile string `koanf:"password_file"`

	CAFile   string `koanf:"ca_file"`
	CertFile string `koanf:"cert_file"`
	KeyFile  string `koanf:"key_file"`
	Replicas int    `koanf:"replicas"` // of each stream; 3 on a cluster

	MaxPayload  Bytes `koanf:"max_payload"`  // of the embedded server
	LogsBytes   Bytes `koanf:"logs_bytes"`   // LOGS may grow to this; full means 503
	DeadBytes   Bytes `koanf:"dead_bytes"`   // DEAD and its object store, each
	AlertsBytes Bytes `koanf:"alerts_bytes"` // ALERTS and OUTBOX, each
}

// ClickHouse is the store. Without a URL the process brings its own as a child
// process, on loopback, under Data.
type ClickHouse struct {
	URL Secret `koanf:"url"` // clickhouse://user:pass@host:9440/db?secure=true; CLICKHOUSE_URL works too
	// PasswordFile has the password of the URL's user, read at start.
	PasswordFile string `koanf:"password_file"`

	Cluster  string `koanf:"cluster"`  // of the servers' configuration: tables are replicated and Distributed on it
	Database string `koanf:"database"` // where the URL names none
	Library  string `koanf:"library"`  // path of the engine library; default: the user's cache directory
	Memory   Bytes  `koanf:"memory"`   // the embedded server's limit
}

// Store is what is kept.
type Store struct {
	// Retention of every table with rows of a time; 0 keeps them for ever. A log
	// older than events are kept goes to DEAD when it arrives.
	Retention Days `koanf:"retention"`
	// RetentionByTable overrides Retention for the tables that it names, such as
	// findings or events, whose indexes follow.
	RetentionByTable map[string]Days `koanf:"retention_by_table"`
}

// Traces go to an OpenTelemetry collector: what requests, groups and flushes
// took, from a request to its rows.
type Traces struct {
	// Endpoint takes OTLP over HTTP, such as http://collector:4318; without a
	// path it is /v1/traces there. It may hold a user and a password. Default
	// none: nothing is traced and nobody connected to.
	Endpoint Secret `koanf:"endpoint"`
	// Headers are sent to Endpoint.
	Headers []Header `koanf:"headers"`
	// Sample is the share of requests that are traced, 0 to 1, with all that comes
	// of them. Default 1, which costs some 40 µs of CPU a request and makes up to
	// ten spans of one. Less leaves gaps: not every record can be followed.
	Sample float64 `koanf:"sample"`
}

// Header is one header of a request, such as an API key.
type Header struct {
	Name  string `koanf:"name"`
	Value Secret `koanf:"value"`
	// ValueFile has the value, read at start.
	ValueFile string `koanf:"value_file"`
}

// Default is the configuration before anything is read.
func Default() Config {
	return Config{
		Data:   "data",
		Listen: "127.0.0.1:8080",
		TLS:    TLS{ACME: ACME{Directory: "https://acme-v02.api.letsencrypt.org/directory"}},
		HTTP: HTTP{
			MaxConnections: 1000, MaxHeader: 32 << 10, HeaderTimeout: Duration(10 * time.Second), BodyPause: Duration(time.Minute),
			WriteTimeout: Duration(time.Minute), IdleTimeout: Duration(2 * time.Minute),
		},
		Log:        Log{Level: slog.LevelInfo, Format: "text"},
		Ingest:     Ingest{MaxBody: 128 << 20, MaxGroup: 1 << 20, Memory: 64 << 20, Requests: 256, BodyTimeout: Duration(2 * time.Minute)},
		Processor:  Processor{FlushRows: 25_000, Memory: 128 << 20},
		NATS:       NATS{Replicas: 1, MaxPayload: 1 << 20, LogsBytes: 4 << 30, DeadBytes: 1 << 30, AlertsBytes: 64 << 20},
		ClickHouse: ClickHouse{Database: "m2mwatch", Memory: 1 << 30},
		Store:      Store{Retention: 400},
		Traces:     Traces{Sample: 1},
	}
}

// Validate returns every problem at once, joined.
func (c *Config) Validate() error {
	v := &problems{}
	v.check(c.Data != "", "data: want a directory")
	v.address("listen", c.Listen)
	if c.WebhookListen != "" {
		v.address("webhook_listen", c.WebhookListen)
		v.check(c.WebhookListen != c.Listen || strings.HasSuffix(c.Listen, ":0"), "webhook_listen: the same as listen; leave it out to serve the webhook there")
	}
	for _, n := range c.TrustedProxies {
		v.check(n.Bits() > 0, "trusted_proxies: %s trusts everybody, and so whatever address anybody names", n)
	}
	v.tls(c.TLS)
	v.check(c.HTTP.MaxConnections >= 10, "http.max_connections: want 10 or more")
	v.check(c.HTTP.MaxHeader >= 4<<10 && c.HTTP.MaxHeader <= 1<<20, "http.max_header: want 4KiB to 1MiB")
	v.span("http.header_timeout", c.HTTP.HeaderTimeout, time.Second, 5*time.Minute)
	v.span("http.body_pause", c.HTTP.BodyPause, time.Second, 10*time.Minute)
	v.span("http.write_timeout", c.HTTP.WriteTimeout, time.Second, time.Hour)
	v.span("http.idle_timeout", c.HTTP.IdleTimeout, time.Second, time.Hour)
	v.check(c.Log.Format == "text" || c.Log.Format == "json", "log.format %q: want text or json", c.Log.Format)
	v.tenants(c.Tenants)
	v.tokens(c.API.Tokens)
	v.check(c.Ingest.MaxBody > 0 && c.Ingest.MaxBody <= 128<<20, "ingest.max_body: want 1 to 128MiB")
	v.check(c.Ingest.MaxGroup >= 64<<10, "ingest.max_group: want 64KiB or more")
	v.check(c.Ingest.Memory >= 4*c.Ingest.MaxGroup, "ingest.memory: want at least four times ingest.max_group")
	v.check(c.Ingest.Requests > 0, "ingest.requests: want 1 or more")
	v.span("ingest.body_timeout", c.Ingest.BodyTimeout, time.Second, time.Hour)
	v.allow(c)
	v.check(c.Processor.FlushRows > 0 && c.Processor.FlushRows <= 1_000_000, "processor.flush_rows: want 1 to 1000000")
	v.check(c.Processor.Memory >= 8<<20, "processor.memory: want 8MiB or more")
	v.paths("enrich.mmdb", c.Enrich.MMDB)
	v.paths("rules.dirs", c.Rules.Dirs)
	v.check(c.NATS.Replicas == 1 || c.NATS.Replicas == 3, "nats.replicas: want 1 or 3")
	v.check(c.NATS.MaxPayload >= 128<<10 && c.NATS.MaxPayload <= 8<<20, "nats.max_payload: want 128KiB to 8MiB")
	v.check(c.NATS.LogsBytes >= 16<<20, "nats.logs_bytes: want 16MiB or more")
	v.check(c.NATS.DeadBytes >= 1<<20, "nats.dead_bytes: want 1MiB or more")
	v.check(c.NATS.AlertsBytes >= 1<<20, "nats.alerts_bytes: want 1MiB or more")
	v.check((c.NATS.CertFile == "") == (c.NATS.KeyFile == ""), "nats.cert_file and nats.key_file: want both or neither")
	v.check(strings.HasPrefix(c.ClickHouse.Database, "m2mwatch"), "clickhouse.database %q: want a name that begins with m2mwatch", c.ClickHouse.Database)
	v.check(c.ClickHouse.Cluster == "" || c.ClickHouse.URL != "", "clickhouse.cluster: the embedded server has none")
	v.check(c.ClickHouse.Memory >= 256<<20, "clickhouse.memory: want 256MiB or more")
	v.externalURL(c.ExternalURL)
	v.notify(c.Notify)
	v.traces(c.Traces)
	return errors.Join(v.errs...)
}

// problems collects what Validate finds.
type problems struct{ errs []error }

func (p *problems) check(ok bool, format string, args ...any) {
	if !ok {
		p.errs = append(p.errs, fmt.Errorf(format, args...))
	}
}

func (p *problems) address(key, addr string) {
	_, _, err := net.SplitHostPort(addr)
	p.check(err == nil, "%s %q: want host:port", key, addr)
}

func (p *problems) span(key string, d Duration, from, to time.Duration) {
	p.check(time.Duration(d) >= from && time.Duration(d) <= to, "%s: want %s to %s", key, from, to)
}

func (p *problems) paths(key string, paths []string) {
	seen := map[string]bool{}
	for i, path := range paths {
		p.check(path != "", "%s[%d]: want a path", key, i)
		p.check(path == "" || !seen[path], "%s: %s is there twice", key, path)
		seen[path] = true
	}
}

func (p *problems) tenants(tenants []Tenant) {
	seen := map[string]bool{}
	for i, t := range tenants {
		if err := schemas.CheckTenant(t.Name); err != nil {
			p.check(false, "tenants[%d]: %v", i, err)
			continue
		}
		p.check(!seen[t.Name], "tenants: %s is there twice", t.Name)
		seen[t.Name] = true
		p.check(len(t.Secrets) > 0 || t.Management.ClientID != "", "tenant %s: want at least one secret of its log stream (secrets or secret_files), or an application to follow it by (domain and management)", t.Name)
		p.management(t)
		stream := map[string]bool{}
		for _, s := range t.Secrets {
			bare := bareSecret(s)
			stream[bare] = true
			p.check(len(bare) >= 8, "tenant %s: a secret is shorter than 8 characters", t.Name)
		}
		for _, s := range t.CustomSecrets {
			bare := bareSecret(s)
			p.check(len(bare) >= 8, "tenant %s: a secret of custom_secrets is shorter than 8 characters", t.Name)
			p.check(!stream[bare], "tenant %s: a secret of custom_secrets is the log stream's too; whoever has it could send logs", t.Name)
		}
	}
}

// bareSecret is a secret without the scheme, which Auth0 sends where it was
// typed.
func bareSecret(s Secret) string {
	const scheme = "Bearer "
	bare := strings.TrimSpace(s.Reveal())
	if len(bare) >= len(scheme) && strings.EqualFold(bare[:len(scheme)], scheme) {
		bare = strings.TrimSpace(bare[len(scheme):])
	}
	return bare
}

func (p *problems) tokens(tokens []Token) {
	for i, t := range tokens {
		p.check(t.Name != "", "api.tokens[%d]: want a name", i)
		p.check(len(t.Token) >= 16, "api.tokens[%d]: want a token or token_file of 16 characters or more", i)
	}
}

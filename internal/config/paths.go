package config

import (
	"path/filepath"
	"slices"
)

// path is one of the configuration's, and the key that it was set by.
type path struct {
	key string
	at  *string
}

// paths are all of them. A test holds that none is left out.
func (c *Config) paths() []path {
	all := []path{
		{"data", &c.Data},
		{"event_types", &c.EventTypes},
		{"tls.cert_file", &c.TLS.CertFile},
		{"tls.key_file", &c.TLS.KeyFile},
		{"tls.acme.ca_file", &c.TLS.ACME.CAFile},
		{"nats.creds_file", &c.NATS.CredsFile},
		{"nats.password_file", &c.NATS.PasswordFile},
		{"nats.ca_file", &c.NATS.CAFile},
		{"nats.cert_file", &c.NATS.CertFile},
		{"nats.key_file", &c.NATS.KeyFile},
		{"clickhouse.password_file", &c.ClickHouse.PasswordFile},
		{"clickhouse.library", &c.ClickHouse.Library},
		{"notify.webhook.secret_file", &c.Notify.Webhook.SecretFile},
	}
	list := func(key string, paths []string) {
		for i := range paths {
			all = append(all, path{key, &paths[i]})
		}
	}
	list("enrich.mmdb", c.Enrich.MMDB)
	list("rules.dirs", c.Rules.Dirs)
	for i := range c.Tenants {
		list("tenants", c.Tenants[i].SecretFiles)
		list("tenants", c.Tenants[i].CustomSecretFiles)
		m := &c.Tenants[i].Management
		all = append(all, path{"tenants", &m.ClientSecretFile}, path{"tenants", &m.PrivateKeyFile})
	}
	for i := range c.API.Tokens {
		all = append(all, path{"api.tokens", &c.API.Tokens[i].TokenFile})
	}
	for i := range c.Notify.Channels {
		channel := &c.Notify.Channels[i]
		for _, at := range []*string{&channel.URLFile, &channel.RoutingKeyFile, &channel.SecretFile, &channel.TokenFile, &channel.OutputFile} {
			all = append(all, path{"notify.channels", at})
		}
	}
	for i := range c.Traces.Headers {
		all = append(all, path{"traces.headers", &c.Traces.Headers[i].ValueFile})
	}
	return all
}

// findPaths makes relative paths of the file, by which inFile knows keys, paths
// from its folder. Those of the environment and of flags are written by who
// knows the working directory, and stay relative to that.
func (c *Config) findPaths(folder string, inFile func(key string) bool) {
	for _, p := range c.paths() {
		if *p.at != "" && !filepath.IsAbs(*p.at) && inFile(p.key) {
			*p.at = filepath.Join(folder, *p.at)
		}
	}
}

// Files lists the files whose content the configuration rests on, that of the
// settings among them, for whoever watches for changes. They need not be there.
func (c *Config) Files(file string) []string {
	files := []string{file, c.Notify.Webhook.SecretFile, c.NATS.PasswordFile, c.ClickHouse.PasswordFile, c.EventTypes}
	for _, t := range c.Tenants {
		files = append(files, t.SecretFiles...)
		files = append(files, t.CustomSecretFiles...)
		files = append(files, t.Management.ClientSecretFile, t.Management.PrivateKeyFile)
	}
	for _, t := range c.API.Tokens {
		files = append(files, t.TokenFile)
	}
	for _, channel := range c.Notify.Channels {
		files = append(files, channel.SecretFiles()...)
	}
	for _, h := range c.Traces.Headers {
		files = append(files, h.ValueFile)
	}
	slices.Sort(files)
	return slices.DeleteFunc(slices.Compact(files), func(path string) bool { return path == "" })
}

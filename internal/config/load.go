package config

import (
	"encoding"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Origin says where settings come from, the later over the earlier: File,
// Environ (as os.Environ gives it), Flags (key to value).
type Origin struct {
	File    string
	Environ []string
	Flags   map[string]any
}

// aliases are names that the environment of a NATS or ClickHouse user has.
var aliases = map[string]string{"NATS_URL": "nats.url", "CLICKHOUSE_URL": "clickhouse.url", "M2MWATCH_ENGINE_LIBRARY": "clickhouse.library"}

// Load reads, merges and validates. Its error holds every problem found.
func Load(from Origin) (*Config, error) {
	c, err := Inspect(from)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Inspect is Load for whoever looks for what is wrong: beside an error it
// returns what could be read, the defaults for the rest, to be looked at and
// not to be used.
func Inspect(from Origin) (*Config, error) {
	c := Default()
	k := koanf.New(".")
	if err := loadFile(k, from.File); err != nil {
		return &c, err
	}
	file := k.Copy()
	env, err := environment(from.Environ)
	errs := []error{err}
	for _, layer := range []map[string]any{env, from.Flags} {
		if err := k.Load(confmap.Provider(layer, "."), nil); err != nil {
			return &c, fmt.Errorf("merge settings: %w", err)
		}
	}
	errs = append(errs, decode(k, &c))
	c.findPaths(filepath.Dir(from.File), func(key string) bool {
		_, inEnvironment := env[key]
		_, inFlags := from.Flags[key]
		return file.Exists(key) && !inEnvironment && !inFlags
	})
	errs = append(errs, c.readFiles(), c.Validate())
	return &c, errors.Join(errs...)
}

func loadFile(k *koanf.Koanf, path string) error {
	if path == "" {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	m, err := yaml.Parser().Unmarshal(b)
	if err != nil {
		return fmt.Errorf("read configuration %s: %w", path, err)
	}
	return k.Load(confmap.Provider(m, ""), nil)
}

// environment maps M2MWATCH_* onto keys. A name that no key has is an error,
// like an unknown key of the file; names that commands read for themselves
// (not settings of a server) are passed over.
func environment(environ []string) (map[string]any, error) {
	keys := Keys()
	byName := map[string]string{}
	for key := range keys {
		byName[EnvName(key)] = key
	}
	out := map[string]any{}
	var errs []error
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		key, ok := byName[name]
		if alias := aliases[name]; alias != "" {
			if _, set := out[alias]; !set && value != "" {
				out[alias] = value
			}
			continue
		}
		if !ok {
			if strings.HasPrefix(name, "M2MWATCH_") && !clientNames[name] {
				errs = append(errs, fmt.Errorf("environment: %s is no setting", name))
			}
			continue
		}
		if !keys[key] {
			out[key] = value
			continue
		}
		var list any
		if err := yamlv3.Unmarshal([]byte(value), &list); err != nil {
			errs = append(errs, fmt.Errorf("environment: %s: want YAML", name)) // not the value: it may hold a secret
			continue
		}
		out[key] = list
	}
	return out, errors.Join(errs...)
}

// clientNames are read by commands that ask a running instance, and by tests.
var clientNames = map[string]bool{
	"M2MWATCH_URL": true, "M2MWATCH_TOKEN": true, "M2MWATCH_CONFIG": true, "M2MWATCH_CUSTOM_SECRET": true,
	"M2MWATCH_REQUIRE_SERVERS": true, "M2MWATCH_KILL_AT": true, "M2MWATCH_PACE": true,
}

// EnvName is the environment's name of a key.
func EnvName(key string) string {
	return "M2MWATCH_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// Keys returns every key of the configuration, with true for those that hold a
// list or a mapping.
func Keys() map[string]bool {
	out := map[string]bool{}
	collectKeys(reflect.TypeFor[Config](), "", out)
	return out
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

func collectKeys(t reflect.Type, prefix string, out map[string]bool) {
	for field := range t.Fields() {
		if !field.IsExported() {
			continue
		}
		key := prefix + field.Tag.Get("koanf")
		if field.Type.Kind() == reflect.Struct && !reflect.PointerTo(field.Type).Implements(textUnmarshaler) {
			collectKeys(field.Type, key+".", out)
			continue
		}
		out[key] = field.Type.Kind() == reflect.Slice || field.Type.Kind() == reflect.Map
	}
}

func decode(k *koanf.Koanf, c *Config) error {
	err := k.UnmarshalWithConf("", c, koanf.UnmarshalConf{
		DecoderConfig: &mapstructure.DecoderConfig{
			TagName:          "koanf",
			Result:           c,
			ErrorUnused:      true,
			WeaklyTypedInput: true,
			DecodeHook: mapstructure.ComposeDecodeHookFunc(
				numbersAsText,
				mapstructure.TextUnmarshallerHookFunc(),
			),
		},
	})
	if err == nil {
		return nil
	}
	return fmt.Errorf("configuration: %s", plainText(err))
}

// numbersAsText lets a size or a span be written as a bare number in YAML.
func numbersAsText(from, to reflect.Type, value any) (any, error) {
	if from.Kind() == reflect.Int && reflect.PointerTo(to).Implements(textUnmarshaler) {
		return fmt.Sprint(value), nil
	}
	return value, nil
}

// quoted is how the decoder quotes a value that it could not use: it may be a
// secret in the wrong place.
var quoted = regexp.MustCompile(`(?s), (value|got.*?value): '.*?'`)

// plainText says "unknown keys" where the decoder says "invalid keys", and
// leaves values out.
func plainText(err error) string {
	text := quoted.ReplaceAllString(err.Error(), "")
	for _, r := range [][2]string{
		{"decoding failed due to the following error(s):\n\n", ""},
		{"'' has invalid keys", "unknown keys"},
		{"has invalid keys", "has unknown keys"},
	} {
		text = strings.ReplaceAll(text, r[0], r[1])
	}
	return text
}

// readFiles reads the secrets and the event types that stand in files.
func (c *Config) readFiles() error {
	var errs []error
	read := func(where, path string) Secret {
		s, err := readSecretFile(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
		}
		return s
	}
	for i := range c.Tenants {
		t := &c.Tenants[i]
		for _, path := range t.SecretFiles {
			if s := read("tenant "+t.Name, path); s != "" {
				t.Secrets = append(t.Secrets, s)
			}
		}
		for _, path := range t.CustomSecretFiles {
			if s := read("tenant "+t.Name, path); s != "" {
				t.CustomSecrets = append(t.CustomSecrets, s)
			}
		}
		if m := &t.Management; m.ClientSecretFile != "" {
			m.ClientSecret = read("tenant "+t.Name+": management", m.ClientSecretFile)
		}
		if m := &t.Management; m.PrivateKeyFile != "" {
			m.PrivateKey = read("tenant "+t.Name+": management", m.PrivateKeyFile)
		}
	}
	for i := range c.API.Tokens {
		if t := &c.API.Tokens[i]; t.TokenFile != "" {
			t.Token = read("api token "+t.Name, t.TokenFile)
		}
	}
	if w := &c.Notify.Webhook; w.SecretFile != "" {
		w.Secret = read("notify.webhook", w.SecretFile)
	}
	for i := range c.Notify.Channels {
		channel := &c.Notify.Channels[i]
		for path, secret := range channel.secretFiles() {
			if *path != "" {
				*secret = read("notify: channel "+channel.Name, *path)
			}
		}
	}
	for i := range c.Traces.Headers {
		if h := &c.Traces.Headers[i]; h.ValueFile != "" {
			h.Value = read("traces header "+h.Name, h.ValueFile)
		}
	}
	if n := &c.NATS; n.PasswordFile != "" {
		n.Password = read("nats.password_file", n.PasswordFile)
	}
	if c.ClickHouse.PasswordFile != "" {
		errs = append(errs, c.ClickHouse.usePassword(read("clickhouse.password_file", c.ClickHouse.PasswordFile)))
	}
	if c.EventTypes != "" {
		var err error
		if c.catalogue, err = readEventTypes(c.EventTypes); err != nil {
			errs = append(errs, fmt.Errorf("event_types: %w", err))
		}
	}
	return errors.Join(errs...)
}

// readEventTypes adds the table in a file to the program's own.
func readEventTypes(path string) (*schemas.Catalogue, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return schemas.EventTypes().With(path, string(b))
}

// usePassword puts a password into the URL, which must name the user that it is of.
func (c *ClickHouse) usePassword(password Secret) error {
	u, err := url.Parse(c.URL.Reveal())
	if err != nil || u.User.Username() == "" {
		return errors.New("clickhouse.password_file: want clickhouse.url to name a user, as clickhouse://USER@HOST:9000/DATABASE")
	}
	if _, twice := u.User.Password(); twice {
		return errors.New("clickhouse.password_file: clickhouse.url has a password already")
	}
	u.User = url.UserPassword(u.User.Username(), password.Reveal())
	c.URL = Secret(u.String())
	return nil
}

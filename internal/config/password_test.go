package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/config"
)

func TestPasswordsComeFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("p@ss:w/rd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func(url string) (*config.Config, error) {
		file := filepath.Join(dir, "m2mwatch.yaml")
		text := "nats: {url: nats://n, user: u, password_file: secret}\nclickhouse: {url: '" + url + "', password_file: secret}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return config.Load(config.Origin{File: file})
	}
	cfg, err := load("clickhouse://app@host:9000/db?secure=true")
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.NATS.Password.Reveal(); got != "p@ss:w/rd" {
		t.Errorf("password of NATS %q", got)
	}
	if got, want := cfg.ClickHouse.URL.Reveal(), "clickhouse://app:p%40ss%3Aw%2Frd@host:9000/db?secure=true"; got != want {
		t.Errorf("URL %q, want %q", got, want)
	}
	for url, want := range map[string]string{"clickhouse://host:9000/db": "name a user", "clickhouse://app:other@host/db": "has a password already"} {
		if _, err := load(url); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "p@ss") {
			t.Errorf("%s: %v, want %q in it", url, err, want)
		}
	}
}

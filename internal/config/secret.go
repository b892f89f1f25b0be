package config

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// hidden is what a secret prints as, wherever it is printed.
const hidden = "<secret>"

// Secret is a string that never prints itself. Reveal is the one way out.
type Secret string

// Reveal returns the secret; the caller must not log it.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString keeps %#v from printing the secret.
func (s Secret) GoString() string { return s.String() }

// MarshalText keeps encoders from printing the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue keeps slog from printing the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// readSecretFile reads a secret from a file, without the line end that editors
// leave behind it.
func readSecretFile(path string) (Secret, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read secret file: %w", err)
	}
	s := strings.TrimRight(string(b), "\r\n")
	if s == "" {
		return "", fmt.Errorf("secret file %s is empty", path)
	}
	return Secret(s), nil
}

// Reveal returns several secrets; the caller must not log them.
func Reveal(secrets []Secret) []string {
	plain := make([]string, len(secrets))
	for i, s := range secrets {
		plain[i] = s.Reveal()
	}
	return plain
}

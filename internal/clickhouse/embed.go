package clickhouse

import (
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// Role is a user of the embedded engine.
type Role string

// The roles. RoleApp is the pipeline's, it owns the databases. RoleAPI serves
// HTTP: it reads, and writes what people do to findings. RoleReader may only
// read, ten seconds a query: it is for SQL that someone else wrote.
// RoleExporter is RoleReader with ten minutes.
const (
	RoleApp      Role = "app"
	RoleAPI      Role = "api"
	RoleReader   Role = "reader"
	RoleExporter Role = "exporter"
)

// roles is every one.
func roles() []Role { return []Role{RoleApp, RoleAPI, RoleReader, RoleExporter} }

//go:embed engine_config.xml
var engineConfigXML string

//go:embed engine_users.xml
var engineUsersXML string

// layout is where things stand in the engine's folder:
//
//	config.xml  rendered at each start
//	users.xml   rendered at each start, with hashes of that start's passwords
//	data/       the tables, the only part that has to be kept; what queries
//	            spill is in data/tmp, 1 GiB at most
//	log/        engine.log, rotated
type layout struct{ dir string }

func (l layout) config() string { return filepath.Join(l.dir, "config.xml") }
func (l layout) users() string  { return filepath.Join(l.dir, "users.xml") }
func (l layout) data() string   { return filepath.Join(l.dir, "data") }
func (l layout) log() string    { return filepath.Join(l.dir, "log", "engine.log") }

// write makes the folders and renders both files, readable by their owner only.
func (l layout) write(memory int64, passwords map[Role]string) error {
	for _, dir := range []string{l.dir, l.data(), filepath.Dir(l.log())} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the engine's folder: %w", err)
		}
	}
	hashes := make(map[string]string, len(passwords))
	for role, password := range passwords {
		sum := sha256.Sum256([]byte(password))
		hashes[string(role)] = hex.EncodeToString(sum[:])
	}
	if err := render(l.users(), engineUsersXML, map[string]any{"Hash": hashes, "Memory": memory / 2}); err != nil {
		return err
	}
	return render(l.config(), engineConfigXML, map[string]any{
		"Memory": memory, "Users": l.users(), "Log": l.log(),
	})
}

// render writes a file whole or not at all.
func render(path, text string, values map[string]any) error {
	t, err := template.New(filepath.Base(path)).Option("missingkey=error").
		Funcs(template.FuncMap{"xml": escapeXML}).Parse(text)
	if err != nil {
		return fmt.Errorf("render %s: %w", path, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, values); err != nil {
		return fmt.Errorf("render %s: %w", path, err)
	}
	if err := os.WriteFile(path+".new", []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("render %s: %w", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("render %s: %w", path, err)
	}
	return nil
}

// escapeXML is for the paths, which may hold anything.
func escapeXML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// newPasswords makes one for each role. They live as long as the engine and are
// known to this process alone.
func newPasswords() map[Role]string {
	passwords := make(map[Role]string)
	for _, role := range roles() {
		passwords[role] = rand.Text()
	}
	return passwords
}

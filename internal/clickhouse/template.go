package clickhouse

import (
	"fmt"
	"strings"
	"text/template"
)

// render makes the statements of a file. Its template functions:
//
//	table NAME          the table's name
//	engine NAME ARG…    the engine with its arguments, replicated on a cluster
//	on_cluster          ON CLUSTER … on a cluster, nothing otherwise
func (m migration) render(o MigrateOptions) ([]string, error) {
	t, err := template.New(m.name).Funcs(template.FuncMap{
		"table":      func(name string) string { return name },
		"engine":     o.engine,
		"on_cluster": o.onCluster,
	}).Parse(m.text)
	if err != nil {
		return nil, fmt.Errorf("read migration %s: %w", m.name, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, nil); err != nil {
		return nil, fmt.Errorf("render migration %s: %w", m.name, err)
	}
	return splitStatements(b.String()), nil
}

// replicaPath is where the replicas of a table meet: one per shard, and one per
// incarnation of the table, so that a table dropped and made anew starts empty.
const replicaPath = "'/clickhouse/tables/{uuid}/{shard}', '{replica}'"

func (o MigrateOptions) engine(name string, args ...string) string {
	if o.Cluster != "" {
		name, args = "Replicated"+name, append([]string{replicaPath}, args...)
	}
	if len(args) == 0 {
		return name
	}
	return name + "(" + strings.Join(args, ", ") + ")"
}

func (o MigrateOptions) onCluster() string {
	if o.Cluster == "" {
		return ""
	}
	return "ON CLUSTER " + quote(o.Cluster)
}

// quote makes a string literal.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// splitStatements cuts at semicolons, which may stand in literals and in
// comments too. A part without a statement is left out.
func splitStatements(text string) []string {
	var statements []string
	start := 0
	for i := 0; i < len(text); {
		if text[i] == ';' {
			statements = appendStatement(statements, text[start:i])
			start = i + 1
		}
		i += tokenLength(text[i:])
	}
	return appendStatement(statements, text[start:])
}

func appendStatement(statements []string, text string) []string {
	text = strings.TrimSpace(text)
	for i := 0; i < len(text); {
		n := tokenLength(text[i:])
		if token := text[i : i+n]; !strings.HasPrefix(token, "--") && strings.TrimSpace(token) != "" {
			return append(statements, text)
		}
		i += n
	}
	return statements
}

// tokenLength is the length of the comment, the quoted text or the one byte
// that text begins with. What is not closed goes to the end.
func tokenLength(text string) int {
	switch {
	case strings.HasPrefix(text, "--"):
		if end := strings.IndexByte(text, '\n'); end >= 0 {
			return end
		}
		return len(text)
	case strings.IndexByte("'`\"", text[0]) >= 0:
		for i := 1; i < len(text); i++ {
			switch text[i] {
			case '\\':
				i++
			case text[0]:
				return i + 1
			}
		}
		return len(text)
	}
	return 1
}

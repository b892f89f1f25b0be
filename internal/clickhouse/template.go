package clickhouse

import (
	"fmt"
	"strings"
	"text/template"
)

// render makes the statements of a file. Its template functions:
//
//	table NAME             the name of the table that has the rows: NAME_local on a cluster
//	tables NAME            the names of all that a change of columns goes to, in its order:
//	                       NAME_local and NAME on a cluster
//	engine NAME ARG…       the engine with its arguments, replicated on a cluster
//	on_cluster             ON CLUSTER … on a cluster, nothing otherwise
//	distributed NAME KEY   on a cluster the statement that makes NAME of the NAME_local
//	                       of all shards; KEY says which shard a row goes to. Nothing otherwise
//	parts NAME             on a cluster the statement that makes NAME of the system.parts
//	                       of all shards. Nothing otherwise
func (m migration) render(to Topology) ([]string, error) {
	t, err := template.New(m.name).Funcs(template.FuncMap{
		"table":       to.stored,
		"tables":      to.tables,
		"engine":      to.engine,
		"on_cluster":  to.onCluster,
		"distributed": to.distributed,
		"parts":       to.parts,
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

func (t Topology) engine(name string, args ...string) string {
	if t.Cluster != "" && !t.Unreplicated {
		name, args = "Replicated"+name, append([]string{replicaPath}, args...)
	}
	if len(args) == 0 {
		return name
	}
	return name + "(" + strings.Join(args, ", ") + ")"
}

// distributed names the columns by the local table's, so that a file gives them
// once.
func (t Topology) distributed(name, key string) string {
	if t.Cluster == "" {
		return ""
	}
	local := t.stored(name)
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s %s AS %s.%s\nENGINE = Distributed(%s, %s, %s, %s)",
		name, t.onCluster(), t.Database, local, quote(t.Cluster), quote(t.Database), quote(local), key)
}

// parts has the columns that status reads, and not all: those of the servers
// may differ.
func (t Topology) parts(name string) string {
	if t.Cluster == "" {
		return ""
	}
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s %s\n"+
		"(database String, table String, name String, active UInt8, modification_time DateTime, bytes_on_disk UInt64)\n"+
		"ENGINE = Distributed(%s, 'system', 'parts')", name, t.onCluster(), quote(t.Cluster))
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

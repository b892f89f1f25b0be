package clickhouse

import (
	"context"
	"errors"
	"io/fs"
)

// StartOn starts an engine on this port and ends it; taken tells that the error
// is that another process has the port.
func StartOn(ctx context.Context, c EngineConfig, port int) (taken bool, err error) {
	e, err := newEngine(c)
	if err != nil {
		return false, err
	}
	if err := e.prepare(); err != nil {
		return false, err
	}
	e.port = port
	if err := e.start(ctx); err != nil {
		return errors.Is(err, errPortTaken), err
	}
	e.current().close()
	return false, nil
}

// Render returns the statements of all migrations.
func Render(fsys fs.FS, to Topology) ([]string, error) {
	all, err := Schema(fsys, to)
	var statements []string
	for _, m := range all {
		statements = append(statements, m.Statements...)
	}
	return statements, err
}

// SplitStatements is splitStatements.
func SplitStatements(text string) []string { return splitStatements(text) }

// NewTail is newTail.
func NewTail(limit int) interface {
	Write(p []byte) (int, error)
	String() string
} {
	return newTail(limit)
}

// Seen is what a Config comes to.
type Seen struct {
	Addr                     []string
	User, Password, Database string
	TLS                      bool
	Compression              string
}

// See reads a Config.
func See(c Config) (Seen, error) {
	o, err := c.options()
	if err != nil {
		return Seen{}, err
	}
	if o.Settings["async_insert"] != 0 {
		return Seen{}, errors.New("async_insert is not off")
	}
	return Seen{o.Addr, o.Auth.Username, o.Auth.Password, o.Auth.Database, o.TLS != nil, o.Compression.Method.String()}, nil
}

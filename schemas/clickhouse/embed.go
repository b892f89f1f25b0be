// Package clickhouse holds the migrations of the store: numbered .sql files,
// templates over the engine, so that the same files make plain tables on one
// server, and replicated and Distributed ones on a cluster.
package clickhouse

import "embed"

// Migrations are applied in the order of their names.
//
//go:embed *.sql
var Migrations embed.FS

// Tables lists what the migrations make, part by part, for whoever looks for
// drift. It is generated from a real server: `make golden`.
//
//go:embed tables.tsv
var Tables string

// Package clickhouse is the adapter to the store: it connects to ClickHouse, or
// brings its own as a child process, migrates it, writes what the processor
// made and answers what the stages ask.
package clickhouse

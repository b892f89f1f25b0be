// Package nats is the adapter to JetStream: it embeds a server or connects to
// one outside, declares the streams, publishes into them and reads the work
// queues.
//
// Everything here is at least once. A publish that returned nil is on disk; a
// publish that returned an error may be on disk all the same, and is harmless
// to repeat.
package nats

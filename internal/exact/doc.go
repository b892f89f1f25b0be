// Package exact holds no code, only a test: histories of logs go through the
// processor, the recount and the correlator into a real store, with repeats,
// delays and crashes, and whatever the store then tells is held against a
// count of the logs that were sent.
package exact

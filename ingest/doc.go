// Package ingest takes in logs and makes them durable: the webhook that an
// Auth0 log stream posts to and the import of history, both into LOGS.
//
// A request runs through these steps, none of which holds more than the
// request's share of the memory budget:
//
//  1. the body is split into records while it streams in (Splitter);
//  2. the values of secrets are masked;
//  3. records are framed and join a group with those of other requests
//     (committer); what cannot be read goes to DEAD;
//  4. the request is answered when every group that holds one of its records,
//     and every dead log of it, is synced to disk.
//
// A crash before the answer leaves the sender without one: it sends again, and
// the store keeps one row per log_id. At least once, idempotent.
package ingest

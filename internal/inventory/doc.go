// Package inventory reads what a tenant has through its Management API, and tells
// what became of it since. It takes what is on a list, schemas.InventoryMembers,
// and nothing else of an answer, so that no secret can be kept. It stores nothing
// and reads no clock.
package inventory

// Package auth0sim is a simulated Auth0 tenant: a population of machine
// applications and people from a seed, their history as log records, a token
// endpoint and a Management API over HTTP in which all of them can be seen and
// changed, and log streams that deliver what happens to a webhook. It is for
// tests and the demo.
//
// What is generated is a function of the seed and of the times that are passed
// in: the same seed gives the same bytes. Every address lies in a range that is
// reserved for documentation, benchmarks or shared use, and every domain is an
// example domain, so that no record names anybody.
package auth0sim

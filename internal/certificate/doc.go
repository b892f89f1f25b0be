// Package certificate is the certificate that TLS listeners show: one of files
// that may be replaced while it is in use, or those that an ACME server gives.
package certificate

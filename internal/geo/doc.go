// Package geo tells the country and the autonomous system of an address, of
// files in MaxMind's format (.mmdb), whoever made them.
package geo

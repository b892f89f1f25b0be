package notify

import (
	"slices"
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Route sends the alerts that it matches to channels. What is left empty matches
// all.
type Route struct {
	Tenants []string
	Levels  []schemas.Level
	// MinLevel matches this level and those above.
	MinLevel schemas.Level
	// Rules are ids, or their beginnings with a * behind.
	Rules []string
	// Owners are those that the inventory knows of the finding's identity, with *
	// for any characters; an empty one is that of what nobody owns.
	Owners []string
	// Channels are the names of where it goes.
	Channels []string
}

// Matches reports whether the route is one for the finding.
func (r *Route) Matches(f schemas.Finding) bool {
	return (len(r.Tenants) == 0 || slices.Contains(r.Tenants, f.Tenant)) &&
		(len(r.Levels) == 0 || slices.Contains(r.Levels, f.Level)) &&
		(r.MinLevel == "" || f.Level.AtLeast(r.MinLevel)) &&
		(len(r.Rules) == 0 || slices.ContainsFunc(r.Rules, func(rule string) bool { return fits(rule, f.RuleID) })) &&
		(len(r.Owners) == 0 || slices.ContainsFunc(r.Owners, func(owner string) bool { return fitsGlob(owner, f.Evidence.Owner) }))
}

// fitsGlob compares a whole text with a pattern in which * is any characters.
func fitsGlob(pattern, text string) bool {
	first, rest, more := strings.Cut(pattern, "*")
	text, ok := strings.CutPrefix(text, first)
	if !ok || !more {
		return ok && text == ""
	}
	parts := strings.Split(rest, "*")
	for _, part := range parts[:len(parts)-1] {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}

func fits(pattern, rule string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(rule, prefix)
	}
	return pattern == rule
}

// channelsFor are the names of the channels that an alert goes to, each once, in
// the order of the lanes. Where its owner could not be looked up it goes to all
// that any owner's would: rather one who does not own it is told than nobody.
func (c *Config) channelsFor(f schemas.Finding, anyOwner bool) []string {
	matches := func(r Route) bool {
		if anyOwner {
			r.Owners = nil
		}
		return r.Matches(f)
	}
	var names []string
	for _, l := range c.Lanes {
		name := l.Channel.Name()
		if len(c.Routes) == 0 || slices.ContainsFunc(c.Routes, func(r Route) bool { return slices.Contains(r.Channels, name) && matches(r) }) {
			names = append(names, name)
		}
	}
	return names
}

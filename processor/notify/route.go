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
	// Channels are the names of where it goes.
	Channels []string
}

// Matches reports whether the route is one for the finding.
func (r *Route) Matches(f schemas.Finding) bool {
	return (len(r.Tenants) == 0 || slices.Contains(r.Tenants, f.Tenant)) &&
		(len(r.Levels) == 0 || slices.Contains(r.Levels, f.Level)) &&
		(r.MinLevel == "" || f.Level.AtLeast(r.MinLevel)) &&
		(len(r.Rules) == 0 || slices.ContainsFunc(r.Rules, func(rule string) bool { return fits(rule, f.RuleID) }))
}

func fits(pattern, rule string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(rule, prefix)
	}
	return pattern == rule
}

// channelsFor are the names of the channels that an alert goes to, each once, in
// the order of the lanes.
func (c *Config) channelsFor(f schemas.Finding) []string {
	var names []string
	for _, l := range c.Lanes {
		name := l.Channel.Name()
		if len(c.Routes) == 0 || slices.ContainsFunc(c.Routes, func(r Route) bool { return slices.Contains(r.Channels, name) && r.Matches(f) }) {
			names = append(names, name)
		}
	}
	return names
}

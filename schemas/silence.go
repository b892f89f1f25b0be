package schemas

import "time"

// MaxSilence is for how long a silence may be: what is to be so for ever is said
// in the rules.
const MaxSilence = 366 * 24 * time.Hour

// Silence keeps findings from paging, from when until when. What a matcher leaves
// empty matches all.
type Silence struct {
	ID string `json:"id" example:"k3v5q2m7x4a6b8cd"`
	SilenceMatcher
	By        string    `json:"by" doc:"Who answers for it." example:"jane@ops-1"`
	Reason    string    `json:"reason"`
	MadeAt    time.Time `json:"made_at"`
	StartsAt  time.Time `json:"starts_at"`
	EndsAt    time.Time `json:"ends_at"`
	ExpiredBy string    `json:"expired_by,omitempty" doc:"Who ended it early."`
}

// SilenceMatcher says which findings are silenced: those that all that is given fits.
type SilenceMatcher struct {
	Tenant   string `json:"tenant,omitempty" maxLength:"63" example:"acme"`
	RuleID   string `json:"rule_id,omitempty" maxLength:"128" example:"MI-02"`
	Identity string `json:"identity,omitempty" maxLength:"512" example:"app:invoice-sync"`
	Key      string `json:"key,omitempty" maxLength:"512"`
	Level    Level  `json:"level,omitempty" enum:"informational,low,medium,high,critical"`
	Owner    string `json:"owner,omitempty" maxLength:"256" doc:"The inventory's, of the identity."`
}

// Matches reports whether a finding, whose identity has the owner, is one of those.
func (m *SilenceMatcher) Matches(f *Finding, owner string) bool {
	fits := func(want, is string) bool { return want == "" || want == is }
	return fits(m.Tenant, f.Tenant) && fits(m.RuleID, f.RuleID) && fits(m.Identity, f.Identity) &&
		fits(m.Key, f.Key) && fits(string(m.Level), string(f.Level)) && fits(m.Owner, owner)
}

// Holds reports whether the silence is in force at a time.
func (s *Silence) Holds(at time.Time) bool { return !at.Before(s.StartsAt) && at.Before(s.EndsAt) }

// SilenceRequest is a silence that is asked for.
type SilenceRequest struct {
	SilenceMatcher
	By     string `json:"by" minLength:"1" maxLength:"256" doc:"Who answers for it." example:"jane@ops-1"`
	Reason string `json:"reason" minLength:"1" maxLength:"2000"`
	Starts string `json:"starts,omitempty" maxLength:"64" doc:"RFC 3339 or a date; left out it is now."`
	Ends   string `json:"ends" minLength:"1" maxLength:"64" doc:"RFC 3339, a date, or for how long: 90m, 24h, 7d, 2w. A year at most." example:"8h"`
}

// SilencePage is a list of silences, those that end last first.
type SilencePage struct {
	Silences []Silence `json:"silences"`
}

package schemas

import (
	"regexp"
	"strings"
	"time"
)

// FindingContext is what is known beside the events of a finding at the moment
// that somebody looks at it. It is not stored with it: a finding is a function of
// the events, and this changes with the inventory and with the clock.
type FindingContext struct {
	Owner       string    // the inventory's; empty where it knows none
	SourceKnown *bool     // the identity succeeded before from every network of the finding; nil where no network is told
	TokensAlive uint64    // tokens issued to the identity that have not expired
	TokensUntil time.Time // when the last of them will; zero where there is none
}

// Explain puts what is known into the evidence. domain is the tenant's at Auth0,
// "" where it is not known, and runbook the command that prints what to do about
// a finding of the rule, "" where there is none.
func (f *Finding) Explain(c FindingContext, domain, runbook string) {
	e := &f.Evidence
	e.Owner, e.Runbook = c.Owner, runbook
	if f.State != StateOpen {
		return
	}
	e.SourceKnown, e.TokensAlive = c.SourceKnown, c.TokensAlive
	if !c.TokensUntil.IsZero() {
		until := c.TokensUntil.UTC()
		e.TokensUntil = &until
	}
	e.Contain, e.Undo = containCommands(f.Identity, domain)
}

// containCommands stop an identity, and let it go on; "" for what cannot be
// stopped by itself. An id may have been chosen by whoever called Auth0, and the
// command is copied into a shell.
func containCommands(identity, domain string) (contain, undo string) {
	where := ""
	if domain != "" {
		where = " --domain " + shellWord(domain)
	}
	if id, ok := strings.CutPrefix(identity, AppID("")); ok && id != "" {
		file := shellWord(fileName(id) + ".grants.json")
		return "m2mwatch apps disable" + where + " --grants-file " + file + " -- " + shellWord(id), "m2mwatch apps enable" + where + " -- " + file
	}
	if id, ok := strings.CutPrefix(identity, UserID("")); ok && id != "" {
		return "m2mwatch users block" + where + " -- " + shellWord(id), "m2mwatch users unblock" + where + " -- " + shellWord(id)
	}
	return "", ""
}

var (
	plainWord   = regexp.MustCompile(`^[A-Za-z0-9_.@:/][A-Za-z0-9_.@:/-]*$`)
	notInAName  = regexp.MustCompile(`[^A-Za-z0-9_-]+`)
	unprintable = regexp.MustCompile(`[[:cntrl:]]`)
)

// shellWord is a text as one word of a POSIX shell.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(unprintable.ReplaceAllString(s, "?"), "'", `'\''`) + "'"
}

// fileName is an id as the name of a file, cut where it is long.
func fileName(id string) string {
	name := notInAName.ReplaceAllString(id, "_")
	return name[:min(len(name), 64)]
}

package schemas

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// DigestFilter asks for a digest. Zero values do not narrow.
type DigestFilter struct {
	Tenant   string
	Owner    *string   // nil is all; an empty one what nobody owns
	From, To time.Time // both are wanted: [From, To)
}

// Digest is what nobody was woken for, by who has to see to it.
type Digest struct {
	From     time.Time      `json:"from"`
	To       time.Time      `json:"to"`
	Owners   []OwnerDigest  `json:"owners" doc:"By owner, those without one last."`
	Rules    []DigestRule   `json:"rules" doc:"Rules by how much they found, the most first: those that tell too much are to be tuned."`
	Coverage DigestCoverage `json:"coverage"`
}

// Empty reports whether nothing at all is known of the time: no machine was seen, and
// none is missed.
func (d *Digest) Empty() bool {
	c := &d.Coverage
	return len(d.Owners) == 0 && len(d.Rules) == 0 && c.Machines == 0 && len(c.Gaps) == 0
}

// OwnerDigest is the part of a digest that is an owner's.
type OwnerDigest struct {
	Owner    string          `json:"owner" doc:"The inventory's; empty for what nobody owns."`
	Findings []DigestFinding `json:"findings" doc:"Of level medium, low and informational, and more urgent ones whose page was held back, the last active first."`
	New      []DigestMachine `json:"new" doc:"Machines that were seen, and not in the 90 days before."`
	Failing  []DigestMachine `json:"failing" doc:"Machines of whose events a tenth or more were failures."`
	Silent   []DigestMachine `json:"silent" doc:"Machines that were not seen, and were in the four weeks before."`
	Wasteful []DigestMachine `json:"wasteful" doc:"Machines that got ten times the tokens that their lifetime asks for, and a hundred at least."`
}

// DigestFinding is a finding in a digest.
type DigestFinding struct {
	ID       string    `json:"id"`
	RuleID   string    `json:"rule_id"`
	Title    string    `json:"title"`
	Tenant   string    `json:"tenant"`
	Identity string    `json:"identity"`
	Level    Level     `json:"level"`
	State    State     `json:"state"`
	Last     time.Time `json:"last"`
}

// DigestMachine is a machine in a digest.
type DigestMachine struct {
	Tenant   string    `json:"tenant"`
	ID       string    `json:"id" example:"app:invoice-sync"`
	Name     string    `json:"name"`
	Last     time.Time `json:"last,omitzero" doc:"When it was seen last."`
	Events   uint64    `json:"events" doc:"Of the range; of a silent one in the four weeks before."`
	Failures uint64    `json:"failures"`
	Tokens   uint64    `json:"tokens,omitzero" doc:"Of a wasteful one: that it got."`
	Needed   uint64    `json:"needed,omitzero" doc:"Of a wasteful one: that their lifetime asks for, one network at a time."`
}

// DigestRule is how much a rule found.
type DigestRule struct {
	RuleID     string `json:"rule_id"`
	Findings   uint64 `json:"findings"`
	Identities uint64 `json:"identities"`
	Withdrawn  uint64 `json:"withdrawn" doc:"Those of them that late events took back."`
}

// DigestCoverage is how much of what happened can have been seen.
type DigestCoverage struct {
	Machines     uint64      `json:"machines" doc:"That were seen in the range."`
	WithoutOwner uint64      `json:"without_owner" doc:"Those of them that nobody owns, or that the inventory does not know."`
	Gaps         []DigestGap `json:"gaps" doc:"Whole hours without any log of a tenant that had some before and behind, three and more."`
	More         bool        `json:"more" doc:"There was more than is counted here: ask for one tenant or a shorter range."`
}

// DigestGap is a time in which nothing was stored of a tenant.
type DigestGap struct {
	Tenant string    `json:"tenant"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
}

// Empty reports whether there is nothing for the owner to see to.
func (o *OwnerDigest) Empty() bool {
	return len(o.Findings)+len(o.New)+len(o.Failing)+len(o.Silent)+len(o.Wasteful) == 0
}

// digestShown is how many of a kind the text of a digest names.
const digestShown = 10

// Text is the digest as a person reads it.
func (d *Digest) Text() string {
	var b strings.Builder
	for i := range d.Owners {
		d.Owners[i].write(&b)
	}
	if len(d.Owners) == 0 {
		b.WriteString("Nothing to see to.\n")
	}
	writeLine(&b, "Noisy rules", d.Rules, func(r DigestRule) string {
		return fmt.Sprintf("%s %d of %d identities, %d withdrawn", r.RuleID, r.Findings, r.Identities, r.Withdrawn)
	})
	fmt.Fprintf(&b, "Coverage: %d machines seen, %d without an owner\n", d.Coverage.Machines, d.Coverage.WithoutOwner)
	writeLine(&b, "Without any log", d.Coverage.Gaps, func(g DigestGap) string {
		return fmt.Sprintf("%s %s to %s", g.Tenant, digestTime(g.From), digestTime(g.To))
	})
	if d.Coverage.More {
		b.WriteString("There is more than is counted here: m2mwatch digest --tenant TENANT, or a shorter range\n")
	}
	return b.String()
}

func (o *OwnerDigest) write(b *strings.Builder) {
	fmt.Fprintf(b, "%s\n", cmp.Or(o.Owner, "(no owner)"))
	byRule := map[string]int{}
	var rules []string
	for _, f := range o.Findings {
		if byRule[f.RuleID]++; byRule[f.RuleID] == 1 {
			rules = append(rules, f.RuleID)
		}
	}
	slices.Sort(rules)
	writeLine(b, "  Findings", rules, func(rule string) string { return fmt.Sprintf("%s %d", rule, byRule[rule]) })
	writeLine(b, "  New", o.New, func(m DigestMachine) string { return m.ID })
	writeLine(b, "  Failing", o.Failing, func(m DigestMachine) string {
		return fmt.Sprintf("%s %d of %d", m.ID, m.Failures, m.Events)
	})
	writeLine(b, "  Silent", o.Silent, func(m DigestMachine) string { return m.ID + " since " + digestTime(m.Last) })
	writeLine(b, "  Wasteful", o.Wasteful, func(m DigestMachine) string {
		return fmt.Sprintf("%s %d tokens for %d", m.ID, m.Tokens, m.Needed)
	})
}

func digestTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

func writeLine[T any](b *strings.Builder, name string, rows []T, text func(T) string) {
	if len(rows) == 0 {
		return
	}
	words := make([]string, 0, digestShown)
	for _, row := range rows[:min(len(rows), digestShown)] {
		words = append(words, text(row))
	}
	more := ""
	if n := len(rows) - digestShown; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	fmt.Fprintf(b, "%s: %s%s\n", name, strings.Join(words, ", "), more)
}

// DigestWeek is the last whole week, Monday to Monday of UTC, that was over at a
// time.
func DigestWeek(at time.Time) (from, to time.Time) {
	day := at.UTC().Truncate(24 * time.Hour)
	to = day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
	return to.AddDate(0, 0, -7), to
}

// DigestAlert is a digest as an alert to a channel. There is one of a week: its id
// says so.
func DigestAlert(channel string, d Digest) Alert {
	id := DigestID(channel, d.From)
	f := Finding{
		ID: id, RuleID: "digest", State: StateOpen, Level: LevelInformational, First: d.From, Last: d.To,
		Title: "Digest of the week from " + d.From.UTC().Format(time.DateOnly),
		Evidence: Evidence{
			Summary: d.Text(), NextCommand: "m2mwatch digest --from " + d.From.UTC().Format(time.DateOnly) + " --to " + d.To.UTC().Format(time.DateOnly),
		},
	}
	for i := range d.Owners {
		f.Count += uint64(len(d.Owners[i].Findings))
	}
	return Alert{ID: id, Finding: f, Digest: &d}
}

// DigestID names the digest for a channel of the week that begins at a time.
func DigestID(channel string, week time.Time) string {
	return "digest/" + channel + "/" + week.UTC().Format(time.DateOnly)
}

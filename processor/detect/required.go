package detect

import (
	"slices"
	"time"
)

// Required is what a key must have for a correlation to find anything of it: a match
// of one of some selectors, in the range that is asked about, or before it by Back at
// most.
type Required struct {
	Selectors []string
	Back      time.Duration
}

// requiring is a kind that finds nothing of a key that lacks one of several things.
type requiring interface {
	required(c *Correlation) []Required
}

// Required is all that a key must have, but for what it has whenever it is touched.
func (c *Correlation) Required() []Required {
	k, ok := c.kind.(requiring)
	if !ok {
		return nil
	}
	return slices.DeleteFunc(k.required(c), func(r Required) bool {
		return !slices.ContainsFunc(c.uses(), func(u *Rule) bool { return !slices.Contains(r.Selectors, u.Selector) })
	})
}

// required: a failure that triggers, and a success that makes its value known.
func (unbroken) required(c *Correlation) []Required {
	return []Required{
		{[]string{c.Main.Selector}, 0},
		{[]string{c.Known.Selector}, c.Timespan + c.KnownLookback},
	}
}

// required: the match that triggers, and what it must be known by.
func (k counted) required(*Correlation) []Required {
	all := []Required{{selectorsOfRules(k.rules), 0}}
	if k.known != nil && !k.own {
		all = append(all, Required{[]string{k.known.Selector}, k.lookback})
	}
	return all
}

// required: an event of each step, and what its source must be known by.
func (s *sequence) required(*Correlation) []Required {
	var all []Required
	for _, st := range s.steps {
		all = append(all, Required{selectorsOfRules(st.rules), s.timespan})
	}
	all[len(all)-1].Back = 0
	if s.known != nil && len(s.only) > 0 && !slices.ContainsFunc(s.only, s.mayBeUnseen) {
		all = append(all, Required{selectorsOfRules(s.known.rules), s.known.lookback})
	}
	return all
}

// mayBeUnseen reports whether a source of that name may be one of a key that was seen
// nowhere.
func (s *sequence) mayBeUnseen(source string) bool {
	return source == "unclear" || source == "new" && s.known.least == 0
}

// required: a use that triggers, and an issue by which the key is watched.
func (o *orphan) required(c *Correlation) []Required {
	return []Required{
		{[]string{c.Main.Selector}, 0},
		{[]string{o.issued.Selector}, o.within + o.history},
	}
}

// required: of each rule a match, where all of them are needed.
func (k together) required(c *Correlation) []Required {
	if !k.ordered && k.least < uint64(len(k.rules)) {
		return nil
	}
	var all []Required
	for _, r := range k.rules {
		all = append(all, Required{[]string{r.Selector}, c.Timespan})
	}
	return all
}

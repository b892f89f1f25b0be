package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// paceNames are the waits that tests shorten: for how long nothing may have
// touched an hour before it is recounted, and how often the recounter looks;
// how long a lease stands; after how long what a dead reader held comes again;
// how long the store is waited for; how often live logs are pulled, how fast
// pages follow one another, and after how long without any it is a gap.
var paceNames = []string{"quiet", "look", "lease", "ack", "answer", "pull", "page", "gap"}

// pace is what M2MWATCH_PACE=name=duration,… says, for tests that break
// something and wait until it goes on. A wait that is not named takes as long
// as it is made for; so do all without it.
type pace map[string]time.Duration

func parsePace(environ []string) (pace, error) {
	p := pace{}
	value := lookup(environ, "M2MWATCH_PACE")
	if value == "" {
		return p, nil
	}
	for part := range strings.SplitSeq(value, ",") {
		name, text, _ := strings.Cut(part, "=")
		d, err := time.ParseDuration(text)
		if !slices.Contains(paceNames, name) || err != nil || d <= 0 {
			return nil, fmt.Errorf("%w: M2MWATCH_PACE: want name=duration, a name being one of %s", errUsage, strings.Join(paceNames, ", "))
		}
		p[name] = d
	}
	return p, nil
}

// or is the wait of that name, or else usual.
func (p pace) or(name string, usual time.Duration) time.Duration {
	if d, ok := p[name]; ok {
		return d
	}
	return usual
}

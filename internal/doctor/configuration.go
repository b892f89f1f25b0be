package doctor

import (
	"context"
	"strings"
)

// configuration tells every problem of the settings at once.
func (d *Doctor) configuration(context.Context) Result {
	var r Result
	from := "the environment and defaults"
	if d.cfg.Origin.File != "" {
		from = d.cfg.Origin.File
	}
	if d.cfg.Problem == nil {
		r.ok("%s", from)
		return r
	}
	for problem := range strings.SplitSeq(d.cfg.Problem.Error(), "\n") {
		if problem = strings.TrimSpace(problem); problem != "" {
			r.fail("", "%s", problem)
		}
	}
	r.Notes[len(r.Notes)-1].Advice = "correct " + from + ": the README lists the settings. The checks below take what could be read"
	return r
}

package processor

import "time"

// pace is how long the looks of a rule take, about.
type pace struct {
	base   time.Duration // whatever it is for
	perKey time.Duration // beside that
	tick   time.Duration // for one step of a search for keys
}

const (
	// lookWork is how long a look may take; more keys are asked for in several.
	lookWork = time.Second
	// aLook and perKeyAtFirst are what is guessed before there was any look: what one
	// takes however few keys it is for, and each key beside that.
	aLook         = 25 * time.Millisecond
	perKeyAtFirst = 2 * time.Millisecond
	fewestKeys    = 16
)

func (a *agenda) paceOf(e *entry) *pace {
	of := duty{class: e.class, rule: e.rule}
	p := a.pace[of]
	if p == nil {
		p = &pace{base: aLook, perKey: perKeyAtFirst}
		a.pace[of] = p
	}
	return p
}

// keys is how many of them a look is for: where most of the time goes whatever it is for,
// so many that they take as much.
func (p *pace) keys() int {
	return max(fewestKeys, int(max(lookWork-p.base, p.base)/max(p.perKey, time.Microsecond)))
}

// note learns from a look. One for few keys tells of none of them.
func (p *pace) note(keys int, took time.Duration) {
	if keys <= fewestKeys {
		p.base = (p.base + took) / 2
		return
	}
	p.perKey = (p.perKey + max(0, took-p.base)/time.Duration(keys)) / 2
}

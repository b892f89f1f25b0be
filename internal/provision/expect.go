package provision

import (
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// WantedExpect is what is normal for an identity. It is declared to the instance that
// watches the tenant, whose rules read it, and never written to the tenant. It is
// all of it: what is left out is not declared any more; {} declares nothing.
type WantedExpect struct {
	Line int `yaml:"-"`

	Networks []string `yaml:"networks,omitempty"`
	Clouds   []string `yaml:"clouds,omitempty"`
	Runtimes []string `yaml:"runtimes,omitempty"`
	Cadence  string   `yaml:"cadence,omitempty"`
	Expires  string   `yaml:"expires,omitempty"`
}

func (w *WantedExpect) expect() schemas.Expect {
	return schemas.Expect{Networks: w.Networks, Clouds: w.Clouds, Runtimes: w.Runtimes, Cadence: w.Cadence, Expires: w.Expires}
}

// expect checks it.
func (v *machinesCheck) expect(w *WantedExpect) {
	if w == nil {
		return
	}
	for name, list := range map[string][]string{"networks": w.Networks, "clouds": w.Clouds, "runtimes": w.Runtimes} {
		v.distinct(w.Line, "expect: "+name, list)
	}
	e := w.expect()
	if err := e.Validate(); err != nil {
		for problem := range strings.Lines(err.Error()) {
			v.wrong(w.Line, "expect: %s", strings.TrimSuffix(problem, "\n"))
		}
	}
}

// Expected is what is to be declared of one identity.
type Expected struct {
	Kind   string         `json:"kind"` // KindApplication or KindUser
	Key    string         `json:"key"`
	ID     string         `json:"id,omitempty"` // "" of an application that is to be made
	Expect schemas.Expect `json:"expect"`
}

// Identity is the identity that it is declared of, "" as long as that has no id.
func (e *Expected) Identity() string {
	switch {
	case e.ID == "":
		return ""
	case e.Kind == KindUser:
		return schemas.UserID(e.ID)
	}
	return schemas.AppID(e.ID)
}

// expects notes what the file declares of an identity.
func (p *Planner) expects(kind, key, id string, w *WantedExpect) {
	if w != nil {
		p.plan.Expected = append(p.plan.Expected, Expected{kind, key, id, w.expect()})
	}
}

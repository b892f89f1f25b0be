package detect

import (
	"cmp"
	"io/fs"
	"path"

	"go.yaml.in/yaml/v3"
)

// Parse reads every *.yml and *.yaml file of fsys, in all its folders, and
// compiles the rules. Its error is of type Problems and holds everything that
// is not understood: nothing is skipped, and a set is given only without an
// error.
func Parse(fsys fs.FS) (*Set, error) {
	p := parser{}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			p.reporter(name).at(0, "read: %v", err)
			return nil
		}
		if ext := path.Ext(name); !entry.IsDir() && (ext == ".yml" || ext == ".yaml") {
			p.file(fsys, name)
		}
		return nil
	})
	if err != nil {
		p.reporter(".").at(0, "read: %v", err)
	}
	correlations := p.resolve()
	if len(p.problems) > 0 {
		return nil, p.problems.sorted()
	}
	return newSet(p.rules, correlations), nil
}

type parser struct {
	problems     Problems
	rules        []Rule
	correlations []*pending
}

func (p *parser) reporter(file string) reporter { return reporter{file: file, problems: &p.problems} }

func (p *parser) file(fsys fs.FS, name string) {
	r := p.reporter(name)
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		r.at(0, "read: %v", err)
		return
	}
	for _, n := range documents(r, data) {
		p.document(r, n)
	}
}

func (p *parser) document(r reporter, n *yaml.Node) {
	d := newDocument(r, n, "rule")
	if d == nil {
		return
	}
	switch rule, correlation := d.vals["detection"] != nil, d.vals["correlation"] != nil; {
	case rule && !correlation:
		p.rules = append(p.rules, parseRule(d))
	case correlation && !rule:
		p.correlations = append(p.correlations, parseCorrelation(d))
	default:
		d.on(n, "want either detection or correlation in a document")
	}
}

// resolve connects the correlations with the rules they name, wherever these
// stand, and reports names given twice and rules that nothing uses.
func (p *parser) resolve() []Correlation {
	byName := map[string]*Rule{}
	p.unique()
	for i := range p.rules {
		r := &p.rules[i]
		byName[r.ID] = r
		if r.Name != "" {
			byName[r.Name] = r
		}
	}
	used := map[*Rule]bool{}
	find := func(name string) *Rule {
		r := byName[name]
		used[r] = true
		return r
	}
	var correlations []Correlation
	for _, c := range p.correlations {
		correlations = append(correlations, c.resolve(find))
	}
	for i := range p.rules {
		if r := &p.rules[i]; !used[r] {
			p.reporter(r.File).at(r.Line, "rule %s: no correlation uses it, and a rule alone finds nothing here", cmp.Or(clip(r.Name), r.ID))
		}
	}
	return correlations
}

// unique reports ids and names that stand for two things.
func (p *parser) unique() {
	seen := map[string]bool{}
	once := func(r reporter, line int, what, name string) {
		if name == "" {
			return
		}
		if seen[name] {
			r.at(line, "%s %s: is taken", what, clip(name))
		}
		seen[name] = true
	}
	for _, r := range p.rules {
		once(p.reporter(r.File), r.Line, "id", r.ID)
		once(p.reporter(r.File), r.Line, "name", r.Name)
	}
	for _, c := range p.correlations {
		once(c.reporter, c.Line, "id", c.ID)
		if c.Code != c.ID {
			once(c.reporter, c.Line, "x-code", c.Code)
		}
		once(c.reporter, c.Line, "name", c.Name)
	}
}

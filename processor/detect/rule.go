package detect

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

var (
	uuidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	rulePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// statuses are Sigma's.
var statuses = []string{"stable", "test", "experimental", "deprecated", "unsupported"}

// prose are keys for people alone: Sigma's, and those of Auth0's catalogue.
var prose = []string{
	"description", "author", "date", "modified", "references", "falsepositives", "license", "related", "fields", "scope",
	"explanation", "comments", "splunk", "tenant_logs", "prevention", "false_positive", "false_positives",
}

// ruleKeys are all keys of a rule that mean something.
var ruleKeys = append([]string{
	"title", "id", "name", "status", "level", "tags", "logsource", "detection", "correlation", "taxonomy",
}, prose...)

// parseRule reads a base rule. Its key is settled by resolve.
func parseRule(d *document) Rule {
	r := Rule{
		File: d.file, Line: d.node.Line,
		Name: d.name(), Title: d.needText("title"), Status: d.status(),
		Level: d.level(), Tags: d.texts("tags"),
	}
	r.ID = d.ruleID(r.Title)
	d.logSource()
	d.ignore(prose...)
	r.selection = d.detection()
	d.match(&r)
	d.finds(&r)
	d.annotations()
	if n := d.take("x-code"); n != nil {
		d.on(n, "x-code: correlations alone have one: a rule that finds something by itself goes by its id")
	}
	d.rest("a rule")
	if r.selection == nil {
		return r
	}
	if types, bounded := r.selection.types(); bounded {
		r.Types = types
		if len(types) == 0 {
			d.aside(d.node, "detection: no event has a type for which it can hold")
		}
	}
	return r
}

// misplaced are words that say what is found where they belong: inside of detection
// or correlation, and in the collections of the old Sigma. Where nobody reads them a
// rule would find something else than it says.
var misplaced = []string{
	"condition", "timeframe", "timespan", "group-by", "rules", "aliases", "generate", "type", "gte", "gt", "lte", "lt", "eq",
	"selection", "filter", "keywords", "threshold", "action", "detections", "backend", "tenant",
}

// annotations takes the keys that are nobody's. Sigma allows any beside its
// own, and none changes what is selected; but a key that is nearly one of those
// that do, or one of them in the wrong place, is a slip, and those that begin with
// x- are this program's.
func (d *document) annotations() {
	for key, v := range d.vals {
		if strings.HasPrefix(key, "x-") || nearlyOneOf(key, ruleKeys) || slices.Contains(misplaced, strings.ToLower(key)) || !isProse(v) {
			continue
		}
		delete(d.vals, key)
	}
}

// isProse reports whether a value is text, or lists and mappings of it.
func isProse(n *yaml.Node) bool {
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Tag == "!!str" || n.Tag == "!!null" || n.Tag == "!!timestamp"
	case yaml.SequenceNode, yaml.MappingNode:
		return !slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return !isProse(c) })
	}
	return false
}

// nearlyOneOf reports whether a word is one or two slips away from one of the
// others: letters too many, too few or wrong.
func nearlyOneOf(word string, others []string) bool {
	return slices.ContainsFunc(others, func(o string) bool { return distance(strings.ToLower(word), o) <= 2 })
}

// distance is how many letters have to be put in, taken out or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// hash names the selection: whatever changes what is matched, or what a match
// says, changes it. The version is raised when the meaning of the canonical
// form changes.
func (r *Rule) hash() string {
	const version = "1"
	canonical := strings.Join([]string{version, allOf{r.selection}.canonical(), quoted(r.key.name()), quoted(r.value.name())}, "\n")
	sum := sha256.Sum256([]byte(canonical))
	return hex.EncodeToString(sum[:8])
}

// ruleID is the id of a base rule. Sigma does not ask for one; where it is
// missing it is made of the title, so that findings keep theirs.
func (d *document) ruleID(title string) string {
	return d.idOf("title\n" + title)
}

func (d *document) idOf(made string) string {
	if d.keys["id"] == nil && !d.set.strict {
		sum := sha256.Sum256([]byte(made))
		h := hex.EncodeToString(sum[:16])
		d.note(d.node, "id: missing; one is made of the title, so that another title is another rule")
		return h[:8] + "-" + h[8:12] + "-8" + h[13:16] + "-8" + h[17:20] + "-" + h[20:]
	}
	return d.id()
}

func (d *document) id() string {
	n := d.need("id")
	if n == nil {
		return ""
	}
	id := d.scalar("id", n)
	if !uuidPattern.MatchString(id) {
		d.on(n, "id: want a UUID")
	}
	return strings.ToLower(id)
}

func (d *document) name() string {
	n := d.take("name")
	name := d.scalar("name", n)
	if n != nil && !rulePattern.MatchString(name) {
		d.on(n, "name: want up to 64 letters, digits, _ and -")
	}
	return name
}

// code is the short name of a correlation, MI-02, or its id where it has none.
func (d *document) code(id string) string {
	n := d.take("x-code")
	if n == nil {
		return id
	}
	code := d.scalar("x-code", n)
	if !rulePattern.MatchString(code) {
		d.on(n, "x-code: want up to 64 letters, digits, _ and -")
	}
	return code
}

func (d *document) status() string {
	n := d.take("status")
	s := d.scalar("status", n)
	switch {
	case n == nil:
	case !slices.Contains(statuses, s):
		d.on(n, "status: want one of %s", strings.Join(statuses, ", "))
	case s == "unsupported":
		d.aside(n, "status: unsupported: by the word of its author the rule cannot be used as it stands")
	case s == "deprecated":
		d.note(n, "status: deprecated: by the word of its author something else takes the place of the rule, which is in force all the same")
	}
	return s
}

// level is how urgent a rule is. One that does not say is taken for medium: at a
// lower level a rule alone finds nothing, and nobody would know.
func (d *document) level() schemas.Level {
	n := d.take("level")
	if n == nil {
		return schemas.LevelMedium
	}
	level := schemas.Level(d.scalar("level", n))
	if !level.Valid() {
		d.on(n, "level: want informational, low, medium, high or critical")
	}
	return level
}

// logSource checks that the rule is about Auth0's logs; category and service
// say nothing that the selection does not.
func (d *document) logSource() {
	if n := d.take("taxonomy"); n != nil && d.scalar("taxonomy", n) != "sigma" {
		d.aside(n, "taxonomy %s: its names of fields are not known", clip(n.Value))
	}
	n := d.need("logsource")
	if n == nil {
		return
	}
	s := newDocument(d.reporter, n, "logsource")
	if s == nil {
		return
	}
	if product := s.needText("product"); !strings.EqualFold(product, "auth0") && product != "" {
		d.aside(n, "logsource: want product auth0, found %q, of which no logs come here", clip(product))
	}
	s.ignore("service", "category", "definition")
	s.annotations()
	s.rest("logsource")
}

// match reads x-match, which field is the key of a match, and which its value,
// or x-entity, which is the key alone.
func (d *document) match(r *Rule) {
	if n := d.take("x-entity"); n != nil {
		if d.vals["x-match"] != nil {
			d.on(n, "x-entity: want that or x-match, not both")
		}
		r.key = d.entity(n)
	}
	m := d.child("x-match")
	if m == nil {
		return
	}
	if n := m.need("key"); n != nil {
		r.key = m.fields("key", n)
	}
	if n := m.take("value"); n != nil {
		r.value = m.fields("value", n)
	}
	m.rest("x-match")
}

// entity reads [tenant, client_id], or client_id: a key is always one of its
// tenant.
func (d *document) entity(n *yaml.Node) fields {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	if len(items) == 2 && items[0].Value == "tenant" {
		items = items[1:]
	}
	if len(items) != 1 {
		d.on(n, "x-entity: want one field, or [tenant, field]")
		return nil
	}
	if items[0].Value == "tenant" {
		return fields{wholeTenant}
	}
	return fields{d.field("x-entity", items[0])}
}

// fields reads a field, or a list of them.
func (d *document) fields(key string, n *yaml.Node) fields {
	if n.Kind != yaml.SequenceNode {
		return fields{d.field(key, n)}
	}
	if len(n.Content) == 0 || len(n.Content) > maxFields {
		d.on(n, "%s: want 1 to %d fields", key, maxFields)
		return nil
	}
	var list fields
	for _, item := range n.Content {
		f := d.field(key, item)
		if list.part(f.name) > 0 {
			d.on(item, "%s: %s stands twice", key, f.name)
		}
		list = append(list, f)
	}
	return list
}

// maxFields bounds how many fields a match joins.
const maxFields = 16

// field reads the path of a field; that n is missing has been said.
func (d *document) field(key string, n *yaml.Node) field {
	if n == nil {
		return field{}
	}
	f, err := parseField(d.scalar(key, n))
	if err != nil {
		d.on(n, "%s: %v", key, err)
	}
	d.noteCase(n, f)
	return f
}

// noteCase tells of a field that no event has because one that they have is written
// otherwise.
func (d *document) noteCase(n *yaml.Node, f field) {
	if meant := f.otherCase(); n != nil && meant != "" {
		d.note(n, "field %s: no event has it; is %s meant?", clip(f.name), meant)
	}
}

// finds reads what a rule says that finds something alone.
func (d *document) finds(r *Rule) {
	r.Dedupe = defaultDedupe
	if d.vals["x-dedupe"] != nil {
		r.Dedupe = d.duration("x-dedupe")
	}
	if d.vals["x-alert"] != nil {
		if a := d.child("x-alert"); a != nil {
			r.summary = a.template("summary", summarySample)
			a.rest("x-alert")
		}
	}
	r.levels = d.levels()
	if n := d.vals["x-tests"]; n != nil {
		r.testsNode = n
		r.Tests = parseTests(d)
	}
}

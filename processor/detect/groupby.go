package detect

import (
	"cmp"
	"slices"

	"go.yaml.in/yaml/v3"
)

// keyed reports a rule whose key is of another kind than the main rule's, so
// that no key of it would ever meet.
func (p *pending) keyed(n *yaml.Node, r, main *Rule) {
	if r == nil || main == nil {
		return
	}
	if !sameKinds(r.key, main.key) {
		p.on(n, "rule %s: its key %s is not the key %s that the correlation groups by", cmp.Or(r.Name, r.ID), r.key.name(), main.key.name())
	}
}

// kindOf tells which fields hold the same kind of id.
func kindOf(field string) string {
	switch field {
	case "target_client", "details.request.body.client_id", "details.response.body.client_id":
		return "client_id"
	case "target_user":
		return "user_id"
	case "target":
		return "identity"
	}
	return field
}

// sameKinds reports whether keys of some fields can be those of others.
func sameKinds(a, b fields) bool {
	return slices.EqualFunc(a, b, func(a, b field) bool { return kindOf(a.name) == kindOf(b.name) })
}

func (p *pending) grouped(main *Rule) {
	if p.groupBy == nil || main == nil {
		return
	}
	f, err := parseField(p.groupBy.Value)
	if err != nil {
		p.on(p.groupBy, "group-by: %v", err)
		return
	}
	if f.name != main.key.name() {
		p.on(p.groupBy, "group-by: want %s, the key of rule %s", main.key.name(), cmp.Or(main.Name, main.ID))
	}
}

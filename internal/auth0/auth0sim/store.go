package auth0sim

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// collection keeps documents of one kind by id, in the order of their creation.
type collection struct {
	ids  []string
	docs map[string]document
}

func newCollection() *collection { return &collection{docs: make(map[string]document)} }

// get returns the document itself, nil where there is none.
func (c *collection) get(id string) document { return c.docs[id] }

func (c *collection) put(id string, d document) {
	if _, ok := c.docs[id]; !ok {
		c.ids = append(c.ids, id)
	}
	c.docs[id] = d
}

// remove tells whether the document was there.
func (c *collection) remove(id string) bool {
	if _, ok := c.docs[id]; !ok {
		return false
	}
	delete(c.docs, id)
	c.ids = slices.DeleteFunc(c.ids, func(other string) bool { return other == id })
	return true
}

// all are the documents that keep wants, or all where that is nil.
func (c *collection) all(keep func(document) bool) []document {
	list := make([]document, 0, len(c.ids))
	for _, id := range c.ids {
		if d := c.docs[id]; keep == nil || keep(d) {
			list = append(list, d)
		}
	}
	return list
}

// find is the first document that fits, nil where none does.
func (c *collection) find(fits func(document) bool) document {
	for _, id := range c.ids {
		if fits(c.docs[id]) {
			return c.docs[id]
		}
	}
	return nil
}

func having(name, value string) func(document) bool {
	return func(d document) bool { return d.text(name) == value }
}

// store is what the tenant's API keeps: documents as they are answered, and
// beside them what is never answered. It knows nothing of HTTP.
type store struct {
	mu  sync.Mutex // guards what follows; held for a whole call
	rng *rand.Rand
	now func() time.Time
	lag time.Duration // until searches see a change of a user

	users, roles, clients, grants, servers *collection
	connections, organizations, streams    *collection
	credentials                            *collection // with client_id and pem, which are not answered
	jobs, actions                          *collection
	settings                               document

	passwords map[string]string      // by user id
	stale     map[string][]staleUser // users as searches still see them
	attempts  map[string]int         // wrong passwords, by user id and address
	blocks    map[string][]string    // addresses that are blocked, by user id
	bindings  map[string][]document  // of Actions, by trigger
	links     map[string][]link      // what belongs to what, by relation
	uploads   map[string][]document  // what an import refused, by job
	exports   map[string]string      // files of exports
	extras    map[string]*collection // documents of a parent: SCIM, domains
}

// link says that two things belong together, and how.
type link struct {
	from, to string
	data     document
}

// The relations.
const (
	relationUserRole         = "user role"         // user → role
	relationUserPermission   = "user permission"   // user → API and scope
	relationRolePermission   = "role permission"   // role → API and scope
	relationOrganizationUser = "organization user" // organization → user
	relationMemberRole       = "member role"       // organization and user → role
	relationOrganizationAPI  = "organization grant"
	relationOrganizationConn = "organization connection"
	relationConnectionClient = "connection client"
)

func newStore(seed uint64, now func() time.Time) *store {
	s := &store{
		rng: newRand(seed, sequenceStore), now: now,
		passwords: make(map[string]string), stale: make(map[string][]staleUser),
		attempts: make(map[string]int), blocks: make(map[string][]string), bindings: make(map[string][]document), links: make(map[string][]link),
		uploads: make(map[string][]document), exports: make(map[string]string), extras: make(map[string]*collection),
	}
	for _, c := range []**collection{
		&s.users, &s.roles, &s.clients, &s.grants, &s.servers, &s.connections, &s.organizations, &s.streams, &s.credentials, &s.jobs, &s.actions,
	} {
		*c = newCollection()
	}
	return s
}

// unlink removes links; an empty end is any.
func (s *store) unlink(relation, from, to string) {
	s.links[relation] = slices.DeleteFunc(s.links[relation], func(l link) bool {
		return (from == "" || l.from == from) && (to == "" || l.to == to)
	})
}

// linked are the links from one end, linkedTo those to the other.
func (s *store) linked(relation, from string) []link {
	return linksWhere(s.links[relation], func(l link) bool { return l.from == from })
}

func (s *store) linkedTo(relation, to string) []link {
	return linksWhere(s.links[relation], func(l link) bool { return l.to == to })
}

func linksWhere(links []link, fits func(link) bool) []link {
	var list []link
	for _, l := range links {
		if fits(l) {
			list = append(list, l)
		}
	}
	return list
}

// date is a time as the API writes it.
func (s *store) date() string { return s.now().UTC().Format(dateLayout) }

// id makes an id that nothing has yet.
func (s *store) id(prefix string, n int) string { return prefix + base62(s.rng, n) }

// link adds what is not there yet, or replaces its data.
func (s *store) link(relation, from, to string, data document) {
	for i, l := range s.links[relation] {
		if l.from == from && l.to == to {
			s.links[relation][i].data = data
			return
		}
	}
	s.links[relation] = append(s.links[relation], link{from, to, data})
}

// extra is the collection of documents that belong to a parent.
func (s *store) extra(kind, parent string) *collection {
	key := kind + " " + parent
	if s.extras[key] == nil {
		s.extras[key] = newCollection()
	}
	return s.extras[key]
}

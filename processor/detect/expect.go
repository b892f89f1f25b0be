package detect

import (
	"slices"
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Expectations are what is declared to be normal, by tenant and identity.
//
// Of what is declared nothing is learned. So a rule that learns does not judge an
// identity by what is declared of it, and a rule about what is declared judges by
// nothing else: use from elsewhere is a finding at once, and once.
type Expectations map[string]map[string]schemas.Expectation

// NewExpectations makes them of a list.
func NewExpectations(list []schemas.Expectation) Expectations {
	x := Expectations{}
	for _, e := range list {
		if x[e.Tenant] == nil {
			x[e.Tenant] = map[string]schemas.Expectation{}
		}
		x[e.Tenant][e.Identity] = e
	}
	return x
}

// Of is what is declared of an identity; false for nothing.
func (x Expectations) Of(tenant, identity string) (schemas.Expectation, bool) {
	e, ok := x[tenant][identity]
	return e, ok
}

// declarative are the kinds that find what differs from what is declared.
type declarative interface {
	kind
	// judges reports whether anything is declared that the kind judges by.
	judges(schemas.Expect) bool
}

// heeding are the kinds that learn, and leave to others what is declared.
type heeding interface{ heeds() }

func (*firstSeen) heeds() {}
func (*gap) heeds()       {}
func (silence) heeds()    {}

// Expecting has c judge by x. c must be the caller's own, as those of
// Set.Correlations are.
func (c *Correlation) Expecting(x Expectations) { c.expected = x }

// Declared reports whether c finds what differs from what is declared.
func (c *Correlation) Declared() bool {
	_, ok := c.kind.(declarative)
	return ok
}

// KeyOf is the key that stands for an identity of which something may be declared;
// false where c does not look at what is declared of it.
func (c *Correlation) KeyOf(identity string) (key string, ok bool) {
	_, heeds := c.kind.(heeding)
	if !heeds && !c.Declared() || c.Main == nil || len(c.Main.key) != 1 {
		return "", false
	}
	prefix := map[string]string{"app": schemas.AppID(""), "user": schemas.UserID("")}[c.Identity]
	key, ok = strings.CutPrefix(identity, prefix)
	return key, ok && prefix != "" && key != ""
}

// PassesOver reports that c finds nothing of a key, since nothing is declared of it
// that it judges by.
func (c *Correlation) PassesOver(tenant, key string) bool {
	k, ok := c.kind.(declarative)
	if !ok {
		return false
	}
	e, ok := c.expected.Of(tenant, c.IdentityID(key))
	return !ok || !k.judges(e.Expect)
}

// declaredKeys are the keys of a tenant of which something is declared that c judges
// by.
func (c *Correlation) declaredKeys(tenant string) []string {
	keys := []string{}
	for identity := range c.expected[tenant] {
		if key, ok := c.KeyOf(identity); ok && !c.PassesOver(tenant, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// declared calls f for each of the keys that something is declared of.
func (c *Correlation) declared(tenant string, keys []string, f func(key string, e schemas.Expect)) {
	if len(c.expected[tenant]) == 0 {
		return
	}
	for _, key := range keys {
		if e, ok := c.expected.Of(tenant, c.IdentityID(key)); ok {
			f(key, e.Expect)
		}
	}
}

// aspects are what can be declared of the values of an event, a bit each.
const (
	aspectPlace   = 1
	aspectRuntime = 2
)

// aspectOf is what a field tells of. A TLS fingerprint tells of none: the name of a
// program is easily taken, so that what is declared of it says nothing of that.
func aspectOf(field string) uint64 {
	switch field {
	case "network", "asn", "as_org", "country":
		return aspectPlace
	case "runtime", "user_agent_class", "sdk", "sdk_version":
		return aspectRuntime
	}
	return 0
}

// declaredAspects are keys, and for each what is declared of it. The first of them
// is none, since the store wants to know the type of a list.
func (c *Correlation) declaredAspects(a asked) (keys []string, aspects []uint64) {
	keys, aspects = []string{""}, []uint64{0}
	c.declared(a.tenant, a.keys, func(key string, e schemas.Expect) {
		of := uint64(0)
		if len(e.Networks)+len(e.Clouds) > 0 {
			of |= aspectPlace
		}
		if len(e.Runtimes) > 0 {
			of |= aspectRuntime
		}
		if of != 0 {
			keys, aspects = append(keys, key), append(aspects, of)
		}
	})
	return keys, aspects
}

// declaredCadences are keys, and for each the declared cadence in milliseconds, with
// a first that is none.
func (c *Correlation) declaredCadences(tenant string, asked []string) (keys []string, every []uint64) {
	keys, every = []string{""}, []uint64{0}
	c.declared(tenant, asked, func(key string, e schemas.Expect) {
		if d, ok := e.Every(); ok {
			keys, every = append(keys, key), append(every, uint64(d.Milliseconds()))
		}
	})
	return keys, every
}

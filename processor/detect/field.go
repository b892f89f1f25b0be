package detect

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// field is one field of an event as a rule names it: a column of the
// normalized event, or else a path into the raw log.
type field struct {
	name   string // canonical: without the data. prefix and the {} suffixes
	column func(*schemas.Event) string
	number func(*schemas.Event) uint64 // 0 is absent
	list   func(*schemas.Event) []string
	path   []string
}

// columns are the fields that the normalized event has. The last group exists
// in no log: it is what normalizing adds.
var columns = map[string]func(*schemas.Event) string{
	"type":            func(e *schemas.Event) string { return e.Type },
	"log_id":          func(e *schemas.Event) string { return e.LogID },
	"description":     func(e *schemas.Event) string { return e.Description },
	"client_id":       func(e *schemas.Event) string { return e.ClientID },
	"client_name":     func(e *schemas.Event) string { return e.ClientName },
	"user_id":         func(e *schemas.Event) string { return e.UserID },
	"ip":              func(e *schemas.Event) string { return e.IP },
	"client_ip":       func(e *schemas.Event) string { return e.ClientIP },
	"user_agent":      func(e *schemas.Event) string { return e.UserAgent },
	"audience":        func(e *schemas.Event) string { return e.Audience },
	"organization_id": func(e *schemas.Event) string { return e.OrganizationID },
	"hostname":        func(e *schemas.Event) string { return e.Hostname },

	"tenant":            func(e *schemas.Event) string { return e.Tenant },
	"cause":             func(e *schemas.Event) string { return string(e.Cause) },
	"user_agent_class":  func(e *schemas.Event) string { return e.UserAgentClass },
	"ja3":               func(e *schemas.Event) string { return e.JA3 },
	"ja4":               func(e *schemas.Event) string { return e.JA4 },
	"sdk":               func(e *schemas.Event) string { return e.SDKName },
	"sdk_version":       func(e *schemas.Event) string { return e.SDKVersion },
	"runtime":           runtime,
	"grant_type":        func(e *schemas.Event) string { return e.GrantType },
	"token_id":          func(e *schemas.Event) string { return e.TokenID },
	"used_token_id":     func(e *schemas.Event) string { return e.UsedTokenID },
	"agent_id":          func(e *schemas.Event) string { return e.AgentID },
	"mtls_thumbprint":   func(e *schemas.Event) string { return e.MTLSThumbprint },
	"quota_bucket":      func(e *schemas.Event) string { return e.Quota.Bucket },
	"quota_entity_type": func(e *schemas.Event) string { return e.Quota.EntityType },
	"quota_entity":      func(e *schemas.Event) string { return e.Quota.EntityID },
	"target_user":       targetUser,
	"network":           func(e *schemas.Event) string { return e.Network },
	"country":           func(e *schemas.Event) string { return e.Country },
	"as_org":            func(e *schemas.Event) string { return e.ASOrg },
	"method":            func(e *schemas.Event) string { return e.Call.Method },
	"path":              func(e *schemas.Event) string { return e.Call.Path },
	"target":            func(e *schemas.Event) string { return e.Call.Target },
	"target_client":     targetClient,
	"outcome":           func(e *schemas.Event) string { return string(e.Outcome) },
	"identity":          func(e *schemas.Event) string { return e.Identity.ID },
	"ten_minutes":       func(e *schemas.Event) string { return e.Time.UTC().Truncate(10 * time.Minute).Format(time.RFC3339) },
	"identity_kind":     func(e *schemas.Event) string { return string(e.Identity.Kind) },
	"source":            func(e *schemas.Event) string { return e.Source.String() },
}

// numberColumns become text as they are read.
var numberColumns = map[string]func(*schemas.Event) uint64{
	"asn":          func(e *schemas.Event) uint64 { return uint64(e.ASN) },
	"late_seconds": lateSeconds,
}

var listColumns = map[string]func(*schemas.Event) []string{
	"scope":  func(e *schemas.Event) []string { return e.Scopes },
	"scopes": func(e *schemas.Event) []string { return e.Scopes },
}

// lateSeconds is by how much a log stream brought an event behind its date. By other
// ways events come late as a matter of course.
func lateSeconds(e *schemas.Event) uint64 {
	if e.Source != schemas.SourceStream {
		return 0
	}
	return uint64(max(e.IngestedAt.Sub(e.Time)/time.Second, 0))
}

// runtime is the program that sent an event, without its version, which changes
// with each deploy: the name of Auth0's SDK, else how the user agent begins, in
// lower case: python-requests. It is "" where the log does not tell, as in the
// copies of the Management API, which writes user agents in a form of its own.
func runtime(e *schemas.Event) string {
	if e.SDKName != "" {
		return strings.ToLower(e.SDKName)
	}
	product := strings.ToLower(strings.TrimSpace(e.UserAgent))
	if product == "unknown" || strings.HasPrefix(product, "other 0.0.0") {
		return ""
	}
	if end := strings.IndexAny(product, "/ ("); end >= 0 {
		product = product[:end]
	}
	return product
}

// targetUser is the user that an event acts upon, "" where it acts upon none.
func targetUser(e *schemas.Event) string {
	id, ok := strings.CutPrefix(e.Call.Target, schemas.UserID(""))
	if !ok {
		return ""
	}
	return id
}

// targetClient is the client that an event acts upon, "" where it acts upon
// none.
func targetClient(e *schemas.Event) string {
	id, ok := strings.CutPrefix(e.Call.Target, schemas.AppID(""))
	if !ok {
		return ""
	}
	return id
}

// fields are several, whose values are joined: see schemas.PartSeparator.
type fields []field

// name joins the names by commas.
func (fs fields) name() string {
	names := make([]string, len(fs))
	for i := range fs {
		names[i] = fs[i].name
	}
	return strings.Join(names, ",")
}

// part is the place of a field among several, from 1, as the store counts; 0
// where it is not there.
func (fs fields) part(name string) int {
	return 1 + slices.IndexFunc(fs, func(f field) bool { return f.name == name })
}

var fieldName = regexp.MustCompile(`^[A-Za-z0-9_$-]+(\{\})?(\.[A-Za-z0-9_$-]+(\{\})?)*$`)

// parseField reads the name of a field. The prefix data. (the envelope's) and
// the suffix {} of arrays (Splunk's) mean nothing here: both ways name the same.
func parseField(name string) (field, error) {
	if !fieldName.MatchString(name) || len(name) > 256 {
		return field{}, fmt.Errorf("field %q: want names joined by dots, like details.request.path", clip(name))
	}
	canonical := strings.ReplaceAll(strings.TrimPrefix(name, "data."), "{}", "")
	f := field{name: canonical, column: columns[canonical], number: numberColumns[canonical], list: listColumns[canonical]}
	if f.column == nil && f.number == nil && f.list == nil {
		f.path = strings.Split(canonical, ".")
	}
	return f, nil
}

// otherCase is the field that events have under nearly the same name, in capitals
// and small letters that differ; "" where there is none, or f is one itself.
func (f field) otherCase() string {
	if f.path == nil {
		return ""
	}
	first := f.path[0]
	if len(f.path) == 1 {
		for name := range columns {
			if strings.EqualFold(name, first) {
				return name
			}
		}
	}
	for _, name := range rawParts {
		if name != first && strings.EqualFold(name, first) {
			return strings.Join(append([]string{name}, f.path[1:]...), ".")
		}
	}
	return ""
}

// rawParts are the fields of a log that others are inside of, as Auth0's schemas of
// log events have them.
var rawParts = []string{"details", "security_context", "location_info", "auth0_client"}

// fields yields every field that r reads.
func (r *Rule) fields() func(yield func(*field) bool) {
	return func(yield func(*field) bool) {
		for _, fs := range []fields{r.key, r.value} {
			for i := range fs {
				if !yield(&fs[i]) {
					return
				}
			}
		}
		for l := range leaves(r.selection) {
			if !yield(&l.field) {
				return
			}
			for i := range l.refs {
				if !yield(&l.refs[i].field) {
					return
				}
			}
		}
	}
}

// node is a place in the raw log that some path leads through.
type node struct {
	slot     int // where its value goes, -1 for none
	children []child
}

type child struct {
	name string
	node *node
}

// add gives path the slot, unless it has one already, and returns its slot.
func (n *node) add(path []string, slot int) int {
	if len(path) == 0 {
		if n.slot < 0 {
			n.slot = slot
		}
		return n.slot
	}
	next := n.child(path[0])
	if next == nil {
		next = &node{slot: -1}
		n.children = append(n.children, child{name: path[0], node: next})
	}
	return next.add(path[1:], slot)
}

// child returns the node under a name, or nil. Nodes have a handful of
// children, so that a walk over them beats a map.
func (n *node) child(name string) *node {
	i := slices.IndexFunc(n.children, func(c child) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return n.children[i].node
}

// find returns the slot of a path, -1 where it has none.
func (n *node) find(path []string) int {
	for _, name := range path {
		if n = n.child(name); n == nil {
			return -1
		}
	}
	return n.slot
}

// clip shortens what an error quotes.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

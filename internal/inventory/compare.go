package inventory

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Comparison is a whole snapshot of one kind beside what was known.
type Comparison struct {
	Known []schemas.InventoryItem // of the kind, those that are gone, too
	Read  []schemas.InventoryItem // all that there are
	Acts  Acts
	At    time.Time // of the snapshot
	// First is whether no snapshot of the kind was whole before: then what is
	// there was not added, it was there.
	First bool
}

// Difference is what a comparison finds. An item is in Items if it is another
// than before, with the number of the change that made it so.
type Difference struct {
	Items   []schemas.InventoryItem
	Changes []schemas.InventoryChange
}

// Count is how many things were added, changed or deleted.
func (d *Difference) Count(act schemas.InventoryAct) (n int) {
	for i := range d.Changes {
		if d.Changes[i].Act == act {
			n++
		}
	}
	return n
}

// Compare tells what is another than before.
func Compare(c Comparison) Difference {
	var d Difference
	known := make(map[string]*schemas.InventoryItem, len(c.Known))
	for i := range c.Known {
		known[c.Known[i].ID] = &c.Known[i]
	}
	for i := range c.Read {
		c.compare(&d, known[c.Read[i].ID], c.Read[i])
		delete(known, c.Read[i].ID)
	}
	for _, id := range slices.Sorted(maps.Keys(known)) {
		if was := known[id]; !was.Gone() {
			c.deleted(&d, *was)
		}
	}
	return d
}

func (c *Comparison) compare(d *Difference, was *schemas.InventoryItem, is schemas.InventoryItem) {
	acts := c.acts(&is)
	is.FirstSeen, is.Changed = c.At, c.At
	if was != nil {
		is.FirstSeen, is.N = was.FirstSeen, was.N
		is.Members.SecretRotated = was.Members.SecretRotated
		if is.Created.IsZero() {
			is.Created = was.Created
		}
	}
	if is.Created.IsZero() && (was == nil || acts.created.Before(was.FirstSeen)) {
		is.Created = acts.created
	}
	if acts.rotated.After(is.Members.SecretRotated) {
		is.Members.SecretRotated = acts.rotated
	}
	switch {
	case was == nil || was.Gone():
		if c.First {
			d.Items = append(d.Items, is)
			return
		}
		d.add(is, schemas.InventoryAdded, nil, c.between(time.Time{}, is.Created), c.At)
	default:
		members := differences(was, &is)
		switch {
		case len(members) > 0:
			d.add(is, schemas.InventoryChanged, members, c.between(was.Changed, acts.changed), c.At)
		case !is.Created.Equal(was.Created): // it became known, and was so before
			is.Changed = was.Changed
			d.Items = append(d.Items, is)
		}
	}
}

func (c *Comparison) deleted(d *Difference, was schemas.InventoryItem) {
	deleted := c.acts(&was).deleted
	if deleted.IsZero() && was.Members.ClientID != "" { // grants and credentials go with their client
		deleted = c.Acts[thing{schemas.InventoryClients, was.Members.ClientID}].deleted
	}
	was.Deleted = c.between(was.FirstSeen, deleted)
	was.Changed = c.At
	d.add(was, schemas.InventoryDeleted, nil, was.Deleted, c.At)
}

// between is a time that a log tells if it can be that of a change which was not
// there at a moment and is now, or else the snapshot's.
func (c *Comparison) between(after, t time.Time) time.Time {
	if t.After(after) && !t.After(c.At) {
		return t
	}
	return c.At
}

// acts are those of an item. The path of an API may name it by its identifier.
func (c *Comparison) acts(item *schemas.InventoryItem) times {
	acts := c.Acts[thing{item.Kind, item.ID}]
	if item.Kind == schemas.InventoryAPIs && acts == (times{}) {
		acts = c.Acts[thing{item.Kind, item.Members.Audience}]
	}
	return acts
}

func (d *Difference) add(item schemas.InventoryItem, act schemas.InventoryAct, members []schemas.MemberChange, at, found time.Time) {
	item.N++
	d.Items = append(d.Items, item)
	d.Changes = append(d.Changes, schemas.InventoryChange{
		Tenant: item.Tenant, Kind: item.Kind, ID: item.ID, N: item.N, Identity: item.Identity, Name: item.Name,
		Act: act, Members: members, Time: at, Found: found,
	})
}

// differences are the members that are another now, by name.
func differences(was, is *schemas.InventoryItem) []schemas.MemberChange {
	before, after := membersOf(was), membersOf(is)
	var changes []schemas.MemberChange
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if !reflect.DeepEqual(before[name], after[name]) {
			changes = append(changes, schemas.MemberChange{Name: name, Before: before[name], After: after[name]})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[name]; !ok {
			changes = append(changes, schemas.MemberChange{Name: name, After: after[name]})
		}
	}
	slices.SortFunc(changes, func(a, b schemas.MemberChange) int { return strings.Compare(a.Name, b.Name) })
	return changes
}

// membersOf are the members of an item and what else it says of itself, by the
// names that they have in JSON.
func membersOf(item *schemas.InventoryItem) map[string]any {
	text, err := json.Marshal(item.Members)
	members := map[string]any{}
	if err == nil {
		err = json.Unmarshal(text, &members)
	}
	if err != nil { // a struct of texts, numbers and lists always marshals
		panic(err)
	}
	for name, value := range map[string]string{"name": item.Name, "type": item.Type, "owner": item.Owner, "purpose": item.Purpose, "expires": item.Expires} {
		if value != "" {
			members[name] = value
		}
	}
	return members
}

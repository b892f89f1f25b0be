package query

import (
	"cmp"
	"maps"
	"slices"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// finish sorts what was found, so that the same store gives the same digest.
func (d *digester) finish() schemas.Digest {
	out := d.digest
	out.From, out.To, out.Owners = d.filter.From, d.filter.To, []schemas.OwnerDigest{}
	for _, name := range slices.Sorted(maps.Keys(d.owners)) {
		of := d.owners[name]
		if of.Empty() {
			continue
		}
		for _, machines := range [][]schemas.DigestMachine{of.New, of.Silent} {
			slices.SortFunc(machines, byName)
		}
		slices.SortFunc(of.Failing, func(a, b schemas.DigestMachine) int {
			return cmp.Or(cmp.Compare(b.Failures, a.Failures), byName(a, b))
		})
		slices.SortFunc(of.Wasteful, func(a, b schemas.DigestMachine) int { return cmp.Or(cmp.Compare(b.Tokens, a.Tokens), byName(a, b)) })
		out.Owners = append(out.Owners, *of)
	}
	if len(out.Owners) > 0 && out.Owners[0].Owner == "" { // nobody's comes last
		out.Owners = append(out.Owners[1:], out.Owners[0])
	}
	slices.SortFunc(out.Rules, func(a, b schemas.DigestRule) int {
		return cmp.Or(cmp.Compare(b.Findings, a.Findings), cmp.Compare(a.RuleID, b.RuleID))
	})
	if out.Rules == nil {
		out.Rules = []schemas.DigestRule{}
	}
	if out.Coverage.Gaps == nil {
		out.Coverage.Gaps = []schemas.DigestGap{}
	}
	return out
}

func byName(a, b schemas.DigestMachine) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ID, b.ID))
}

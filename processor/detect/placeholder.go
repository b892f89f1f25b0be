package detect

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	// A placeholder to fill is written {your-tenant-domain}, in Auth0's catalogue,
	// or %name% where the field has Sigma's modifier expand.
	bracedPlaceholder = regexp.MustCompile(`\{([A-Za-z][\w. -]*)\}`)
	sigmaPlaceholder  = regexp.MustCompile(`%([A-Za-z][\w. -]*)%`)
	// In a regular expression \p{Greek} and the like are none.
	patternPlaceholder = regexp.MustCompile(`(\\[A-Za-z]?)?\{([A-Za-z][\w. -]*)\}`)
)

// maxFilled bounds what the values of a configuration make of one text.
const maxFilled = 10_000

// hole is a placeholder in a text, from start to end.
type hole struct {
	name       string
	start, end int
}

// holes are the placeholders of a text, in its order.
func (m modifiers) holes(text string) []hole {
	var list []hole
	if m.kind == "re" {
		for _, at := range patternPlaceholder.FindAllStringSubmatchIndex(text, -1) {
			if at[2] < 0 { // no backslash before it
				list = append(list, hole{text[at[4]:at[5]], at[0], at[1]})
			}
		}
	} else {
		for _, at := range bracedPlaceholder.FindAllStringSubmatchIndex(text, -1) {
			list = append(list, hole{text[at[2]:at[3]], at[0], at[1]})
		}
	}
	if m.expand {
		for _, at := range sigmaPlaceholder.FindAllStringSubmatchIndex(text, -1) {
			list = append(list, hole{text[at[2]:at[3]], at[0], at[1]})
		}
	}
	slices.SortFunc(list, func(a, b hole) int { return a.start - b.start })
	return list
}

// fill puts configured values in the place of placeholders: one text for each
// value, where a placeholder has several. It returns the names that nothing is
// configured for. Values are taken as they are, wildcards and all.
func (m modifiers) fill(text string, configured map[string][]string) (filled, missing []string, err error) {
	filled = []string{""}
	last := 0
	for _, h := range m.holes(text) {
		values, ok := configured[h.name]
		if !ok || len(values) == 0 {
			missing = append(missing, h.name)
			continue
		}
		if len(filled)*len(values) > maxFilled {
			return nil, nil, fmt.Errorf("placeholder %s: its values make more than %d texts", h.name, maxFilled)
		}
		var next []string
		for _, before := range filled {
			for _, v := range values {
				next = append(next, before+text[last:h.start]+m.literal(v))
			}
		}
		filled, last = next, h.end
	}
	for i := range filled {
		filled[i] += text[last:]
	}
	return filled, missing, nil
}

// literal writes a value so that it means itself.
func (m modifiers) literal(v string) string {
	switch m.kind {
	case "re":
		return regexp.QuoteMeta(v)
	case "", "contains", "startswith", "endswith":
		return escapeGlob(v)
	}
	return strings.TrimSpace(v)
}

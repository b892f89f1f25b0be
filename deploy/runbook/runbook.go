// Package runbook has a page for each shipped rule: what its findings mean, how
// to check one, how to contain it, and what is taken for it by mistake.
package runbook

import (
	"embed"
	"strings"
)

//go:embed *.md
var pages embed.FS

// Page is the page of a rule, Markdown, by its code such as MI-02 in any case of
// letters; false where there is none. Rules of one detection, such as MI-28 and
// MI-28-role, share the page of the first where they have none of their own.
func Page(code string) (string, bool) {
	code = strings.ToUpper(code)
	b, err := pages.ReadFile(code + ".md")
	if parts := strings.SplitN(code, "-", 3); err != nil && len(parts) == 3 {
		b, err = pages.ReadFile(parts[0] + "-" + parts[1] + ".md")
	}
	return string(b), err == nil
}

// Codes are those of the rules that have a page, in order.
func Codes() []string {
	entries, err := pages.ReadDir(".")
	if err != nil { // the root of what is embedded is there
		panic(err)
	}
	codes := make([]string, len(entries))
	for i, e := range entries {
		codes[i] = strings.TrimSuffix(e.Name(), ".md")
	}
	return codes
}

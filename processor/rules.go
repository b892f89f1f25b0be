package processor

import (
	"embed"
	"io/fs"
)

//go:embed rules/*.yml
var shippedRules embed.FS

// Rules are the rules that the program ships, for detect.Parse.
func Rules() fs.FS {
	sub, err := fs.Sub(shippedRules, "rules")
	if err != nil { // "rules" is a valid path
		panic(err)
	}
	return sub
}

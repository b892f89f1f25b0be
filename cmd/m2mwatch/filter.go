package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// filterHelp is the language of the flags that filter.
const filterHelp = `The flags that narrow take one language, which the API has too:

  --type seccft            that value
  --type seccft,feccft     one of these
  --network '192.0.2.*'    * stands for any characters
  --country '!NL,DE'       none of these

A comma, *, ! or backslash of a value itself is written with a backslash before it. A value is
compared whole and with regard to case.`

// filterTexts say what is narrowed by each of schemas.FilterFields.
var filterTexts = map[string]string{
	"tenant":           "of this tenant",
	"type":             "event type codes, such as feccft",
	"outcome":          "success, failure, info, limit or unknown",
	"cause":            "why it failed, such as wrong_credentials",
	"client_id":        "client ids",
	"identity":         "who did it, such as app:CLIENT_ID",
	"identity_kind":    "machine, human or unknown",
	"user_id":          "user ids",
	"organization_id":  "organization ids",
	"audience":         "audiences, such as 'https://api.acme.example/*'",
	"network":          "networks (/24 or /48), such as 192.0.2.0/24",
	"country":          "countries, such as NL",
	"asn":              "numbers of autonomous systems",
	"user_agent_class": "sdk, infrastructure, curl, postman, library, browser, other or unknown",
	"source":           "the way it came in: stream, pull, import, repair or custom",
}

// filter is what the flags of a command say, by field.
type filter map[string]string

// flags adds a flag for each field to a command.
func (f filter) flags(inv *invocation, cmd *cobra.Command, fields ...string) {
	for _, field := range fields {
		name := strings.ReplaceAll(field, "_", "-")
		cmd.Flags().Var(filterValue{f, field}, name, filterTexts[field])
		if complete := inv.completions()[field]; complete != nil {
			// An error would mean that there is no such flag.
			_ = cmd.RegisterFlagCompletionFunc(name, complete)
		}
	}
}

// filterValue is one flag; see pflag.Value.
type filterValue struct {
	filter filter
	field  string
}

func (v filterValue) Set(text string) error {
	if v.field != "tenant" {
		if _, _, err := schemas.ParseCondition(v.field, text); err != nil {
			return err
		}
	}
	v.filter[v.field] = text
	return nil
}

func (v filterValue) String() string { return v.filter[v.field] }
func (v filterValue) Type() string   { return "filter" }

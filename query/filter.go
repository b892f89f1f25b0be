package query

import (
	"slices"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Filter is the parameters that narrow events and counts of them. It is exported
// because huma does not see into what is not.
//
// Each takes a condition, in the language of schemas.ParseCondition.
type Filter struct {
	Tenant         string `query:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
	Type           string `query:"type" maxLength:"4096" doc:"Auth0's event type code. This and the parameters below take a value, several with commas between them (one of these), * for any characters, and ! before all of it (none of these); a backslash takes the character behind it as it is." example:"seccft,feccft"`
	Outcome        string `query:"outcome" maxLength:"4096" doc:"success, failure, info, limit or unknown." example:"failure"`
	Cause          string `query:"cause" maxLength:"4096" doc:"Why it failed." example:"wrong_credentials"`
	ClientID       string `query:"client_id" maxLength:"4096" example:"invoice-sync"`
	Identity       string `query:"identity" maxLength:"4096" doc:"Who did it: app:, user: or agent: and an id." example:"app:invoice-sync"`
	IdentityKind   string `query:"identity_kind" maxLength:"4096" doc:"What the identity is: machine, human or unknown." example:"machine"`
	UserID         string `query:"user_id" maxLength:"4096" example:"auth0|5f7c8ec7c33c6c004bbafe82"`
	OrganizationID string `query:"organization_id" maxLength:"4096" example:"org_7Yx2"`
	Audience       string `query:"audience" maxLength:"4096" example:"https://api.acme.example/*"`
	Network        string `query:"network" maxLength:"4096" doc:"The /24 or /48 that it came from." example:"192.0.2.*"`
	Country        string `query:"country" maxLength:"4096" doc:"ISO 3166-1 alpha-2." example:"!NL,DE"`
	ASN            string `query:"asn" maxLength:"4096" doc:"The autonomous system's number." example:"64500"`
	UserAgentClass string `query:"user_agent_class" maxLength:"4096" doc:"What kind of program." example:"!sdk"`
	Source         string `query:"source" maxLength:"4096" doc:"By which way the log came in: stream, pull, import, repair or custom." example:"stream"`
}

// conditions reads all but the tenant, in the order of the dimensions.
func (f *Filter) conditions() ([]schemas.Condition, error) {
	texts := map[string]string{
		"type": f.Type, "outcome": f.Outcome, "cause": f.Cause, "client_id": f.ClientID, "identity": f.Identity,
		"identity_kind": f.IdentityKind, "user_id": f.UserID, "organization_id": f.OrganizationID, "audience": f.Audience,
		"network": f.Network, "country": f.Country, "asn": f.ASN, "user_agent_class": f.UserAgentClass, "source": f.Source,
	}
	var all []schemas.Condition
	for _, field := range schemas.FilterFields() {
		c, some, err := schemas.ParseCondition(field, texts[field])
		if err != nil {
			return nil, invalid(err.Error())
		}
		if some {
			all = append(all, c)
		}
	}
	return all, nil
}

// eventFilter has what an index can serve in fields of their own.
func (f *Filter) eventFilter() (schemas.EventFilter, error) {
	conditions, err := f.conditions()
	if err != nil {
		return schemas.EventFilter{}, err
	}
	e := schemas.EventFilter{
		Tenant: f.Tenant, ClientID: exact(&conditions, "client_id"), Identity: exact(&conditions, "identity"),
		UserID: exact(&conditions, "user_id"), Type: exact(&conditions, "type"),
	}
	e.Where = conditions
	return e, nil
}

// exact moves the one value that a field may have out of conditions, so that an
// index can serve it; "" where there is none.
func exact(conditions *[]schemas.Condition, field string) string {
	for i := range *conditions {
		if c := &(*conditions)[i]; c.Field == field {
			value, only := c.Only()
			if only {
				*conditions = slices.Delete(*conditions, i, i+1)
			}
			if len(*conditions) == 0 {
				*conditions = nil
			}
			return value
		}
	}
	return ""
}

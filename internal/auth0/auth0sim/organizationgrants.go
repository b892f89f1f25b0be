package auth0sim

import (
	"net/http"
	"slices"
)

// organizationGrantsMax is how many grants an organization may have.
const organizationGrantsMax = 100

func organizationGrantOperations() []operation {
	list := "/organizations/{id}/client-grants"
	body := fields{"grant_id": textMember(1, 0).matching(`^cgr_`)}.require("grant_id")
	return []operation{
		{"GET", list, []string{"read:organization_client_grants"}, false, "Get client grants of an organization", nil, listOrganizationGrants},
		{"POST", list, []string{"create:organization_client_grants"}, false, "Associate a client grant with an organization", body, addOrganizationGrant},
		{"DELETE", list + "/{grant}", []string{"delete:organization_client_grants"}, false, "Remove a client grant from an organization", nil, removeOrganizationGrant},
	}
}

func listOrganizationGrants(c *apiCall) (reply, error) {
	d, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	docs := make([]document, 0)
	for _, l := range c.linked(relationOrganizationAPI, d.text("id")) {
		grant := c.grants.get(l.to)
		fits := func(name string) bool { return !c.query.Has(name) || grant.text(name) == c.query.Get(name) }
		if fits("audience") && fits("client_id") && (!c.query.Has("grant_ids") || slices.Contains(c.query["grant_ids"], l.to)) {
			docs = append(docs, grant)
		}
	}
	return c.listing("client_grants", docs, false)
}

func addOrganizationGrant(c *apiCall) (reply, error) {
	d, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	grant, err := c.grant(c.object().text("grant_id"))
	if err != nil {
		return reply{}, err
	}
	linked := c.linked(relationOrganizationAPI, d.text("id"))
	switch {
	case slices.ContainsFunc(linked, func(l link) bool { return l.to == grant.text("id") }):
		return reply{}, conflict("", "The client grant is already associated with the organization")
	case len(linked) >= organizationGrantsMax:
		return reply{}, conflict("", "The organization has reached its maximum number of client grants (%d)", organizationGrantsMax)
	case !slices.Contains([]string{"allow", "require"}, grant.text("organization_usage")):
		return reply{}, badRequest("invalid_body", "The client grant does not allow the use of organizations")
	}
	c.link(relationOrganizationAPI, d.text("id"), grant.text("id"), nil)
	answer := grant.only("client_id", "audience", "scope", "organization_usage", "allow_any_organization")
	answer["grant_id"] = grant["id"]
	return reply{http.StatusCreated, answer}, nil
}

func removeOrganizationGrant(c *apiCall) (reply, error) {
	d, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	c.unlink(relationOrganizationAPI, d.text("id"), c.params["grant"])
	return reply{http.StatusNoContent, nil}, nil
}

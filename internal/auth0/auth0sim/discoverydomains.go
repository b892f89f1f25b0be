package auth0sim

import "net/http"

const extraDomains = "discovery domains"

func discoveryDomainOperations() []operation {
	list := "/organizations/{id}/discovery-domains"
	body := fields{"domain": textMember(3, 255), "status": enumMember("pending", "verified"), "use_for_organization_discovery": flagMember()}
	return []operation{
		{"GET", list, []string{"read:organization_discovery_domains"}, false, "Get discovery domains of an organization", nil, listDomains},
		{"POST", list, []string{"create:organization_discovery_domains"}, false, "Create a discovery domain", body.require("domain"), createDomain},
		{"GET", list + "/name/{domain}", []string{"read:organization_discovery_domains"}, false, "Get a discovery domain by name", nil, showDomain},
		{"GET", list + "/{domain}", []string{"read:organization_discovery_domains"}, false, "Get a discovery domain", nil, showDomain},
		{"PATCH", list + "/{domain}", []string{"update:organization_discovery_domains"}, false, "Update a discovery domain", body.without("domain"), updateDomain},
		{"DELETE", list + "/{domain}", []string{"delete:organization_discovery_domains"}, false, "Delete a discovery domain", nil, deleteDomain},
	}
}

func listDomains(c *apiCall) (reply, error) {
	if _, err := c.organization(); err != nil {
		return reply{}, err
	}
	p, err := readPaging(c.query)
	if err != nil {
		return reply{}, err
	}
	return c.checkpointed("domains", c.extra(extraDomains, c.params["id"]).all(nil), p)
}

func createDomain(c *apiCall) (reply, error) {
	org, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	d := c.object().clone()
	d.setDefaults(document{"status": "pending", "use_for_organization_discovery": true})
	d.set(document{
		"id": c.id("ord_", 22), "verification_txt": hexString(c.rng, 32),
		"verification_host": "_ss-verification." + org.text("id") + "." + d.text("domain"),
	})
	c.extra(extraDomains, c.params["id"]).put(d.text("id"), d)
	return reply{http.StatusCreated, d}, nil
}

// domain is the one of the path, by its id or its name.
func (c *apiCall) domain() (document, error) {
	if _, err := c.organization(); err != nil {
		return nil, err
	}
	domains := c.extra(extraDomains, c.params["id"])
	if d := domains.get(c.params["domain"]); d != nil {
		return d, nil
	}
	if d := domains.find(having("domain", c.params["domain"])); d != nil {
		return d, nil
	}
	return nil, notFound("", "No organization domain found by that id")
}

func showDomain(c *apiCall) (reply, error) {
	d, err := c.domain()
	return reply{http.StatusOK, d}, err
}

func updateDomain(c *apiCall) (reply, error) {
	d, err := c.domain()
	if err != nil {
		return reply{}, err
	}
	after := d.clone()
	after.set(c.object())
	c.extra(extraDomains, c.params["id"]).put(d.text("id"), after)
	return reply{http.StatusOK, after}, nil
}

func deleteDomain(c *apiCall) (reply, error) {
	c.extra(extraDomains, c.params["id"]).remove(c.params["domain"])
	return reply{http.StatusNoContent, nil}, nil
}

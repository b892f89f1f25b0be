package auth0sim

import "net/http"

const extraInvitations = "invitations"

func invitationOperations() []operation {
	list := "/organizations/{id}/invitations"
	body := fields{
		"inviter": objectMember(nil), "invitee": objectMember(nil), "client_id": textMember(1, 0), "connection_id": textMember(1, 0), "app_metadata": objectMember(nil),
		"user_metadata": objectMember(nil), "ttl_sec": wholeMember(1, 2592000), "roles": listMember(0, 0, textMember(1, 0)), "send_invitation_email": flagMember(),
	}
	return []operation{
		{"GET", list, []string{"read:organization_invitations"}, false, "Get invitations to an organization", nil, listInvitations},
		{"POST", list, []string{"create:organization_invitations"}, false, "Create an invitation to an organization", body.require("inviter", "invitee", "client_id"), createInvitation},
		{"GET", list + "/{invitation}", []string{"read:organization_invitations"}, false, "Get an invitation to an organization", nil, showInvitation},
		{"DELETE", list + "/{invitation}", []string{"delete:organization_invitations"}, false, "Delete an invitation to an organization", nil, deleteInvitation},
	}
}

// listInvitations tells no total, unlike other lists.
func listInvitations(c *apiCall) (reply, error) {
	answer, err := c.listing("invitations", c.extra(extraInvitations, c.params["id"]).all(nil), false)
	if d, ok := answer.body.(document); ok {
		delete(d, "total")
	}
	return answer, err
}

func createInvitation(c *apiCall) (reply, error) {
	org, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	d := c.object().without("ttl_sec", "send_invitation_email").clone()
	ticket := c.id("", 32)
	d.set(document{
		"id": c.id("uinv_", 16), "ticket_id": ticket, "organization_id": org["id"], "created_at": c.date(),
		"expires_at":     c.now().UTC().AddDate(0, 0, 7).Format(dateLayout),
		"invitation_url": "https://login.example/?invitation=" + ticket + "&organization=" + org.text("id") + "&organization_name=" + org.text("name"),
	})
	c.extra(extraInvitations, c.params["id"]).put(d.text("id"), d)
	return reply{http.StatusCreated, d}, nil
}

func showInvitation(c *apiCall) (reply, error) {
	if d := c.extra(extraInvitations, c.params["id"]).get(c.params["invitation"]); d != nil {
		return reply{http.StatusOK, d}, nil
	}
	return reply{}, notFound("inexistent_invitation", "The invitation does not exist.")
}

func deleteInvitation(c *apiCall) (reply, error) {
	c.extra(extraInvitations, c.params["id"]).remove(c.params["invitation"])
	return reply{http.StatusNoContent, nil}, nil
}

package auth0sim

import (
	"net/http"
	"slices"
)

func identityOperations() []operation {
	body := fields{"provider": textMember(1, 0), "connection_id": textMember(1, 0), "user_id": textMember(1, 0), "link_with": textMember(1, 0)}
	return []operation{
		{"POST", "/users/{id}/identities", []string{"update:users"}, false, "Link a User Account", body, linkIdentity},
		{"DELETE", "/users/{id}/identities/{provider}/{identity}", []string{"update:users"}, false, "Unlink a User Account", nil, unlinkIdentity},
	}
}

// linkIdentity makes another user an identity of this one; the other is gone.
func linkIdentity(c *apiCall) (reply, error) {
	primary, err := c.user(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	other, err := c.user(c.object().text("user_id"))
	if err != nil {
		return reply{}, err
	}
	after := primary.clone()
	list := after["identities"].([]any)
	list = append(list, cloneValue(other["identities"]).([]any)...)
	for i, from := range []document{primary, other} {
		profile := from.only("email", "email_verified", "given_name", "family_name", "username", "nickname", "picture", "name")
		if from["username"] != nil {
			delete(profile, "name")
		}
		if j := []int{0, len(list) - 1}[i]; list[j].(document)["profileData"] == nil {
			list[j].(document)["profileData"] = profile
		}
	}
	after["identities"] = list
	c.removeUser(other.text("user_id"))
	c.beforeChange(primary.text("user_id"))
	c.users.put(primary.text("user_id"), after)
	return reply{http.StatusCreated, list}, nil
}

// unlinkIdentity makes an identity a user of its own again.
func unlinkIdentity(c *apiCall) (reply, error) {
	d, err := c.user(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	after := d.clone()
	list := after["identities"].([]any)
	i := slices.IndexFunc(list, func(v any) bool {
		return v.(document).text("provider") == c.params["provider"] && v.(document).text("user_id") == c.params["identity"]
	})
	if i < 1 {
		return reply{}, badRequest("invalid_uri", "The identity does not exist or is the user's own.")
	}
	freed := list[i].(document)
	after["identities"] = slices.Delete(list, i, i+1)
	at, id := c.date(), freed.text("provider")+"|"+freed.text("user_id")
	user := freed.child("profileData").clone()
	user.set(document{"user_id": id, "created_at": at, "updated_at": at, "identities": []any{freed.without("profileData")}})
	c.users.put(id, user)
	c.beforeChange(d.text("user_id"))
	c.users.put(d.text("user_id"), after)
	return reply{http.StatusOK, after["identities"]}, nil
}

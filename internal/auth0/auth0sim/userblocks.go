package auth0sim

import (
	"cmp"
	"net/http"
	"strings"
)

func userBlockOperations() []operation {
	return []operation{
		{"GET", "/user-blocks", []string{"read:users"}, false, "Get blocks by identifier", nil, showBlocks},
		{"DELETE", "/user-blocks", []string{"update:users"}, false, "Unblock by identifier", nil, removeBlocks},
		{"GET", "/user-blocks/{id}", []string{"read:users"}, false, "Get a user's blocks", nil, showBlocks},
		{"DELETE", "/user-blocks/{id}", []string{"update:users"}, false, "Unblock a user", nil, removeBlocks},
	}
}

// blockedUser is the one of the path, or the one that `identifier` names.
func (c *apiCall) blockedUser() (document, error) {
	if id, ok := c.params["id"]; ok {
		return c.user(id)
	}
	identifier := c.query.Get("identifier")
	d := c.users.find(func(u document) bool {
		return strings.EqualFold(u.text("email"), identifier) || u.text("username") == identifier || u.text("phone_number") == identifier
	})
	if d == nil {
		return nil, notFound("inexistent_user", "The user does not exist.")
	}
	return d, nil
}

// showBlocks tells what addresses are locked out after wrong passwords; that is
// not what `blocked` says.
func showBlocks(c *apiCall) (reply, error) {
	user, err := c.blockedUser()
	if err != nil {
		return reply{}, err
	}
	blocked := make([]any, 0)
	for _, ip := range c.blocks[user.text("user_id")] {
		blocked = append(blocked, document{"identifier": cmp.Or(user.text("email"), user.text("username")), "ip": ip, "connection": connectionOf(user)})
	}
	return reply{http.StatusOK, document{"blocked_for": blocked}}, nil
}

func removeBlocks(c *apiCall) (reply, error) {
	user, err := c.blockedUser()
	if err != nil {
		return reply{}, err
	}
	id := user.text("user_id")
	for _, ip := range c.blocks[id] {
		delete(c.attempts, id+" "+ip)
	}
	delete(c.blocks, id)
	return reply{http.StatusNoContent, nil}, nil
}

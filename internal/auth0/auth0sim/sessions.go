package auth0sim

import "net/http"

// sessionOperations are what may be asked and revoked of a user's sessions and
// devices. Nobody signs in by a browser here, so there are none.
func sessionOperations() []operation {
	none := func(status int, body any) func(*apiCall) (reply, error) {
		return func(c *apiCall) (reply, error) {
			_, err := c.user(c.params["id"])
			return reply{status, body}, err
		}
	}
	user := "/users/{id}"
	return []operation{
		{"GET", user + "/sessions", []string{"read:sessions"}, false, "Get sessions for user", nil, none(http.StatusOK, document{"sessions": []any{}})},
		{"DELETE", user + "/sessions", []string{"delete:sessions"}, false, "Delete sessions for user", nil, none(http.StatusAccepted, nil)},
		{"GET", user + "/refresh-tokens", []string{"read:refresh_tokens"}, false, "Get refresh tokens for a user", nil, none(http.StatusOK, document{"tokens": []any{}})},
		{"DELETE", user + "/refresh-tokens", []string{"delete:refresh_tokens"}, false, "Delete refresh tokens for a user", nil, none(http.StatusAccepted, nil)},
		{"GET", user + "/enrollments", []string{"read:users"}, false, "Get the first confirmed multi-factor authentication enrollment", nil, none(http.StatusOK, []any{})},
		{"GET", user + "/connected-accounts", []string{"read:users"}, false, "List a User's Connected Accounts", nil, none(http.StatusOK, document{"connected_accounts": []any{}})},
		{"GET", user + "/federated-connections-tokensets", []string{"read:federated_connections_tokens"}, false, "Get token sets", nil, none(http.StatusOK, []any{})},
		{"DELETE", user + "/federated-connections-tokensets/{set}", []string{"delete:federated_connections_tokens"}, false, "Delete a token set", nil, none(http.StatusNoContent, nil)},
		{"POST", user + "/multifactor/actions/invalidate-remember-browser", []string{"update:users"}, false, "Invalidate All Remembered Browsers for Multi-factor Authentication", nil, none(http.StatusNoContent, nil)},
	}
}

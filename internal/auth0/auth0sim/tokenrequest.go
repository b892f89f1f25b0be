package auth0sim

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
)

// tokenRequest is what POST /oauth/token reads, as JSON or as a form.
type tokenRequest struct {
	GrantType     string `json:"grant_type"`
	ClientID      string `json:"client_id"`
	ClientSecret  string `json:"client_secret"`
	Audience      string `json:"audience"`
	Organization  string `json:"organization,omitempty"`
	Scope         string `json:"scope,omitempty"`
	Assertion     string `json:"client_assertion,omitempty"`
	AssertionType string `json:"client_assertion_type,omitempty"`
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	Realm         string `json:"realm,omitempty"`
}

func readTokenRequest(body io.Reader, r *http.Request) (tokenRequest, error) {
	var req tokenRequest
	data, err := io.ReadAll(body)
	if err != nil {
		return req, errors.New("the body is too large")
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(data))
		if err != nil {
			return req, errors.New("the body is not a form")
		}
		req = tokenRequest{
			form.Get("grant_type"), form.Get("client_id"), form.Get("client_secret"), form.Get("audience"), form.Get("organization"), form.Get("scope"),
			form.Get("client_assertion"), form.Get("client_assertion_type"), form.Get("username"), form.Get("password"), form.Get("realm"),
		}
	} else if err := json.Unmarshal(data, &req); err != nil {
		return req, errors.New("the body is not JSON")
	}
	if id, secret, ok := r.BasicAuth(); ok {
		req.ClientID, req.ClientSecret = unescaped(id), unescaped(secret)
	}
	if req.ClientID == "" && req.Assertion != "" {
		req.ClientID = claimedBy(req.Assertion)
	}
	return req, nil
}

// unescaped undoes the form encoding that RFC 6749 asks of Basic credentials.
func unescaped(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

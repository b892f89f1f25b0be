// Package actions has the Auth0 Actions by which a tenant tells m2mwatch what its
// log does not.
package actions

import _ "embed"

// Action is the code of one.
type Action struct {
	Trigger string // of Auth0, which runs it
	Code    string // JavaScript, without a secret
}

var (
	//go:embed credentials-exchange.js
	credentialsExchange string
	//go:embed post-login.js
	postLogin string
)

// All are those that there are.
func All() []Action {
	return []Action{{"credentials-exchange", credentialsExchange}, {"post-login", postLogin}}
}

package auth0sim

import "slices"

// enterprise strategies have a page that sets them up and a button.
func enterprise(strategy string) bool {
	return slices.Contains([]string{"ad", "adfs", "google-apps", "pingfederate", "samlp", "waad"}, strategy)
}

// federated strategies are told of with a name for people and a button.
func federated(strategy string) bool { return slices.Contains([]string{"oidc", "okta"}, strategy) }

// optionDefaults are what the API fills in of a connection's options: with
// none given, and beside those that are given.
func optionDefaults(strategy string, given document) document {
	certificate := document{
		"cert": "", "expires": "", "subject": document{"commonName": "", "countryName": "", "organizationName": "", "stateOrProvinceName": ""}, "thumbprints": []any{},
	}
	scope := document{"scope": []any{}}
	switch strategy {
	case "auth0":
		return databaseDefaults(given)
	case "ad":
		return document{"ips": nil, "brute_force_protection": true}
	case "adfs":
		return document{"should_trust_email_verified_connection": "", "signInEndpoint": "", "thumbprints": []any{}}
	case "facebook", "github", "salesforce":
		return scope
	case "google-apps":
		return document{"email": true, "profile": true, "scope": []any{"email", "profile"}, "handle_login_from_social": true, "map_user_id_to_id": false}
	case "google-oauth2":
		return document{"email": true, "profile": true, "scope": []any{"email", "profile"}}
	case "linkedin", "line", "wordpress":
		return document{"profile": true, "scope": []any{"profile"}}
	case "windowslive":
		return document{"signin": true, "scope": []any{"signin"}}
	case "oidc", "okta":
		return document{"attribute_map": document{"mapping_mode": "basic_profile"}, "connection_settings": document{"pkce": "auto"}, "schema_version": "openid-1.0.0", "type": "back_channel"}
	case "pingfederate", "samlp":
		return certificate.and(document{"signInEndpoint": ""})
	case "waad":
		return document{
			"app_domain": "", "identity_api": "", "should_trust_email_verified_connection": "", "thumbprints": []any{}, "useCommonEndpoint": false,
			"use_wsfed": false, "waad_common_endpoint": false, "waad_protocol": "",
		}
	case "email", "sms":
		if len(given) == 0 {
			return document{"brute_force_protection": true}
		}
	}
	return document{}
}

// updateDefaults are what the API fills in where the options are replaced.
func updateDefaults(strategy string, given document) document {
	defaults := optionDefaults(strategy, given).without("mfa", "passwordPolicy")
	switch strategy {
	case "ad":
		delete(defaults, "brute_force_protection")
	case "google-apps":
		defaults["api_enable_users"] = false
	}
	return defaults
}

// and is d with what another has.
func (d document) and(other document) document {
	d.setDefaults(other)
	return d
}

func databaseDefaults(given document) document {
	defaults := document{
		"mfa": document{"active": true, "return_enroll_settings": true}, "strategy_version": 2, "brute_force_protection": true,
		"authentication_methods": document{
			"password": document{"enabled": true, "api_behavior": "required", "signup_behavior": "allow"}, "passkey": document{"enabled": false},
		},
		"passkey_options": document{"challenge_ui": "both", "progressive_enrollment_enabled": true, "local_enrollment_enabled": true},
	}
	if given["password_options"] == nil {
		defaults["passwordPolicy"] = "good"
	}
	return defaults
}

// fillPasswordOptions completes what was asked of passwords.
func fillPasswordOptions(options document) {
	asked := options.child("password_options")
	if asked == nil {
		return
	}
	for name, defaults := range map[string]document{
		"complexity": {
			"character_type_rule": "all", "identical_characters": "allow", "sequential_characters": "allow", "max_length_exceeded": "error", "min_length": 15, "character_types": []any{},
		},
		"profile_data": {"active": false, "blocked_fields": []any{"name", "username", "nickname", "email", "phone_number"}},
		"history":      {"active": false, "size": 3},
		"dictionary":   {"active": false, "custom": []any{}, "default": "en_100k"},
	} {
		asked.setDefaults(document{name: document{}})
		asked.child(name).setDefaults(defaults)
	}
}

// fillAttributes completes the attributes that identify users.
func fillAttributes(options document) {
	if email := options.child("attributes").child("email"); email != nil {
		email.setDefaults(document{"unique": true, "verification_method": "link"})
	}
}

// checkAttributes refuses attributes that do not go together.
func checkAttributes(options document) error {
	attributes := options.child("attributes")
	if attributes == nil {
		return nil
	}
	for _, other := range []string{"requires_username", "validation"} {
		if options[other] != nil {
			return badRequest("invalid_body", "Cannot set both options.attributes and options.%s", other)
		}
	}
	active := false
	for _, name := range attributes.names() {
		attribute := attributes.child(name)
		active = active || attribute.child("identifier").flag("active")
		if attribute.flag("profile_required") && attribute.child("signup").text("status") == "inactive" {
			return badRequest("invalid_body", "attribute %s must also be required on signup", name)
		}
	}
	if !active {
		return badRequest("invalid_body", "attributes must contain one active identifier")
	}
	return nil
}

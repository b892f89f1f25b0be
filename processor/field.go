package processor

// field is one value that is taken out of a log.
type field uint8

const (
	fieldNone field = iota
	fieldType
	fieldDescription
	fieldLogID
	fieldDate
	fieldClientID
	fieldClientName
	fieldUserID
	fieldIP
	fieldClientIP
	fieldUserAgent
	fieldAudience
	fieldScope
	fieldOrganizationID
	fieldOrganizationName
	fieldHostname
	fieldUserName
	fieldConnection
	fieldConnectionID
	fieldStrategy
	fieldStrategyType
	fieldAgentID
	fieldExternalAgentID
	fieldMTLSThumbprint
	fieldDetails
	fieldData

	fieldJA3         // security_context.ja3
	fieldJA4         // security_context.ja4
	fieldSDKName     // auth0_client.name
	fieldSDKVersion  // auth0_client.version
	fieldCorrelation // references.correlation_id
	fieldTrace       // references.trace_id
	fieldCountry     // location_info.country_code

	// Of details.
	fieldTokenID         // access_token_jti
	fieldGrantType       // grant_type
	fieldSessionID       // session_id
	fieldClientAuthError // client_authentication_error
	fieldActorSubject    // actor.sub
	fieldBucket          // bucket, limit.bucket
	fieldEntityType      // entity_type
	fieldEntityID        // entity_id
	fieldQuota           // quota
	fieldQuotaUsed       // quota_consumption
	fieldQuotaPercent    // quota_consumption_percentage
	fieldLimitSize       // limit.size
	fieldLimitGlobal     // limit.global
	fieldStatus          // response.statusCode
	fieldAnsweredUser    // response.body.user_id
	fieldAnsweredClient  // response.body.client_id

	// Of details.request.
	fieldMethod
	fieldPath
	fieldChannel
	fieldSubject      // auth.subject
	fieldAuthStrategy // auth.strategy
	fieldAuthUser     // auth.user
	fieldAuthUserID   // auth.user.user_id
	fieldUsedTokenID  // auth.credentials.jti

	// Of custom events alone.
	fieldSpecVersion // specversion
	fieldSource      // source
	fieldAPI         // data.api
	fieldOutcome     // data.outcome

	fieldCount
)

// member tells which field a member of a log or of an envelope is.
func member(name []byte) field {
	switch string(name) {
	case "type":
		return fieldType
	case "description":
		return fieldDescription
	case "log_id":
		return fieldLogID
	case "date":
		return fieldDate
	case "client_id":
		return fieldClientID
	case "client_name":
		return fieldClientName
	case "user_id":
		return fieldUserID
	case "ip":
		return fieldIP
	case "client_ip":
		return fieldClientIP
	case "user_agent":
		return fieldUserAgent
	case "audience":
		return fieldAudience
	case "scope":
		return fieldScope
	case "organization_id":
		return fieldOrganizationID
	case "organization_name":
		return fieldOrganizationName
	case "hostname":
		return fieldHostname
	case "user_name":
		return fieldUserName
	case "connection":
		return fieldConnection
	case "connection_id":
		return fieldConnectionID
	case "strategy":
		return fieldStrategy
	case "strategy_type":
		return fieldStrategyType
	case "agent_id":
		return fieldAgentID
	case "external_agent_id":
		return fieldExternalAgentID
	case "mtls_thumbprint_sha256":
		return fieldMTLSThumbprint
	case "details":
		return fieldDetails
	case "data":
		return fieldData
	}
	return fieldNone
}

// detailsField tells which field a text in details is.
func detailsField(name []byte) field {
	switch string(name) {
	case "access_token_jti":
		return fieldTokenID
	case "grant_type":
		return fieldGrantType
	case "session_id":
		return fieldSessionID
	case "client_authentication_error", "client_authentoication_error": // the second is how Auth0's schema spells it
		return fieldClientAuthError
	case "bucket":
		return fieldBucket
	case "entity_type":
		return fieldEntityType
	case "entity_id":
		return fieldEntityID
	case "quota":
		return fieldQuota
	case "quota_consumption":
		return fieldQuotaUsed
	case "quota_consumption_percentage":
		return fieldQuotaPercent
	}
	return fieldNone
}

// responseField tells which field a member of details.response is.
func responseField(name []byte) field {
	switch string(name) {
	case "statusCode":
		return fieldStatus
	}
	return fieldNone
}

// answerField tells which field a member of details.response.body is.
func answerField(name []byte) field {
	switch string(name) {
	case "user_id":
		return fieldAnsweredUser
	case "client_id":
		return fieldAnsweredClient
	}
	return fieldNone
}

// actorField tells which field a member of details.actor is.
func actorField(name []byte) field {
	switch string(name) {
	case "sub":
		return fieldActorSubject
	}
	return fieldNone
}

// credentialsField tells which field a member of details.request.auth.credentials is.
func credentialsField(name []byte) field {
	switch string(name) {
	case "jti":
		return fieldUsedTokenID
	}
	return fieldNone
}

// securityField tells which field a member of security_context is.
func securityField(name []byte) field {
	switch string(name) {
	case "ja3":
		return fieldJA3
	case "ja4":
		return fieldJA4
	}
	return fieldNone
}

// sdkField tells which field a member of auth0_client is.
func sdkField(name []byte) field {
	switch string(name) {
	case "name":
		return fieldSDKName
	case "version":
		return fieldSDKVersion
	}
	return fieldNone
}

// referencesField tells which field a member of references is.
func referencesField(name []byte) field {
	switch string(name) {
	case "correlation_id":
		return fieldCorrelation
	case "trace_id":
		return fieldTrace
	}
	return fieldNone
}

// locationField tells which field a member of location_info is.
func locationField(name []byte) field {
	switch string(name) {
	case "country_code":
		return fieldCountry
	}
	return fieldNone
}

package auth0sim

import (
	"math/rand/v2"
	"strconv"
)

// personalType is the event type code and the description of what people do.
func personalType(k kind) (code, description string) {
	switch k {
	case kindLogin:
		return "s", "Successful login"
	case kindCode:
		return "seacft", "Authorization Code for Access Token"
	case kindSilent:
		return "ssa", "Successful silent authentication"
	case kindRefresh:
		return "sertft", "Refresh Token for Access Token"
	case kindLogout:
		return "slo", "User successfully logged out"
	case kindUnknownUser:
		return "f", "Wrong email or password."
	default:
		return "fp", "Wrong email or password."
	}
}

// appendPersonal writes what a person does.
func (t *Tenant) appendPersonal(dst []byte, r *rand.Rand, s *stamp, a *action) []byte {
	who, site := &t.people[a.actor], &t.websites[a.detail]
	code, description := personalType(a.kind)
	dst = open(dst, s, code)
	dst = field(dst, "description", description)
	dst = append(dst, `,"connection":"Username-Password-Authentication","connection_id":"con_4fQm0Yq7hZlC2aXe"`...)
	dst = field(dst, "client_id", site.id)
	dst = field(dst, "client_name", site.name)
	dst = field(dst, "ip", who.ip)
	if a.kind == kindCode || a.kind == kindRefresh {
		dst = field(dst, "client_ip", who.ip)
	}
	dst = field(dst, "user_agent", who.agent)
	dst = t.appendPersonalDetails(dst, r, s, a)
	dst = field(dst, "hostname", t.domain)
	dst = appendUser(dst, who, a.kind)
	if a.kind == kindCode || a.kind == kindRefresh {
		dst = field(dst, "audience", t.apis[1+a.detail%6].audience)
		dst = append(dst, `,"scope":"openid profile email offline_access"`...)
	}
	if a.kind == kindLogin || a.kind == kindCode {
		dst = append(dst, `,"references":{"correlation_id":"`...)
		dst = appendHex(dst, r, 16)
		dst = append(dst, `"}`...)
	}
	return t.closing(dst, s, a.kind != kindLogout)
}

func appendUser(dst []byte, who *person, k kind) []byte {
	if k == kindUnknownUser {
		return append(dst, `,"user_id":"","user_name":"somebody@example.com","strategy":"auth0","strategy_type":"database"`...)
	}
	dst = field(dst, "user_id", who.id)
	dst = field(dst, "user_name", who.email)
	return append(dst, `,"strategy":"auth0","strategy_type":"database"`...)
}

func (t *Tenant) appendPersonalDetails(dst []byte, r *rand.Rand, s *stamp, a *action) []byte {
	dst = append(dst, `,"details":{`...)
	switch a.kind {
	case kindLogin:
		dst = t.appendPrompts(dst, r, s, &t.people[a.actor])
	case kindCode:
		dst = append(dst, `"code":"*************`...)
		dst = appendBase64(dst, r, 3)
		dst = append(dst, `","access_token_jti":"`...)
		dst = appendHex(dst, r, 32)
		dst = append(dst, '"')
	case kindRefresh:
		dst = append(dst, `"familyId":"`...)
		dst = appendHex(dst, r, 24)
		dst = append(dst, `","refresh_token":{"access":"offline"},"actions":{"executions":[]}`...)
	case kindUnknownUser, kindWrongPassword:
		dst = append(dst, `"error":{"message":"Wrong email or password.","reason":null}`...)
	case kindSilent, kindLogout:
		dst = append(dst, `"session_id":"`...)
		dst = appendBase64(dst, r, 32)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

func (t *Tenant) appendPrompts(dst []byte, r *rand.Rand, s *stamp, who *person) []byte {
	end := s.at.UnixMilli()
	elapsed := 2000 + r.Int64N(20000)
	dst = append(dst, `"prompts":[{"name":"lock-password-authenticate","initiatedAt":`...)
	dst = strconv.AppendInt(dst, end-elapsed/4, 10)
	dst = append(dst, `,"completedAt":`...)
	dst = strconv.AppendInt(dst, end-elapsed/9, 10)
	dst = append(dst, `,"connection":"Username-Password-Authentication","strategy":"auth0","identity":"`...)
	dst = append(dst, who.id[len("auth0|"):]...)
	dst = append(dst, `","stats":{"loginsCount":`...)
	dst = strconv.AppendInt(dst, 1+r.Int64N(400), 10)
	dst = append(dst, `},"elapsedTime":null}],"initiatedAt":`...)
	dst = strconv.AppendInt(dst, end-elapsed, 10)
	dst = append(dst, `,"completedAt":`...)
	dst = strconv.AppendInt(dst, end, 10)
	dst = append(dst, `,"elapsedTime":`...)
	dst = strconv.AppendInt(dst, elapsed, 10)
	dst = append(dst, `,"session_id":"`...)
	dst = appendBase64(dst, r, 32)
	return append(dst, `","actions":{"executions":[]}`...)
}

package auth0sim

import (
	"math/rand/v2"
	"strconv"
)

// appendNotice writes a quota warning or a rate limit that a machine ran into.
func (t *Tenant) appendNotice(dst []byte, r *rand.Rand, s *stamp, a *action) []byte {
	m := t.machines[a.actor]
	if a.kind == kindQuota {
		return t.appendQuota(dst, s, m, a.detail)
	}
	dst = open(dst, s, "api_limit")
	dst = append(dst, `,"description":"You passed the limit of allowed calls to /api/v2/users with the given parameters."`...)
	dst = field(dst, "client_id", m.id)
	dst = append(dst, `,"client_name":""`...)
	dst = field(dst, "user_agent", m.callers[0].agent)
	dst = append(dst, `,"details":{"limit":{"bucket":"Global (per second)","global":true,"size":16},"request":{"method":"GET","path":"/api/v2/users"}`...)
	if chance(r, 0.5) {
		dst = append(dst, `,"response":"Too Many Requests"`...)
	} else {
		dst = append(dst, `,"response":{"statusCode":429,"error":"Too Many Requests"}`...)
	}
	dst = append(dst, '}')
	dst = field(dst, "hostname", t.domain)
	return t.closing(dst, s, true)
}

// appendQuota writes a warning of the machine's token budget; its ip, as seen
// on real tenants, may be none.
func (t *Tenant) appendQuota(dst []byte, s *stamp, m *machine, detail uint32) []byte {
	percent := [...]int64{60, 80, 100}[detail%3]
	dst = open(dst, s, "token_quota_consumption_warning")
	dst = field(dst, "description", strconv.FormatInt(percent, 10)+"% of client per_day quota consumed")
	dst = append(dst, m.head...)
	if detail%2 == 0 {
		dst = append(dst, `,"ip":"xxxx","client_ip":"xxxxx"`...)
	} else {
		dst = append(dst, `,"ip":"","client_ip":null`...)
	}
	dst = append(dst, `,"user_agent":"Other 0.0.0 / Other 0.0.0","details":{"bucket":"per_day","entity_type":"client","entity_id":"`...)
	dst = append(dst, m.id...)
	dst = append(dst, `","quota":2000,"quota_consumption_percentage":`...)
	dst = strconv.AppendInt(dst, percent, 10)
	dst = append(dst, `,"quota_consumption":`...)
	dst = strconv.AppendInt(dst, percent*20, 10)
	dst = append(dst, '}')
	dst = field(dst, "hostname", t.domain)
	dst = append(dst, `,"user_id":"","user_name":""`...)
	return t.closing(dst, s, false)
}

// appendOdd writes what a reader must take although no schema foresees it:
// unknown types, details that are text or null, ids that are null, numbers
// that a float64 does not hold, odd dates.
func (t *Tenant) appendOdd(dst []byte, r *rand.Rand, s *stamp, a *action) []byte {
	code := [...]string{"sxqpt", "agent_session_started", "fgrnt", "policy_snapshot_completed"}[r.IntN(4)]
	dst = openOdd(dst, s, code, int(a.detail%7))
	dst = append(dst, `,"description":""`...)
	site := &t.websites[a.actor]
	switch a.detail / 7 % 4 {
	case 0:
		dst = append(dst, `,"client_id":null,"client_name":null,"ip":null,"details":null`...)
	case 1:
		dst = field(dst, "client_id", site.id)
		dst = append(dst, `,"ip":"unknown","details":"{\"nested\":\"as text\"}"`...)
	case 2:
		dst = field(dst, "client_id", site.id)
		dst = append(dst, `,"ip":"100.64.0.9","details":"","audience":["https://one.example","https://two.example"],"scope":["openid"],"auth0_client":[]`...)
	default:
		dst = append(dst, `,"client_id":"","details":{"sequence":1234567890123456789012,"ratio":1.743012420759E12,"text":"naïve \u2713 \"quoted\""}`...)
	}
	return t.closeShort(dst, s)
}

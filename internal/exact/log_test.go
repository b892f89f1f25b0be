package exact_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// form is which way a copy of a log is written.
type form int

const (
	formStream   form = iota // in an envelope, as a log stream sends it
	formManaged              // as the Management API tells it: its user agent rewritten, less of the rest
	formReworded             // as the stream sent it once more with other words
)

// sent is one copy of a log on its way, and what must be told of it should it
// be the one that survives. event is made here by hand, not by the normalizer.
type sent struct {
	event  schemas.Event
	former bool // it is normalized by the former version of the program
}

// facts are what a log says, whatever way it is written.
type facts struct {
	tenant, logID, kind    string
	at                     time.Time
	client, user           string
	ip, network, country   string
	agent, class, ja4      string
	audience, organization string
	description            string
	token, used            string    // jti
	words                  [3]string // description, by form
}

// The words of a refusal, and the cause that they tell.
var refusals = []struct {
	words string
	cause schemas.Cause
}{
	{"Unauthorized", schemas.CauseCredentials},
	{"Unauthorized", schemas.CauseCredentials},
	{"Unauthorized", schemas.CauseCredentials},
	{"Client quota exceeded", schemas.CauseClientQuota},
	{"Service not found: https://api.example", schemas.CauseAudience},
}

func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// chance is true once in n.
func chance(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

// jtis is how many tokens a history has.
const jtis = 5

func jtiOf(seed uint64, n int) string { return fmt.Sprintf("jti-%d-%d", seed, n) }

// anyFacts is a log of this kind. Values are few, so that they meet.
func anyFacts(r *rand.Rand, tenant string, seed uint64, n int, kind, client, user string, at time.Time) facts {
	net := pick(r, 1, 1, 1, 1, 2)
	f := facts{
		tenant: tenant, kind: kind, at: at, client: client, user: user,
		ip: fmt.Sprintf("198.51.%d.%d", net, 1+r.IntN(3)), network: fmt.Sprintf("198.51.%d.0/24", net),
		country: pick(r, "DE", "DE", "FR", ""), ja4: pick(r, "t13d1516h2", "t13d1517h2", ""),
		audience: pick(r, "https://a", "https://a", "https://b", ""), organization: pick(r, "", "", "org_1", "org_2"),
		words: [3]string{"", "", "again"},
	}
	f.agent, f.class = pick(r, "curl/8.5.0", "python-requests/2.31", ""), ""
	switch f.agent {
	case "curl/8.5.0":
		f.class = "curl"
	case "python-requests/2.31":
		f.class = "library"
	}
	switch kind {
	case "feccft":
		why, other := pick(r, refusals...).words, pick(r, refusals...).words
		f.words = [3]string{why, pick(r, why, why, other), other}
	case "seccft":
		f.token = pick(r, "", jtiOf(seed, n%jtis))
	case "sapi":
		f.used = pick(r, "", jtiOf(seed, r.IntN(jtis)))
	}
	stamp := at.Add(time.Duration(r.IntN(3)) * time.Second)
	if chance(r, 8) {
		stamp = at.Add(time.Duration(r.IntN(72)) * time.Hour) // far from the date
	}
	f.logID = fmt.Sprintf("900%s%033d%06d", stamp.Format("20060102150405"), seed, n)
	if chance(r, 8) {
		f.logID = fmt.Sprintf("no-stamp-%d-%06d", seed, n)
	}
	return f
}

// cause is why a log with this description failed.
func (f *facts) cause(description string) schemas.Cause {
	switch f.kind {
	case "fp":
		return schemas.CauseUserCredentials
	case "feccft":
		for _, refusal := range refusals {
			if refusal.words == description {
				return refusal.cause
			}
		}
	}
	return schemas.CauseNone
}

// copyOf is the log in this form, by this source.
func (f facts) copyOf(as form, source schemas.Source, former bool) sent {
	f.description = f.words[as]
	if as == formManaged {
		f.agent, f.class, f.ja4, f.country = "Other 0.0.0 / Other 0.0.0", "unknown", "", ""
	}
	e := schemas.Event{
		Tenant: f.tenant, ClientID: f.client, Time: f.at, LogID: f.logID, Type: f.kind, Description: f.description, Cause: f.cause(f.description),
		UserID: f.user, IP: f.ip, Network: f.network, Country: f.country, UserAgent: f.agent, UserAgentClass: f.class, JA4: f.ja4,
		Audience: f.audience, OrganizationID: f.organization, TokenID: f.token, UsedTokenID: f.used, Source: source, Raw: f.raw(as),
	}
	classify(&e)
	normalizer := uint32(schemas.NormalizerVersion)
	if former {
		spoil(&e)
		normalizer--
	}
	e.Ver = rank(source)<<56 | uint64(normalizer)<<48 | uint64(crc32.ChecksumIEEE(e.Raw)&^schemas.MaxGeneration)
	return sent{event: e, former: former}
}

// rank orders the sources, the highest wins.
func rank(s schemas.Source) uint64 {
	order := []schemas.Source{schemas.SourceImport, schemas.SourceRepair, schemas.SourcePull, schemas.SourceCustom, schemas.SourceStream}
	return uint64(slices.Index(order, s) + 1)
}

// classify tells the outcome and the identity of the kinds of logs that there are.
func classify(e *schemas.Event) {
	e.Outcome = schemas.OutcomeSuccess
	switch e.Type {
	case "seccft":
		e.Identity = schemas.Identity{ID: "app:" + e.ClientID, Kind: schemas.KindMachine, Reason: "client_credentials"}
	case "feccft":
		e.Outcome = schemas.OutcomeFailure
		e.Identity = schemas.Identity{ID: "app:" + e.ClientID, Kind: schemas.KindMachine, Reason: "client_credentials"}
	case "sapi":
		e.Identity = schemas.Identity{ID: "app:" + e.ClientID, Kind: schemas.KindMachine, Reason: "management_api_application"}
		e.Call = schemas.Call{Method: "GET", Path: "/api/v2/clients", Channel: "api"}
	case "fp":
		e.Outcome = schemas.OutcomeFailure
		e.Identity = schemas.Identity{ID: "user:" + e.UserID, Kind: schemas.KindHuman, Reason: "user"}
	case "s":
		e.Identity = schemas.Identity{ID: "user:" + e.UserID, Kind: schemas.KindHuman, Reason: "user"}
	}
}

// spoil is how the former version of the program normalized: it knew less.
func spoil(e *schemas.Event) {
	e.Identity = schemas.Identity{Kind: schemas.KindUnknown, Reason: "no_signal"}
	e.Network, e.UserAgentClass, e.Cause = "", "", ""
}

// raw is the log as it is written.
func (f *facts) raw(as form) []byte {
	log := map[string]any{"type": f.kind, "date": f.at.Format("2006-01-02T15:04:05.000Z"), "ip": f.ip, "log_id": f.logID}
	set := func(in map[string]any, name, value string) {
		if value != "" {
			in[name] = value
		}
	}
	set(log, "client_id", f.client)
	set(log, "user_id", f.user)
	set(log, "description", f.description)
	set(log, "user_agent", f.agent)
	set(log, "audience", f.audience)
	set(log, "organization_id", f.organization)
	if f.country != "" {
		log["location_info"] = map[string]any{"country_code": f.country}
	}
	if f.ja4 != "" {
		log["security_context"] = map[string]any{"ja4": f.ja4}
	}
	details := map[string]any{}
	set(details, "access_token_jti", f.token)
	if f.kind == "sapi" {
		request := map[string]any{"method": "get", "path": "/api/v2/clients", "channel": "api"}
		if f.used != "" {
			request["auth"] = map[string]any{"credentials": map[string]any{"jti": f.used}}
		}
		details["request"] = request
	}
	if len(details) > 0 {
		log["details"] = details
	}
	var whole any = log
	if as != formManaged {
		whole = map[string]any{"log_id": f.logID, "data": log}
	}
	raw, err := json.Marshal(whole)
	if err != nil { // maps of strings always marshal
		panic(err)
	}
	return raw
}

package processor

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/identity"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// maxLogID is the longest log_id that is taken for one; Auth0's have 56
// characters.
const maxLogID = 64

// Normalizer turns logs into events. What it gives is a function of the log,
// the catalogue and what is known of addresses alone. Not for concurrent use.
type Normalizer struct {
	catalogue *schemas.Catalogue
	places    Places
	decoder   *decoder
	facts     identity.Facts
	odd       oddity // of the log that was normalized last
}

// NewNormalizer makes a Normalizer that knows the event types of c, and of
// addresses what p knows; nil is nothing.
func NewNormalizer(c *schemas.Catalogue, p Places) *Normalizer {
	return &Normalizer{catalogue: c, places: p, decoder: newDecoder()}
}

// Normalize reads one log. The event keeps log.Raw and copies all else. An
// error is one sentence that says why the log cannot be an event: it is not a
// JSON object, has no log_id, or neither a date nor a stamp in its log_id.
// Nothing else that is missing or odd is an error. A custom event is another
// form of log, and has to be a CloudEvent.
func (n *Normalizer) Normalize(log *schemas.Log) (schemas.Event, error) {
	n.odd = 0
	if log.Source == schemas.SourceCustom {
		return n.normalizeCustom(log)
	}
	r, err := n.decoder.decode(log.Raw)
	if err != nil {
		return schemas.Event{}, err
	}
	n.odd = r.odd
	logID := r.get(fieldLogID)
	if err := checkLogID(logID); err != nil {
		return schemas.Event{}, err
	}
	at, err := eventTime(r.get(fieldDate), logID)
	if err != nil {
		return schemas.Event{}, err
	}
	eventType := n.eventType(r.get(fieldType))
	e := schemas.Event{
		Tenant:           log.Tenant,
		ClientID:         r.get(fieldClientID),
		Time:             at,
		LogID:            logID,
		Ver:              schemas.Version(log.Source, schemas.NormalizerVersion, log.Raw),
		Type:             r.get(fieldType),
		Outcome:          eventType.Outcome,
		Description:      r.get(fieldDescription),
		Identity:         n.identity(r, eventType),
		ClientName:       r.get(fieldClientName),
		UserID:           r.get(fieldUserID),
		UserName:         r.get(fieldUserName),
		Connection:       r.get(fieldConnection),
		ConnectionID:     r.get(fieldConnectionID),
		Strategy:         r.get(fieldStrategy),
		StrategyType:     r.get(fieldStrategyType),
		IP:               r.get(fieldIP),
		ClientIP:         r.get(fieldClientIP),
		Country:          r.get(fieldCountry),
		UserAgent:        r.get(fieldUserAgent),
		UserAgentClass:   UserAgentClass(r.get(fieldUserAgent)),
		JA3:              r.get(fieldJA3),
		JA4:              r.get(fieldJA4),
		SDKName:          r.get(fieldSDKName),
		SDKVersion:       r.get(fieldSDKVersion),
		Hostname:         r.get(fieldHostname),
		Audience:         r.get(fieldAudience),
		Scopes:           scopes(r.get(fieldScope)),
		GrantType:        r.get(fieldGrantType),
		OrganizationID:   r.get(fieldOrganizationID),
		OrganizationName: r.get(fieldOrganizationName),
		TokenID:          r.get(fieldTokenID),
		UsedTokenID:      r.get(fieldUsedTokenID),
		SessionID:        r.get(fieldSessionID),
		MTLSThumbprint:   r.get(fieldMTLSThumbprint),
		AgentID:          r.get(fieldAgentID),
		ExternalAgentID:  r.get(fieldExternalAgentID),
		ActorSubject:     r.get(fieldActorSubject),
		CorrelationID:    r.get(fieldCorrelation),
		TraceID:          r.get(fieldTrace),
		Quota:            quota(r),
		Source:           log.Source,
		IngestedAt:       log.IngestedAt,
		Raw:              log.Raw,
		RawMasked:        log.Masked,
	}
	n.locate(&e)
	if e.Outcome == schemas.OutcomeFailure {
		e.Cause = failureCause(e.Type, e.Description, r.has(fieldClientAuthError))
	}
	if identity.IsManagementAPI(e.Type) {
		e.Call = schemas.Call{Method: method(r.get(fieldMethod)), Path: r.get(fieldPath), Status: status(r.get(fieldStatus)), Channel: r.get(fieldChannel)}
		if e.Call.Target = target(e.Call.Path); e.Call.Target == "" && e.Call.Method == "POST" {
			e.Call.Target = made(e.Call.Path, r.get(fieldAnsweredUser), r.get(fieldAnsweredClient))
		}
	}
	return e, nil
}

// locate adds the network of its address to an event, and the place. What the
// log says of the country goes first: it is what rules at Auth0 have seen.
func (n *Normalizer) locate(e *schemas.Event) {
	addr := address(e.Address())
	e.Network = network(addr)
	if n.places == nil {
		return
	}
	p := n.places.Place(addr)
	e.Ver = p.Version(e.Ver)
	e.ASN, e.ASOrg = p.ASN, p.ASOrg
	if e.Country == "" {
		e.Country = p.Country
	}
}

// eventType is what the catalogue says of a type; of an unknown one its outcome
// is unknown and no machine class.
func (n *Normalizer) eventType(code string) schemas.EventType {
	if t, ok := n.catalogue.Lookup(code); ok {
		return t
	}
	return schemas.EventType{Code: code, Outcome: schemas.OutcomeUnknown}
}

func (n *Normalizer) identity(r *record, of schemas.EventType) schemas.Identity {
	n.facts = identity.Facts{
		Type:            of.Code,
		Outcome:         of.Outcome,
		Machine:         of.Machine,
		ClientID:        r.get(fieldClientID),
		ClientName:      r.get(fieldClientName),
		UserID:          r.get(fieldUserID),
		Audience:        r.get(fieldAudience),
		AgentID:         r.get(fieldAgentID),
		ExternalAgentID: r.get(fieldExternalAgentID),
		ActorSubject:    r.get(fieldActorSubject),
		Strategy:        r.get(fieldStrategy),
		Subject:         r.get(fieldSubject),
		Channel:         r.get(fieldChannel),
		AuthUser:        r.seen&(uint64(1)<<fieldAuthUser) != 0 || r.has(fieldAuthUserID),
		AuthUserID:      r.get(fieldAuthUserID),
	}
	if n.facts.Strategy == "" {
		n.facts.Strategy = r.get(fieldAuthStrategy)
	}
	return identity.Classify(&n.facts)
}

// checkLogID refuses what cannot be a key: a log_id is a part of URLs and of
// the store's order.
func checkLogID(id string) error {
	if id == "" {
		return refuse(schemas.DeadCodeLogID, "the record has no log_id")
	}
	if len(id) > maxLogID {
		return refuse(schemas.DeadCodeLogID, "log_id is %d characters long, more than %d", len(id), maxLogID)
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return refuse(schemas.DeadCodeLogID, "log_id %s is not printable ASCII without spaces", strconv.QuoteToASCII(id))
		}
	}
	return nil
}

// eventTime is the date of a log or, where it has none that can be read, the
// stamp inside its log_id. Never the time of arrival: it must be the same for
// every delivery.
func eventTime(date, logID string) (time.Time, error) {
	if at, ok := parseDate(date); ok {
		return at, nil
	}
	if at, ok := schemas.LogIDTime(logID); ok {
		return at, nil
	}
	if date == "" {
		return time.Time{}, refuse(schemas.DeadCodeTime, "the record has no date, and log_id %s holds no time", logID)
	}
	return time.Time{}, refuse(schemas.DeadCodeTime, "date %s cannot be read, and log_id %s holds no time", strconv.QuoteToASCII(clip(date, 64)), logID)
}

// parseDate reads a date as text, or as Unix milliseconds, which is what an
// object with $date may hold.
func parseDate(date string) (time.Time, bool) {
	if date == "" {
		return time.Time{}, false
	}
	if strings.Trim(date, "0123456789") != "" {
		at, err := schemas.ParseDate(date)
		return at, err == nil
	}
	const maxDigits = 15 // up to the year 33,658: what is longer is no milliseconds
	ms, err := strconv.ParseInt(date, 10, 64)
	return time.UnixMilli(ms).UTC(), err == nil && len(date) <= maxDigits
}

// scopes splits the text of a scope, in which an array is joined already.
func scopes(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Fields(s)
}

// method writes an HTTP method as HTTP does; logs have it in lower case.
func method(s string) string {
	switch s {
	case "get":
		return "GET"
	case "post":
		return "POST"
	case "put":
		return "PUT"
	case "patch":
		return "PATCH"
	case "delete":
		return "DELETE"
	}
	return strings.ToUpper(s)
}

// status reads an HTTP status, 0 where it is none.
func status(s string) uint16 {
	n := whole(s)
	if n < 100 || n > 999 {
		return 0
	}
	return uint16(n)
}

// quota reads what an event says of a quota (token_quota_consumption_warning)
// or of a rate limit (api_limit). What is no number counts as 0.
func quota(r *record) schemas.Quota {
	q := schemas.Quota{Bucket: r.get(fieldBucket), EntityType: r.get(fieldEntityType), EntityID: r.get(fieldEntityID)}
	if q.EntityType == "" && r.has(fieldLimitGlobal) {
		q.EntityType = "global"
	}
	size := r.get(fieldQuota)
	if size == "" {
		size = r.get(fieldLimitSize)
	}
	q.Size, q.Used = whole(size), whole(r.get(fieldQuotaUsed))
	if r.has(fieldQuotaPercent) {
		if percent, err := strconv.ParseFloat(r.get(fieldQuotaPercent), 32); err == nil && percent >= 0 && percent < maxPercent {
			q.Percent = float32(percent)
		}
	}
	return q
}

// maxPercent bounds a percentage that is taken for one: a quota that is not
// enforced can be used many times over.
const maxPercent = 1e9

// whole reads a number, 0 where there is none. Nearly no event has one, and the
// error of an empty text is an allocation.
func whole(s string) uint64 {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// resource is the path of a Management API call behind its version: users/{id}.
func resource(path string) string {
	path, _, _ = strings.Cut(path, "?")
	rest, ok := strings.CutPrefix(strings.TrimPrefix(path, "/api"), "/v2/")
	if !ok {
		return ""
	}
	return rest
}

// made names the identity that a call makes, by the ids in its answer: POST
// /api/v2/users and POST /api/v2/clients do.
func made(path, user, client string) string {
	switch collection := resource(path); {
	case collection == "users" && user != "":
		return schemas.UserID(user)
	case collection == "clients" && client != "":
		return schemas.AppID(client)
	}
	return ""
}

// target names the identity that a Management API call acts upon, by its path:
// /api/v2/clients/{id}… or /v2/users/{id}… do.
func target(path string) string {
	collection, rest, _ := strings.Cut(resource(path), "/")
	id, _, _ := strings.Cut(rest, "/")
	if decoded, err := url.PathUnescape(id); err == nil {
		id = decoded
	}
	switch {
	case id == "":
		return ""
	case collection == "clients":
		return schemas.AppID(id)
	case collection == "users":
		return schemas.UserID(id)
	}
	return ""
}

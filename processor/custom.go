package processor

import (
	"errors"

	"github.com/m2mwatch/m2mwatch/processor/identity"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// customMember reads a member of a CloudEvent. It takes the attributes for what
// a log has in their place.
func (d *decoder) customMember(r *record, name []byte) error {
	var f field
	switch string(name) {
	case "specversion":
		f = fieldSpecVersion
	case "id":
		f = fieldLogID
	case "source":
		f = fieldSource
	case "type":
		f = fieldType
	case "time":
		f = fieldDate
	case "data":
		r.meet(fieldData)
		return d.within(&d.inner, (*decoder).customDataMember)
	default:
		return d.skip()
	}
	r.meet(f)
	return d.value(r, f)
}

// customDataMember reads a member of an event's data. Those that every event
// may have are named here, and have the columns that they have in logs.
func (d *decoder) customDataMember(r *record, name []byte) error {
	var f field
	switch string(name) {
	case "client_id", "client_name", "user_id", "user_name", "ip", "user_agent", "audience", "scope",
		"organization_id", "organization_name", "description":
		f = member(name)
	case "api":
		f = fieldAPI
	case "jti":
		f = fieldUsedTokenID
	case "method":
		f = fieldMethod
	case "path":
		f = fieldPath
	case "status":
		f = fieldStatus
	case "outcome":
		f = fieldOutcome
	default:
		return d.skip()
	}
	r.meet(f)
	if f == fieldAudience || f == fieldAPI || f == fieldScope {
		return d.list(r, f)
	}
	return d.value(r, f)
}

// decodeCustom reads a CloudEvent: its attributes, and what its data say.
func (d *decoder) decodeCustom(raw []byte) (attributes, data *record, err error) {
	if err := d.read(raw, (*decoder).customMember); err != nil {
		return nil, nil, err
	}
	text := string(d.text)
	d.outer.text, d.inner.text = text, text
	return &d.outer, &d.inner, nil
}

// normalizeCustom reads a CloudEvent. Ingest has looked at it before; what
// comes another way may be none.
func (n *Normalizer) normalizeCustom(log *schemas.Log) (schemas.Event, error) {
	attributes, r, err := n.decoder.decodeCustom(log.Raw)
	if err != nil {
		return schemas.Event{}, err
	}
	n.odd = (attributes.odd | r.odd) & oddDuplicate
	ce := schemas.CloudEvent{
		SpecVersion: attributes.get(fieldSpecVersion),
		ID:          attributes.get(fieldLogID),
		Source:      attributes.get(fieldSource),
		Type:        attributes.get(fieldType),
		Time:        attributes.get(fieldDate),
	}
	if err := ce.Check(); err != nil {
		code := schemas.DeadCodeLogID
		if errors.Is(err, schemas.ErrCloudEventTime) {
			code = schemas.DeadCodeTime
		}
		return schemas.Event{}, refuse(code, "no custom event: %s", clip(err.Error(), 200))
	}
	e := schemas.Event{
		Tenant:           log.Tenant,
		ClientID:         r.get(fieldClientID),
		Time:             ce.At(),
		LogID:            ce.LogID(),
		Ver:              schemas.Version(log.Source, schemas.NormalizerVersion, log.Raw),
		Type:             ce.EventType(),
		Description:      r.get(fieldDescription),
		ClientName:       r.get(fieldClientName),
		UserID:           r.get(fieldUserID),
		UserName:         r.get(fieldUserName),
		IP:               r.get(fieldIP),
		UserAgent:        r.get(fieldUserAgent),
		UserAgentClass:   UserAgentClass(r.get(fieldUserAgent)),
		Audience:         r.get(fieldAudience),
		Scopes:           scopes(r.get(fieldScope)),
		OrganizationID:   r.get(fieldOrganizationID),
		OrganizationName: r.get(fieldOrganizationName),
		Call:             schemas.Call{Method: method(r.get(fieldMethod)), Path: r.get(fieldPath), Status: status(r.get(fieldStatus))},
		Source:           log.Source,
		IngestedAt:       log.IngestedAt,
		Raw:              log.Raw,
		RawMasked:        log.Masked,
	}
	if e.Audience == "" {
		e.Audience = r.get(fieldAPI)
	}
	if ce.Type == schemas.TokenUsed {
		e.UsedTokenID = r.get(fieldUsedTokenID)
	}
	if e.Outcome = n.customOutcome(&e, r.get(fieldOutcome)); e.Outcome == schemas.OutcomeFailure {
		e.Cause = schemas.CauseOther
	}
	n.facts = identity.Facts{Custom: true, Outcome: e.Outcome, ClientID: e.ClientID, UserID: e.UserID}
	e.Identity = identity.Classify(&n.facts)
	n.locate(&e)
	return e, nil
}

// customOutcome is what the event says of its outcome, else the catalogue,
// which may have a row for its type. A use of a token is a success, any other
// event that does not tell is of no outcome.
func (n *Normalizer) customOutcome(e *schemas.Event, said string) schemas.Outcome {
	switch o := schemas.Outcome(said); o {
	case schemas.OutcomeSuccess, schemas.OutcomeFailure, schemas.OutcomeInfo, schemas.OutcomeLimit:
		return o
	}
	if t, ok := n.catalogue.Lookup(e.Type); ok {
		return t.Outcome
	}
	if e.Type == schemas.CustomPrefix+schemas.TokenUsed {
		return schemas.OutcomeSuccess
	}
	return schemas.OutcomeInfo
}

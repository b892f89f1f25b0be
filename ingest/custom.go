package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// maxTokenID is the longest jti that the API can be asked for.
const maxTokenID = 256

// eventError says which event of a body cannot be taken, and why.
type eventError struct {
	index int
	err   error
}

func (e *eventError) Error() string { return fmt.Sprintf("events[%d]: %v", e.index, e.err) }
func (e *eventError) Unwrap() error { return e.err }

// postCustom takes custom events: CloudEvents 1.0 in JSON, one or many, in any
// form that Splitter reads. Unlike logs, which Auth0 would repeat for ever,
// they come from programs whose author can act upon a refusal: one event that
// cannot be taken refuses the whole body, of which nothing is stored then.
func (in *Ingest) postCustom(c echo.Context) error {
	tenant := c.Param("tenant")
	secrets, known := in.cfg.Tenants.CustomSecrets(tenant)
	if !authorized(secrets, known, c.Request().Header.Get(echo.HeaderAuthorization)) {
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, "Bearer")
		return &httpserver.Error{
			Status: http.StatusUnauthorized, Code: "unauthorized",
			Message: "The tenant is not configured here, or the Authorization header is none of its secrets for custom events: those of custom_secrets, or the log stream's where it has none.",
		}
	}
	if isBinaryCloudEvent(c.Request().Header) {
		return &httpserver.Error{
			Status: http.StatusBadRequest, Code: "binary_mode",
			Message: "This is a CloudEvent in binary mode, its attributes in ce- headers. Send it in structured mode, as JSON with the content type application/cloudevents+json.",
		}
	}
	wait := time.NewTimer(in.cfg.Limits.Wait)
	defer wait.Stop()
	select {
	case in.custom <- struct{}{}:
		defer func() { <-in.custom }()
	case <-wait.C:
		return in.refusal(fmt.Errorf("%w: %d bodies of custom events at once", errOverloaded, maxCustomBodies), 0)
	case <-c.Request().Context().Done():
		return httpserver.ClientGone(c.Request().Context().Err())
	}
	return in.receive(c, delivery{tenant: tenant, source: schemas.SourceCustom, maxBody: in.maxCustomBody(), check: new(cloudEvents).check})
}

// maxCustomBodies is how many bodies of custom events are read at once. Each holds
// its share of the memory until its last event has come, at the pace of whoever
// sends it: all of them together leave most of it to log streams.
const maxCustomBodies = 3

// maxCustomBody bounds a body of custom events, all of which is held until its
// last event has been looked at.
func (in *Ingest) maxCustomBody() int64 {
	return min(in.cfg.Limits.MaxBody, int64(in.cfg.Limits.Memory/8))
}

// isBinaryCloudEvent reports whether the attributes of an event stand in the
// headers. In structured mode they may be repeated there.
func isBinaryCloudEvent(h http.Header) bool {
	return h.Get("Ce-Specversion") != "" &&
		!strings.HasPrefix(strings.ToLower(h.Get(echo.HeaderContentType)), "application/cloudevents")
}

// attribute is a member of a CloudEvent that is looked at.
type attribute uint8

const (
	attributeNone attribute = iota
	attributeSpecVersion
	attributeID
	attributeSource
	attributeType
	attributeTime
	attributeData
)

func attributeOf(name []byte) attribute {
	switch string(name) {
	case "specversion":
		return attributeSpecVersion
	case "id":
		return attributeID
	case "source":
		return attributeSource
	case "type":
		return attributeType
	case "time":
		return attributeTime
	case "data":
		return attributeData
	}
	return attributeNone
}

// cloudEvents looks at the events of one body, each in one pass. What is not
// looked at may be as odd as it likes: a sender cannot vouch for the user agents
// of its callers. The attributes must be plain, since they make the event's key:
// each once, a text, valid UTF-8.
type cloudEvents struct {
	input  bytes.Buffer
	tokens jsontext.Decoder
	event  schemas.CloudEvent
	jti    string // data.jti, where it is a text
	seen   uint8  // bits of the attributes met
}

// check returns what is wrong with an event, or nil. raw is a JSON object.
func (c *cloudEvents) check(raw []byte) error {
	c.input = *bytes.NewBuffer(raw)
	c.tokens.Reset(&c.input, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	c.event, c.jti, c.seen = schemas.CloudEvent{}, "", 0
	if c.tokens.PeekKind() != '{' {
		return errors.New("not a JSON object")
	}
	if err := c.members(c.attribute); err != nil {
		return err
	}
	if err := c.event.Check(); err != nil {
		return err
	}
	if c.event.Type != schemas.TokenUsed {
		return nil
	}
	switch {
	case c.jti == "":
		return fmt.Errorf("data.jti is missing: a %s names the token that was used", schemas.TokenUsed)
	case len(c.jti) > maxTokenID:
		return fmt.Errorf("data.jti is longer than %d bytes", maxTokenID)
	}
	return nil
}

// members reads an object, whose '{' is next.
func (c *cloudEvents) members(read func(name []byte) error) error {
	if _, err := c.tokens.ReadToken(); err != nil {
		return err
	}
	for c.tokens.PeekKind() != '}' {
		quoted, err := c.tokens.ReadValue()
		if err != nil {
			return err
		}
		name, _ := jsontext.AppendUnquote(nil, quoted)
		if err := read(name); err != nil {
			return err
		}
	}
	_, err := c.tokens.ReadToken()
	return err
}

func (c *cloudEvents) attribute(name []byte) error {
	a := attributeOf(name)
	if a == attributeNone {
		return c.tokens.SkipValue()
	}
	if c.seen&(1<<a) != 0 {
		return fmt.Errorf("%s is there twice", name)
	}
	c.seen |= 1 << a
	if a == attributeData {
		if c.tokens.PeekKind() != '{' {
			return c.tokens.SkipValue()
		}
		return c.members(c.dataMember)
	}
	text, err := c.text()
	if err != nil {
		return fmt.Errorf("%s %w", name, err)
	}
	switch a {
	case attributeSpecVersion:
		c.event.SpecVersion = text
	case attributeID:
		c.event.ID = text
	case attributeSource:
		c.event.Source = text
	case attributeType:
		c.event.Type = text
	default:
		c.event.Time = text
	}
	return nil
}

// text reads a string that says the same to every reader.
func (c *cloudEvents) text() (string, error) {
	if c.tokens.PeekKind() != '"' {
		return "", errors.New("is not a string")
	}
	quoted, err := c.tokens.ReadValue()
	if err != nil {
		return "", err
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil || !utf8.Valid(text) {
		return "", errors.New("is not valid UTF-8")
	}
	return string(text), nil
}

// dataMember keeps data.jti; of several the last one, as the normalizer does.
func (c *cloudEvents) dataMember(name []byte) error {
	if string(name) != "jti" {
		return c.tokens.SkipValue()
	}
	c.jti = ""
	if c.tokens.PeekKind() != '"' {
		return c.tokens.SkipValue()
	}
	quoted, err := c.tokens.ReadValue()
	if err != nil {
		return err
	}
	jti, _ := jsontext.AppendUnquote(nil, quoted)
	c.jti = string(jti)
	return nil
}

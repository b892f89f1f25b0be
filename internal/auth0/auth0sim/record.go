package auth0sim

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	dateLayout  = "2006-01-02T15:04:05.000Z"
	stampLayout = "20060102150405.000000"

	// Auth0's sequence numbers start here.
	logNumberBase = 1223372036854775808
	// Live logs are numbered above every history.
	liveNumberBase = 1 << 40
)

// logID is what Auth0 gives a log when it takes it in: "900", the time in UTC
// to the microsecond, and a sequence number; 56 digits.
type logID [56]byte

func newLogID(ingested time.Time, number uint64) logID {
	var id logID
	b := append(id[:0], "900"...)
	b = ingested.AppendFormat(b, stampLayout)
	b = append(b[:17], b[18:]...) // the point
	b = append(b, "00000000000000"...)
	strconv.AppendUint(b, logNumberBase+number, 10)
	return id
}

// stamp is what every record needs to know of itself.
type stamp struct {
	at time.Time
	id logID
}

// open starts an envelope and the record in it; tail of the tenant ends both.
func open(dst []byte, s *stamp, kind string) []byte {
	dst = append(dst, `{"log_id":"`...)
	dst = append(dst, s.id[:]...)
	dst = append(dst, `","data":{"date":"`...)
	dst = s.at.AppendFormat(dst, dateLayout)
	dst = append(dst, `","type":"`...)
	dst = append(dst, kind...)
	return append(dst, '"')
}

// openOdd is open with the forms of date that real tenants have sent besides
// the usual one, among them none.
func openOdd(dst []byte, s *stamp, kind string, form int) []byte {
	dst = append(dst, `{"log_id":"`...)
	dst = append(dst, s.id[:]...)
	dst = append(dst, `","data":{`...)
	layouts := [...]string{"2006-01-02T15:04:05.999Z", "2006-01-02 15:04:05.000000000", "2006-01-02T15:04:05.000000Z", ""}
	if layout := layouts[form%len(layouts)]; layout != "" {
		dst = append(dst, `"date":"`...)
		dst = s.at.AppendFormat(dst, layout)
		dst = append(dst, `",`...)
	}
	dst = append(dst, `"type":"`...)
	dst = append(dst, kind...)
	return append(dst, '"')
}

// closing ends a record with what stands last in nearly all of them.
func (t *Tenant) closing(dst []byte, s *stamp, environment bool) []byte {
	dst = append(dst, `,"$event_schema":{"version":"1.0.0"}`...)
	if environment {
		dst = append(dst, `,"environment_name":"prod-eu-1"`...)
	}
	return t.closeShort(dst, s)
}

func (t *Tenant) closeShort(dst []byte, s *stamp) []byte {
	dst = append(dst, `,"log_id":"`...)
	dst = append(dst, s.id[:]...)
	dst = append(dst, `","tenant_name":"`...)
	dst = append(dst, t.cfg.Name...)
	return append(dst, `","isMobile":false}}`...)
}

// field adds a member whose value is known to need no escape.
func field(dst []byte, name, value string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':', '"')
	dst = append(dst, value...)
	return append(dst, '"')
}

// fieldJSON adds a member whose value is JSON already.
func fieldJSON(dst []byte, name, value string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return append(dst, value...)
}

// fieldQuoted adds a member whose value came from outside.
func fieldQuoted(dst []byte, name, value string) []byte {
	return fieldJSON(dst, name, quote(value))
}

// quote makes a JSON string of anything.
func quote(s string) string {
	b, err := jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil {
		return `""` // not reached: the text is valid UTF-8
	}
	return string(b)
}

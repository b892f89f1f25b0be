package geo

import (
	"strconv"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2/mmdbdata"
)

// record has the fields that makers of files give what is looked for:
//
//   - MaxMind (GeoLite2 and GeoIP2 Country, City, ASN, ISP, Enterprise) and
//     DB-IP: country.iso_code, autonomous_system_number and
//     autonomous_system_organization, in Enterprise under traits
//   - IPinfo: country_code, or country where that is the code; asn as "AS15169";
//     as_name, or name in a file of systems alone
//   - ip-location-db: country_code and MaxMind's fields of systems
//   - IPLocate: country_code, asn as a number, org
type record struct {
	Country      text `maxminddb:"country"`
	CountryCode  text `maxminddb:"country_code"`
	Number       text `maxminddb:"autonomous_system_number"`
	Organization text `maxminddb:"autonomous_system_organization"`
	ASN          text `maxminddb:"asn"`
	ASName       text `maxminddb:"as_name"`
	Org          text `maxminddb:"org"`
	Name         text `maxminddb:"name"`
	Traits       struct {
		Number       text `maxminddb:"autonomous_system_number"`
		Organization text `maxminddb:"autonomous_system_organization"`
	} `maxminddb:"traits"`
}

func (r *record) found() found {
	f := found{country: country(r.CountryCode, r.Country), asn: number(r.Number, r.ASN, r.Traits.Number)}
	if f.asn != 0 {
		f.organization = first(r.Organization, r.ASName, r.Org, r.Name, r.Traits.Organization)
	}
	return f
}

// country is the first that is a code and not a name.
func country(texts ...text) string {
	for _, t := range texts {
		if len(t) == 2 && isLetter(t[0]) && isLetter(t[1]) {
			return strings.ToUpper(string(t))
		}
	}
	return ""
}

func isLetter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }

// number is the first that is one: 15169 or AS15169.
func number(texts ...text) uint32 {
	for _, t := range texts {
		digits := strings.TrimPrefix(strings.ToUpper(string(t)), "AS")
		if n, err := strconv.ParseUint(digits, 10, 32); err == nil && n != 0 {
			return uint32(n)
		}
	}
	return 0
}

// maxOrganization is the longest name that is kept, in bytes.
const maxOrganization = 200

func first(texts ...text) string {
	for _, t := range texts {
		if t != "" && len(t) <= maxOrganization {
			return strings.ToValidUTF8(string(t), "\uFFFD")
		}
	}
	return ""
}

// text is a value that may be a string, a number, or a map with an iso_code.
// Whatever else it is counts as empty: makers use the same names differently,
// and an error would take the rest of the record away.
type text string

// UnmarshalMaxMindDBCursor implements mmdbdata.CursorUnmarshaler.
func (t *text) UnmarshalMaxMindDBCursor(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	*t = ""
	kind, err := c.Kind()
	if err != nil {
		return mmdbdata.Cursor{}, err
	}
	switch kind {
	case mmdbdata.KindString:
		s, next, err := c.ReadString()
		*t = text(s)
		return next, err
	case mmdbdata.KindUint16, mmdbdata.KindUint32, mmdbdata.KindUint64:
		n, next, err := c.ReadUint()
		*t = text(strconv.FormatUint(n, 10))
		return next, err
	case mmdbdata.KindMap:
		return t.readMap(c)
	}
	return c.Skip()
}

// readMap takes iso_code out of a map.
func (t *text) readMap(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	members, err := c.Map()
	if err != nil {
		return mmdbdata.Cursor{}, err
	}
	var next mmdbdata.Cursor
	for {
		name, value, ok := members.Next(next)
		if !ok {
			return members.End()
		}
		kind, err := value.Kind()
		if err != nil {
			return mmdbdata.Cursor{}, err
		}
		if string(name) == "iso_code" && kind == mmdbdata.KindString {
			var s string
			s, next, err = value.ReadString()
			*t = text(s)
		} else {
			next, err = value.Skip()
		}
		if err != nil {
			return mmdbdata.Cursor{}, err
		}
	}
}

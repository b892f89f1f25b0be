package schemas

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Expect is what is normal for one identity, as somebody declared it. Of what is
// declared nothing is learned: use that differs is a finding at once. What is left
// out is learned as it is of others.
type Expect struct {
	Networks []string `json:"networks,omitempty" maxItems:"200" doc:"From where it is used: IPv4 networks of /24 or wider, IPv6 networks of /48 or wider, as addresses are compared by those." example:"198.51.100.0/24"`
	Clouds   []string `json:"clouds,omitempty" maxItems:"200" doc:"From whose networks it is used, beside these: an operator's AS number, or its name with wildcards. Where no database tells the operator of an address, it is not judged by this." example:"AS16509"`
	Runtimes []string `json:"runtimes,omitempty" maxItems:"200" doc:"By which programs, as a finding tells them, with wildcards." example:"python-requests"`
	Cadence  string   `json:"cadence,omitempty" maxLength:"16" doc:"It gets a token this often at least: from 10m to 100d." example:"26h"`
	Expires  string   `json:"expires,omitempty" maxLength:"64" doc:"A day, on which it is not to be used any more, or RFC 3339." example:"2027-06-30"`
}

// Expectation is the Expect of an identity of a tenant.
type Expectation struct {
	Tenant     string    `json:"tenant" example:"acme"`
	Identity   string    `json:"identity" example:"app:invoice-sync"`
	Expect     Expect    `json:"expect"`
	DeclaredAt time.Time `json:"declared_at" doc:"Since when it is declared like this. What happened before is found and pages nobody."`
}

// Expectations are those that are in force.
type Expectations struct {
	Expectations []Expectation `json:"expectations"`
}

// Declaration declares what is normal for identities of a tenant, in place of what
// was. An empty Expect takes it away.
type Declaration struct {
	Domain       string                `json:"domain" minLength:"1" maxLength:"255" doc:"The tenant's, as the configuration has it; of the only tenant there may be none." example:"acme.eu.auth0.com"`
	Expectations []DeclaredExpectation `json:"expectations" minItems:"1" maxItems:"1000"`
}

// DeclaredExpectation is one of a Declaration.
type DeclaredExpectation struct {
	Identity string `json:"identity" minLength:"5" maxLength:"300" example:"app:invoice-sync"`
	Expect   Expect `json:"expect"`
}

// Declared answers a Declaration.
type Declared struct {
	Changed int `json:"changed" doc:"Of how many identities something else was declared before."`
}

// Empty reports whether nothing is declared.
func (e *Expect) Empty() bool {
	return len(e.Networks)+len(e.Clouds)+len(e.Runtimes) == 0 && e.Cadence == "" && e.Expires == ""
}

// The least and the longest cadence. Silence is looked for in steps of five minutes,
// and as far back as the longest.
const (
	MinCadence = 10 * time.Minute
	MaxCadence = 100 * 24 * time.Hour
)

// How much of an address is compared: what normalizing keeps of it as its network.
const (
	networkBits4 = 24
	networkBits6 = 48
)

// Validate returns every problem at once.
func (e *Expect) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, text := range e.Networks {
		if err := checkNetwork(text); err != nil {
			errs = append(errs, err)
		}
	}
	for _, text := range e.Clouds {
		if _, numbered := ASNumber(text); !numbered && (strings.TrimSpace(text) == "" || strings.Trim(text, "*") == "") {
			wrong("clouds: %q: want the AS number of an operator (AS16509), or its name, which may have wildcards (*amazon*)", text)
		}
	}
	for _, text := range e.Runtimes {
		if strings.TrimSpace(text) == "" || strings.Trim(text, "*") == "" || strings.ContainsAny(text, "/ ") {
			wrong("runtimes: %q: want a program without its version (python-requests), which may have wildcards", text)
		}
	}
	if every, ok := e.Every(); e.Cadence != "" && (!ok || every < MinCadence || every > MaxCadence) {
		wrong("cadence: %q: want 10m to 100d, like 26h", e.Cadence)
	}
	if _, ok := e.Until(); e.Expires != "" && !ok {
		wrong("expires: %q: want a date (2027-06-30) or RFC 3339", e.Expires)
	}
	return errors.Join(errs...)
}

func checkNetwork(text string) error {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		if addr, err := netip.ParseAddr(text); err == nil {
			p = netip.PrefixFrom(addr, addr.BitLen())
		} else {
			return fmt.Errorf("networks: %q: want a network like 198.51.100.0/24", text)
		}
	}
	bits := networkBits4
	if p.Addr().Is6() {
		bits = networkBits6
	}
	if wide, err := p.Addr().Prefix(bits); p.Bits() > bits && err == nil {
		return fmt.Errorf("networks: %q: addresses are compared by their /%d: write %s", text, bits, wide)
	}
	if p.Addr().Is4In6() || p.Addr() != p.Masked().Addr() {
		return fmt.Errorf("networks: %q: want the network's first address: %s", text, p.Masked())
	}
	return nil
}

var asNumber = regexp.MustCompile(`^(?i:as)?([0-9]{1,10})$`)

// ASNumber reads AS16509 or 16509.
func ASNumber(text string) (number uint32, ok bool) {
	m := asNumber.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseUint(m[1], 10, 32)
	return uint32(n), err == nil && n > 0
}

// Every is the cadence; false where none is declared.
func (e *Expect) Every() (time.Duration, bool) {
	if days, ok := strings.CutSuffix(e.Cadence, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err == nil
	}
	d, err := time.ParseDuration(e.Cadence)
	return d, err == nil
}

// Until is when the identity is not to be used any more: when the day that is
// declared begins, in UTC; false where none is.
func (e *Expect) Until() (time.Time, bool) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, e.Expires); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// Lines are what is declared, for people, one thing each.
func (e *Expect) Lines() []string {
	var lines []string
	add := func(name, text string) {
		if text != "" {
			lines = append(lines, name+" "+text)
		}
	}
	add("networks", strings.Join(e.Networks, ", "))
	add("clouds", strings.Join(e.Clouds, ", "))
	add("runtimes", strings.Join(e.Runtimes, ", "))
	add("a token every", e.Cadence)
	add("not used from", e.Expires)
	return lines
}

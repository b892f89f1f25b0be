package config

import (
	"net/url"
	"regexp"
	"strings"
)

var headerPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (p *problems) traces(t Traces) {
	p.check(t.Sample >= 0 && t.Sample <= 1, "traces.sample: want 0 to 1")
	u, err := url.Parse(t.Endpoint.Reveal())
	p.check(t.Endpoint == "" || err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https"), "traces.endpoint: want http:// or https:// and a host")
	p.check(t.Endpoint != "" || len(t.Headers) == 0, "traces.headers: want an endpoint, too")
	for i, h := range t.Headers {
		p.check(headerPattern.MatchString(h.Name), "traces.headers[%d]: want a name of letters, digits, - and _", i)
		p.check(h.Value != "" && !strings.ContainsAny(h.Value.Reveal(), "\r\n"), "traces.headers[%d]: want a value or value_file, of one line", i)
	}
}

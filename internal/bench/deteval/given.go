package deteval

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/bench/synth"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// Given are files of somebody else's data.
type Given struct {
	// Events has one log a line, {log_id, data} or data alone, in the order of
	// their delivery.
	Events string
	// Labels has one label a line. Of what a label may be written like, see
	// readLabel.
	Labels string
}

// defaultTenant is what a tenant is called that the labels do not name.
const defaultTenant = "acme"

func (g *Given) read() (*tenant, error) {
	t := &tenant{name: defaultTenant, title: g.Events, doing: func(string, time.Time, time.Time) []string { return nil }}
	if g.Labels == "" {
		return nil, errors.New("given events: want the labels of them too (LABELS=file)")
	}
	err := eachLine(g.Labels, func(line []byte) error {
		l, err := readLabel(line)
		t.labels = append(t.labels, l)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, l := range t.labels {
		if l.Tenant != "" {
			t.name = l.Tenant
			break
		}
	}
	var delivered time.Time
	err = eachLine(g.Events, func(line []byte) error {
		at, err := dateOf(line)
		if err != nil {
			return err
		}
		if at.After(delivered) {
			delivered = at
		}
		t.logs = append(t.logs, synth.Log{Delivered: delivered, Raw: bytes.Clone(line)})
		return nil
	})
	if err == nil && len(t.logs) == 0 {
		err = fmt.Errorf("%s: there is no event in it", g.Events)
	}
	if err != nil {
		return nil, err
	}
	t.from, t.to = t.logs[0].Delivered, t.logs[len(t.logs)-1].Delivered
	return t, nil
}

// eachLine reads the lines of a file that are not empty.
func eachLine(path string, read func(line []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if text := bytes.TrimSpace(line); len(text) > 0 {
			if err := read(text); err != nil {
				return fmt.Errorf("%s:%d: %w", path, n, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// dateOf is when a log happened.
func dateOf(line []byte) (time.Time, error) {
	type event struct {
		Date  json.RawMessage `json:"date"`
		LogID string          `json:"log_id"`
	}
	var log struct {
		event
		Data event `json:"data"`
	}
	if err := json.Unmarshal(line, &log); err != nil {
		return time.Time{}, fmt.Errorf("read a log: %w", err)
	}
	for _, e := range []event{log.Data, log.event} {
		var date string
		if json.Unmarshal(e.Date, &date) == nil {
			if at, err := schemas.ParseDate(date); err == nil {
				return at, nil
			}
		}
	}
	at, ok := schemas.LogIDTime(cmp.Or(log.LogID, log.Data.LogID))
	if !ok {
		return at, errors.New("read a log: it has neither a date nor a log_id that holds one")
	}
	return at, nil
}

// names are what the parts of a label may be called, the usual one first.
var names = map[string][]string{
	"tenant":   {"tenant", "tenant_name"},
	"identity": {"identity", "entity", "identity_id"},
	"kind":     {"kind", "type", "label", "attack", "scenario", "name"},
	"rules":    {"rules", "allowed_rules", "allowed", "rule", "rule_ids", "rule_id"},
	"from":     {"from", "start", "begin", "first", "started_at", "start_time", "time", "at"},
	"to":       {"to", "end", "until", "last", "ended_at", "end_time"},
	"faint":    {"faint", "below_threshold", "undetectable"},
	"beside":   {"beside", "optional"},
	"also":     {"also"},
}

// readLabel reads a label as synth writes it, and what is plainly the same: other
// names of its members, client_id or user_id instead of the identity, one rule
// instead of a list, no rules (any is right), no end (it was a moment), seconds
// or milliseconds since 1970. Unknown members are ignored.
func readLabel(line []byte) (l synth.Label, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil {
		return l, fmt.Errorf("read a label: %w", err)
	}
	member := func(name string) json.RawMessage {
		for _, n := range names[name] {
			if v := members[n]; len(v) > 0 && string(v) != "null" {
				return v
			}
		}
		return nil
	}
	l.Tenant, l.Kind, l.Identity = text(member("tenant")), text(member("kind")), text(member("identity"))
	switch {
	case l.Identity != "":
	case text(members["client_id"]) != "":
		l.Identity = schemas.AppID(text(members["client_id"]))
	case text(members["user_id"]) != "":
		l.Identity = schemas.UserID(text(members["user_id"]))
	default:
		l.Identity = synth.TenantPrefix + cmp.Or(l.Tenant, defaultTenant)
	}
	l.Also = list(member("also"))
	for _, rule := range list(member("rules")) {
		l.Rules = append(l.Rules, ruleCode(rule))
	}
	l.Faint, l.Beside = string(member("faint")) == "true", string(member("beside")) == "true"
	if l.From, err = moment(member("from")); err != nil {
		return l, fmt.Errorf("read a label: from: %w", err)
	}
	if l.To = l.From; member("to") != nil {
		if l.To, err = moment(member("to")); err != nil {
			return l, fmt.Errorf("read a label: to: %w", err)
		}
	}
	return l, nil
}

func text(v json.RawMessage) string {
	var s string
	_ = json.Unmarshal(v, &s) // what is no string is none
	return s
}

// list reads a list of strings, or one string of one or more with commas or spaces
// between.
func list(v json.RawMessage) []string {
	if v == nil {
		return nil
	}
	var all []string
	if json.Unmarshal(v, &all) == nil {
		return all
	}
	return strings.FieldsFunc(text(v), func(r rune) bool { return r == ',' || r == ' ' })
}

func moment(v json.RawMessage) (time.Time, error) {
	var n float64
	if json.Unmarshal(v, &n) == nil {
		if n < 1e11 { // seconds, up to the year 5138
			n *= 1000
		}
		return time.UnixMilli(int64(n)).UTC(), nil
	}
	at, err := schemas.ParseDate(text(v))
	if err != nil {
		return at, fmt.Errorf("%s is no time: want RFC 3339", cmp.Or(string(v), "nothing"))
	}
	return at, nil
}

var ruleNumber = regexp.MustCompile(`(?i)^mi[-_ ]?0*([0-9]+)([^0-9].*)?$`)

// ruleCode is how findings name a rule: MI-02, whatever it is written like.
func ruleCode(rule string) string {
	m := ruleNumber.FindStringSubmatch(strings.TrimSpace(rule))
	if m == nil {
		return strings.ToUpper(strings.TrimSpace(rule))
	}
	return fmt.Sprintf("MI-%02s", m[1])
}

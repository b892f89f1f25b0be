package auth0sim

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

// keptLog is a log that GET /logs can show, in its envelope.
type keptLog struct {
	id  string
	raw []byte
}

// idIn reads the log_id of an envelope, which stands first.
func idIn(raw []byte) string {
	const before = len(`{"log_id":"`)
	return string(raw[before : before+len(logID{})])
}

// keep remembers a live log and forgets the oldest. The caller holds mu.
func (t *Tenant) keep(raw []byte) {
	t.kept = append(t.kept, keptLog{idIn(raw), raw})
	if n := len(t.kept) - t.keptHistory - t.cfg.LogsKept; n > 0 {
		clear(t.kept[:n])
		t.kept, t.keptHistory = t.kept[n:], max(t.keptHistory-n, 0)
	}
}

// KeepHistory lets the Management API show a history as it shows what comes
// about live. It must be called before anything does.
func (t *Tenant) KeepHistory(from, to time.Time, events int) {
	var kept []keptLog
	for raw := range t.History(from, to, events) {
		kept = append(kept, keptLog{idIn(raw), raw})
	}
	slices.SortFunc(kept, func(a, b keptLog) int { return strings.Compare(a.id, b.id) })
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(kept, t.kept...)
	t.keptHistory += len(kept)
}

// keptLogs are the logs that are kept, the oldest first.
func (t *Tenant) keptLogs() []keptLog {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.kept)
}

// document is the log as the Management API shows it.
func (l keptLog) document() document {
	v, err := readJSON(l.raw)
	envelope, ok := v.(document)
	if err != nil || !ok {
		return document{"_id": l.id, "log_id": l.id}
	}
	d := envelope.child("data")
	d.set(document{"_id": l.id, "log_id": l.id})
	return d
}

// typeIn reads the event type code of an envelope.
func typeIn(raw []byte) string {
	const member = `"type":"`
	_, rest, _ := bytes.Cut(raw, []byte(member))
	code, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(code)
}

// categoryOf is the category by which log streams filter a log.
func categoryOf(raw []byte) string {
	switch typeIn(raw) {
	case "seccft", "seacft", "sertft", "sepft":
		return "auth.token_exchange.success"
	case "feccft", "fepft":
		return "auth.token_exchange.fail"
	case "sapi", "mgmt_api_read":
		return "management.success"
	case "fapi":
		return "management.fail"
	case "s":
		return "auth.login.success"
	case "f", "fp":
		return "auth.login.fail"
	case "ssa":
		return "auth.silent_auth.success"
	case "slo":
		return "auth.logout.success"
	case "api_limit", "token_quota_consumption_warning":
		return "system.notification"
	}
	return "other"
}

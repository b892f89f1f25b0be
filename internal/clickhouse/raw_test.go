package clickhouse

import (
	"bytes"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func rawEvent(logID, tokenID, ip, raw string) *schemas.Event {
	return &schemas.Event{
		LogID: logID, TokenID: tokenID, IP: ip, ClientIP: ip, TraceID: "5f0c",
		Time: time.Date(2025, 3, 14, 12, 0, 0, 120e6, time.UTC), Raw: []byte(raw),
	}
}

func TestRawIsCut(t *testing.T) {
	t.Parallel()
	e := rawEvent("90020250314", "jti-1", "192.0.2.1",
		`{"log_id":"90020250314","data":{"date":"2025-03-14T12:00:00.120Z","ip":"192.0.2.1","a":"say \"jti-1\"","b":["jti-1" ],"t":"5f0c","log_id":"90020250314"}}`)
	want := "{\"log_id\":\x01,\"data\":{\"date\":\x02,\"ip\":\x07,\"a\":\"say \\\"jti-1\\\"\",\"b\":[\x03 ],\"t\":\x05,\"log_id\":\x01}}"
	cut := cutRaw(e)
	if string(cut) != want {
		t.Errorf("cut %q, want %q", cut, want)
	}
	if got := rebuildRaw(e, cut); !bytes.Equal(got, e.Raw) {
		t.Errorf("rebuilt %q, want %q", got, e.Raw)
	}
}

// TestRawStaysWhole holds the logs that are no JSON text as the markers need it.
func TestRawStaysWhole(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"\x00", "\x01", "{\"a\":\"\x02\"}", "{\"a\":\"\x08", "\x00{}"} {
		e := rawEvent("90020250314", "jti-1", "192.0.2.1", raw)
		cut := cutRaw(e)
		if string(cut) != "\x00"+raw {
			t.Errorf("%q is stored as %q, want whole", raw, cut)
		}
		if got := rebuildRaw(e, cut); string(got) != raw {
			t.Errorf("rebuilt %q, want %q", got, raw)
		}
	}
}

// FuzzRaw holds that what is cut out of a log comes back, whatever the log and
// the columns are.
func FuzzRaw(f *testing.F) {
	f.Add("90020250314", "jti-1", "192.0.2.1", `{"log_id":"90020250314","date":"2025-03-14T12:00:00.120Z","ip":"192.0.2.1","j":"jti-1"}`)
	f.Add("9002", `a\"b`, `\`, `{"a":"a\"b","b":"\\","c":"9002`)
	f.Add("\x01\x02\x03\x04", "\"\"\"\"", "    ", "\"\x01\x02\x03\x04\"\x00\"    \"\"\"\"\"\"\"")
	f.Add("90020250314", "90020250314", "90020250314", `""90020250314""90020250314"`)
	f.Fuzz(func(t *testing.T, logID, tokenID, ip, raw string) {
		e := rawEvent(logID, tokenID, ip, raw)
		if got := rebuildRaw(e, cutRaw(e)); string(got) != raw {
			t.Errorf("rebuilt %q, want %q", got, raw)
		}
	})
}

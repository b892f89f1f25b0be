package schemas_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

var ingestedAt = time.Date(2025, 6, 7, 8, 9, 10, 123_456_000, time.UTC)

func encode(logs []schemas.Log) []byte {
	data := schemas.AppendGroupHeader(nil, logs[0].Tenant, logs[0].Source, logs[0].IngestedAt)
	for _, log := range logs {
		data = schemas.AppendGroupLog(data, log.Raw, log.Masked)
	}
	return data
}

func TestGroupComesBackAsItWas(t *testing.T) {
	t.Parallel()
	log := func(raw string, masked bool) schemas.Log {
		return schemas.Log{Tenant: "acme-1", Source: schemas.SourceRepair, IngestedAt: ingestedAt, Raw: []byte(raw), Masked: masked}
	}
	want := []schemas.Log{log(`{"a":1}`, false), log("", false), log("\x00\xff", true), log(string(bytes.Repeat([]byte("x"), 70_000)), true)}
	data := encode(want)
	got, err := schemas.DecodeGroup(nil, data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("logs (-want +got):\n%s", diff)
	}
	size := schemas.GroupHeaderSize("acme-1")
	for _, log := range want {
		size += schemas.GroupLogSize(len(log.Raw))
	}
	if len(data) > size {
		t.Errorf("a group of %d bytes, want %d at most as the sizes say", len(data), size)
	}
}

func TestGroupWithoutLogsIsOne(t *testing.T) {
	t.Parallel()
	got, err := schemas.DecodeGroup(nil, schemas.AppendGroupHeader(nil, "acme", schemas.SourceStream, ingestedAt))
	if err != nil || len(got) != 0 {
		t.Errorf("got %v, %v: want no log and no error", got, err)
	}
}

func TestDecodeGroupAppends(t *testing.T) {
	t.Parallel()
	first := []schemas.Log{{Tenant: "acme", Source: schemas.SourceStream, IngestedAt: ingestedAt, Raw: []byte("1")}}
	got, err := schemas.DecodeGroup(first, encode(first))
	if diff := cmp.Diff([]schemas.Log{first[0], first[0]}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestDecodeGroupRefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	good := schemas.AppendGroupLog(schemas.AppendGroupHeader(nil, "acme", schemas.SourceStream, ingestedAt), []byte(`{"a":1}`), false)
	header := len(schemas.AppendGroupHeader(nil, "acme", schemas.SourceStream, ingestedAt))
	with := func(at int, b byte) []byte {
		data := bytes.Clone(good)
		data[at] = b
		return data
	}
	for name, data := range map[string][]byte{
		"nothing":                     nil,
		"other magic":                 with(0, 'X'),
		"other version":               with(4, 2),
		"tenant that is none":         with(6, '.'),
		"tenant longer than the data": with(5, 127),
		"unknown source":              with(10, 99),
		"unknown flags":               with(header, 2),
		"cut inside the header":       good[:header-1],
		"cut inside a log":            good[:len(good)-1],
		"log longer than the data":    append(bytes.Clone(good[:header]), binary.AppendUvarint([]byte{0}, 1<<62)...),
		"length without end":          append(bytes.Clone(good[:header]), append([]byte{0}, bytes.Repeat([]byte{0xff}, 11)...)...),
		"tenant of length 2^63":       append([]byte("M2MG\x01"), binary.AppendUvarint(nil, 1<<63)...),
		"bytes behind the last log":   append(bytes.Clone(good), 0),
	} {
		dst := []schemas.Log{{Tenant: "kept"}}
		got, err := schemas.DecodeGroup(dst, data)
		if !errors.Is(err, schemas.ErrGroup) {
			t.Errorf("%s: error %v, want one that wraps ErrGroup", name, err)
		}
		if diff := cmp.Diff(dst, got); diff != "" {
			t.Errorf("%s: dst changed:\n%s", name, diff)
		}
	}
}

// FuzzDecodeGroup claims that whatever is read can be written and read again
// to the same logs, and that the logs are parts of the data: their number and
// their size is bounded by it.
func FuzzDecodeGroup(f *testing.F) {
	f.Add(encode([]schemas.Log{{Tenant: "acme", Source: schemas.SourceStream, IngestedAt: ingestedAt, Raw: []byte(`{"a":1}`)}}))
	f.Add(encode([]schemas.Log{{Tenant: "a", Source: schemas.SourceCustom, IngestedAt: time.UnixMicro(-1).UTC(), Raw: nil, Masked: true}}))
	f.Add(append([]byte("M2MG\x01"), binary.AppendUvarint(nil, 1<<63)...))
	f.Add(append([]byte("M2MG\x01\x01a\x01\x00\x00"), binary.AppendUvarint(nil, 1<<40)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		logs, err := schemas.DecodeGroup(nil, data)
		if err != nil {
			if len(logs) > 0 || !errors.Is(err, schemas.ErrGroup) {
				t.Fatalf("%d logs with the error %v", len(logs), err)
			}
			return
		}
		size := 0
		for _, log := range logs {
			size += 2 + len(log.Raw)
		}
		if size > len(data) {
			t.Fatalf("%d logs of %d bytes with their framing from %d bytes", len(logs), size, len(data))
		}
		if len(logs) == 0 {
			return
		}
		again, err := schemas.DecodeGroup(nil, encode(logs))
		if diff := cmp.Diff(logs, again); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}

// FuzzGroup claims that decoding undoes encoding, whatever the log.
func FuzzGroup(f *testing.F) {
	f.Add([]byte(`{"a":1}`), []byte(nil), true, int64(0))
	f.Fuzz(func(t *testing.T, first, second []byte, masked bool, at int64) {
		want := []schemas.Log{
			{Tenant: "acme", Source: schemas.SourcePull, IngestedAt: time.UnixMicro(at).UTC(), Raw: append([]byte{}, first...), Masked: masked},
			{Tenant: "acme", Source: schemas.SourcePull, IngestedAt: time.UnixMicro(at).UTC(), Raw: append([]byte{}, second...), Masked: !masked},
		}
		got, err := schemas.DecodeGroup(nil, encode(want))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}

package clickhouse_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// echo answers its parameters as the columns of a correlation.
const echo = `SELECT {key:String}, {period:UInt64}, toUInt64(toUnixTimestamp64Milli({first:DateTime64(3, 'UTC')})),
	toUInt64(1000 * toUnixTimestamp({last:DateTime('UTC')})), {count:UInt64},
	{values:Array(String)}, arrayMap(x -> toString(x), {numbers:Array(UInt64)}), toUInt8({imported:Bool}), toUInt64(-{baseline:Int64}), {days:Float64}, toUInt64(0), map('new', 'asn 64500')`

func echoParams() map[string]any {
	return map[string]any{
		"key": "k", "period": uint64(1 << 63), "first": time.UnixMilli(1234), "last": time.Unix(5, 0), "count": 9,
		"values": []string{"a"}, "numbers": []uint64{1, 1 << 63}, "imported": true, "baseline": int64(-7), "days": 1.5e-9,
	}
}

func TestCorrelatePassesParametersAndReadsRows(t *testing.T) {
	s := clickhouse.NewFindingStore(clickhousetest.New(t))
	got, err := s.Correlate(t.Context(), schemas.Query{SQL: echo, Params: echoParams()})
	if err != nil {
		t.Fatal(err)
	}
	want := []schemas.CorrelationRow{{
		Key: "k", Period: 1 << 63, First: 1234, Last: 5000, Count: 9, Values: []string{"a"}, LogIDs: []string{"1", "9223372036854775808"},
		Imported: 1, Baseline: 7, BaselineDays: 1.5e-9, Facts: map[string]string{"new": "asn 64500"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzParameterKeepsEveryByte(f *testing.F) {
	db := clickhousetest.New(f)
	s := clickhouse.NewFindingStore(db)
	f.Add("", "")
	f.Add("'", "\\'")
	f.Add(`\N`, `\`)
	f.Add("NULL", "[]")
	f.Add("\x00\t\r\n\b\f\a\v", "\\0\\t\\n\\x41\\u0041")
	f.Add("\xff\xfe\xc3(", "{a:String} ', ']")
	var every strings.Builder
	for b := range 256 {
		every.WriteByte(byte(b))
	}
	f.Add(every.String(), "'"+every.String()+`\`)
	f.Fuzz(func(t *testing.T, a, b string) {
		params := echoParams()
		params["key"], params["values"] = a, []string{a, b, ""}
		got, err := s.Correlate(t.Context(), schemas.Query{SQL: echo, Params: params})
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Key != a || !slices.Equal(got[0].Values, []string{a, b, ""}) {
			t.Errorf("sent %q and %q, got %q and %q", a, b, got[0].Key, got[0].Values)
		}
	})
}

func TestCorrelateErrorsNameTheFaultAndNotTheValue(t *testing.T) {
	s := clickhouse.NewFindingStore(clickhousetest.New(t))
	secret := strings.Repeat("secret", 9)
	for name, tt := range map[string]struct {
		q    schemas.Query
		want string
	}{
		"value of another type": {schemas.Query{SQL: "SELECT {n:UInt64}", Params: map[string]any{"n": secret}}, "parameter 'n'"},
		"parameter missing":     {schemas.Query{SQL: "SELECT {n:UInt64}", Params: map[string]any{"m": 1}}, "code 456"},
		"no encoding":           {schemas.Query{SQL: "SELECT {n:UInt64}", Params: map[string]any{"n": struct{ s string }{secret}}}, "parameter n"},
		"other columns":         {schemas.Query{SQL: "SELECT 1"}, "correlate"},
		"error in a row":        {schemas.Query{SQL: "SELECT throwIf(number = 1, {text:String}) FROM numbers(2)", Params: map[string]any{"text": "'" + secret + "'"}}, "code 395"},
	} {
		_, err := s.Correlate(t.Context(), tt.q)
		if err == nil || errors.Is(err, schemas.ErrRefused) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v, want an error with %q", name, err, tt.want)
		}
	}
}

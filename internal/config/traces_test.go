package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestHeadersOfTracesComeFromFiles(t *testing.T) {
	key := write(t, "key", "value-of-a-file\n")
	file := write(t, "c.yaml", fmt.Sprintf("traces: {endpoint: 'http://collector:4318', sample: 0.25, headers: [{name: X-Team, value: inline-value}, {name: X-Key, value_file: %q}]}", key))
	c, err := Load(Origin{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Traces.Headers; len(got) != 2 || got[0].Value.Reveal() != "inline-value" || got[1].Value.Reveal() != "value-of-a-file" || c.Traces.Sample != 0.25 {
		t.Errorf("got %d headers, sample %v", len(got), c.Traces.Sample)
	}
	if text := fmt.Sprintf("%v %+v %#v", c.Traces, c.Traces, c.Traces); strings.Contains(text, "inline-value") || strings.Contains(text, "value-of-a-file") {
		t.Errorf("printed: %s", text)
	}
}

func TestTracesThatNobodyWouldTakeAreRefused(t *testing.T) {
	for _, test := range []struct {
		traces Traces
		want   string
	}{
		{Traces{Endpoint: "collector:4318"}, "traces.endpoint: want http://"},
		{Traces{Endpoint: "http://user:hunter2@co llector"}, "traces.endpoint: want http://"},
		{Traces{Endpoint: "http://collector:4318", Sample: 1.5}, "traces.sample: want 0 to 1"},
		{Traces{Sample: -1}, "traces.sample: want 0 to 1"},
		{Traces{Headers: []Header{{Name: "X-Key", Value: "hunter2"}}}, "traces.headers: want an endpoint"},
		{Traces{Endpoint: "http://collector", Headers: []Header{{Name: "X Key", Value: "hunter2"}}}, "traces.headers[0]: want a name"},
		{Traces{Endpoint: "http://collector", Headers: []Header{{Name: "X-Key"}}}, "traces.headers[0]: want a value"},
		{Traces{Endpoint: "http://collector", Headers: []Header{{Name: "X-Key", Value: "hunter2\r\nHost: other"}}}, "traces.headers[0]: want a value"},
	} {
		c := Default()
		c.Traces = test.traces
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: got %v, want %q", test.traces, err, test.want)
		}
	}
}

package deteval

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/bench/synth"
)

func TestLabelsAreReadHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	from, to := at("2026-03-10 10:00:00"), at("2026-03-10 12:00:00")
	for line, want := range map[string]synth.Label{
		`{"tenant":"t","identity":"app:a","kind":"silent","rules":["MI-18","MI-02"],"from":"2026-03-10T10:00:00Z","to":"2026-03-10T12:00:00Z"}`:                {Tenant: "t", Identity: "app:a", Kind: "silent", Rules: []string{"MI-18", "MI-02"}, From: from, To: to},
		`{"client_id":"a","scenario":"silent","allowed_rules":"mi-18, MI2","start":"2026-03-10T10:00:00Z","end":"2026-03-10T12:00:00.000+00:00","why":[1,{}]}`: {Identity: "app:a", Kind: "silent", Rules: []string{"MI-18", "MI-02"}, From: from, To: to},
		`{"user_id":"auth0|1","from":1773136800,"to":1773144000000,"faint":true}`:                                                                              {Identity: "user:auth0|1", From: from, To: to, Faint: true},
		`{"tenant":"t","rule":"MI-30","at":"2026-03-10T10:00:00Z"}`:                                                                                            {Tenant: "t", Identity: "tenant:t", Rules: []string{"MI-30"}, From: from, To: from},
	} {
		got, err := readLabel([]byte(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

func TestGivenFilesAreReadOrSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	label := file("labels", `{"tenant":"globex","client_id":"a","from":"2026-03-10T10:00:00Z"}`+"\n")
	good := Given{file("events", `{"log_id":"90020260310100000000000000000000000001223372036854775862","data":{"date":"2026-03-10T10:00:05Z","type":"seccft"}}

{"date":"2026-03-10T10:00:01.5Z","type":"seccft","log_id":"2"}
{"type":"feccft","log_id":"90020260310110000000000000000000000001223372036854775862"}`), label}
	got, err := good.read()
	if err != nil {
		t.Fatal(err)
	}
	if got.name != "globex" || len(got.logs) != 3 || !got.logs[1].Delivered.Equal(at("2026-03-10 10:00:05")) || !got.to.Equal(at("2026-03-10 11:00:00")) {
		t.Errorf("read %s: %d logs, to %s", got.name, len(got.logs), got.to)
	}
	for want, given := range map[string]Given{
		"bad:1: read a log":                              {file("bad", "nonsense"), label},
		"undated:2: read a log: it has neither a date":   {file("undated", "\n"+`{"type":"seccft"}`), label},
		"there is no event in it":                        {file("empty", "\n"), label},
		"want the labels":                                {Events: good.Events},
		"late:1: read a label: from: nothing is no time": {good.Events, file("late", `{"client_id":"a"}`)},
	} {
		if _, err := given.read(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// A release keeps what it writes: go test ./cmd/m2mwatch -run DataDirector
// -write-datadir NAME makes testdata/datadir/NAME.tar.gz and NAME.json.
var writeDatadir = flag.String("write-datadir", "", "write the data directory of this build, and what it answers, under this name")

// keptQuestions are asked of a kept data directory; their answers are kept with
// it, but for what differs from start to start.
func keptQuestions() []string {
	stop := epoch.Add(288 * 15 * 60e9)
	of := "from=" + url.QueryEscape(epoch.Format("2006-01-02T15:04:05Z")) + "&to=" + url.QueryEscape(stop.AddDate(0, 0, 1).Format("2006-01-02T15:04:05Z"))
	return []string{
		"/v1/events?limit=15&" + of,
		"/v1/stats?by=client_id,type,outcome,cause,network,audience&" + of,
		"/v1/usage?by=client_id,audience&interval=day&" + of,
		"/v1/identities?all=true&" + of,
		"/v1/identities/acme/app:" + storyClient + "?" + of,
		"/v1/findings",
	}
}

// answers asks the questions.
func (i *instance) answers() map[string]any {
	i.tb.Helper()
	all := map[string]any{}
	for _, question := range keptQuestions() {
		var answer map[string]any
		i.mustGet(question, &answer)
		delete(answer, "dirty_hours")
		all[question] = answer
	}
	var status struct{ Dead uint64 }
	i.mustGet("/v1/status", &status)
	all["dead"] = float64(status.Dead)
	return all
}

// TestDataDirectoriesOfEarlierBuildsOpen claims that what any release wrote is
// read by this one: every directory under testdata/datadir answers what it
// answered when it was written, takes its own records again without a change, and
// goes on with new ones.
func TestDataDirectoriesOfEarlierBuildsOpen(t *testing.T) {
	if *writeDatadir != "" {
		writeKept(t, filepath.Join("testdata", "datadir", *writeDatadir))
	}
	kept, err := filepath.Glob("testdata/datadir/*.tar.gz")
	if err != nil || len(kept) == 0 {
		t.Fatalf("no data directory is kept: %v", err)
	}
	for _, archive := range kept {
		name := strings.TrimSuffix(archive, ".tar.gz")
		t.Run(filepath.Base(name), func(t *testing.T) {
			var want map[string]any
			text, err := os.ReadFile(name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			data := filepath.Join(t.TempDir(), "data")
			unpack(t, archive, data)
			i := startUp(t, data)
			i.settle()
			compareAnswers(t, "opened", want, i.answers(), "selectors")
			i.postAll(story())
			i.settle()
			compareAnswers(t, "with its records again", want, i.answers(), "selectors", "ingested_at", "stored_at")
			late, raw := record(5000, epoch.AddDate(0, 0, 20), "seccft", storyClient, "192.0.2")
			i.postAll([]string{raw})
			i.settle()
			if i.listed("")[late] != 1 {
				t.Error("a new event is not listed")
			}
			i.interrupt()
		})
	}
}

// compareAnswers passes over what answers have today and had not then, and over
// members that are named.
func compareAnswers(t *testing.T, when string, want, got map[string]any, but ...string) {
	t.Helper()
	forgetNewRules(want, got)
	passed := func(p cmp.Path) bool {
		member, ok := p.Last().(cmp.MapIndex)
		return ok && (isNew(member) || slices.Contains(but, member.Key().String()))
	}
	if diff := cmp.Diff(want, got, cmp.FilterPath(passed, cmp.Ignore())); diff != "" {
		t.Errorf("%s (-then +now):\n%.4000s", when, diff)
	}
}

// forgetNewRules takes the findings out of answers whose rules no answer had then,
// and takes those that are over by now for open.
func forgetNewRules(want, got map[string]any) {
	const page = "/v1/findings"
	findings := func(answers map[string]any) []any {
		answer, _ := answers[page].(map[string]any)
		list, _ := answer["findings"].([]any)
		return list
	}
	rule := func(f any) any { return f.(map[string]any)["rule_id"] }
	known := map[any]bool{}
	for _, f := range findings(want) {
		known[rule(f)] = true
	}
	if answer, ok := got[page].(map[string]any); ok {
		answer["findings"] = slices.DeleteFunc(findings(got), func(f any) bool { return !known[rule(f)] })
	}
	for name, answer := range got {
		if name != page && !strings.HasPrefix(name, "/v1/identities/") {
			continue
		}
		list, _ := answer.(map[string]any)["findings"].([]any)
		for _, f := range list {
			if f := f.(map[string]any); f["state"] == string(schemas.StateResolved) {
				f["state"] = string(schemas.StateOpen)
			}
		}
	}
}

// isNew tells of members that a later build has added.
func isNew(member cmp.MapIndex) bool {
	then, _ := member.Values()
	return !then.IsValid()
}

// writeKept writes what this build stores of the story.
func writeKept(t *testing.T, name string) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	i := startUp(t, data, "M2MWATCH_PACE=quiet=1s,look=200ms")
	records := story()
	half := len(records) / 2
	i.postAll(records[:half])
	i.settle()
	i.eventually("hours that are counted", func() error {
		var status struct {
			DirtyHours int `json:"dirty_hours"`
		}
		i.mustGet("/v1/status", &status)
		if status.DirtyHours > 0 {
			return fmt.Errorf("%d are not", status.DirtyHours)
		}
		return nil
	})
	i.interrupt()
	i = startUp(t, data) // what follows is not recounted yet when it stops
	i.postAll(records[half:])
	i.post([]byte("this is no record"))
	i.settle()
	text, err := json.MarshalIndent(i.answers(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	i.interrupt()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".json", append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	pack(t, data, name+".tar.gz")
}

func pack(t *testing.T, dir, archive string) {
	t.Helper()
	out, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	zipped, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(zipped)
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		info, infoErr := entry.Info()
		if err := errors.Join(err, infoErr); err != nil {
			return err
		}
		if !info.Mode().IsRegular() && !info.IsDir() { // a socket
			return nil
		}
		header, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		if header.Name, err = filepath.Rel(dir, path); err != nil {
			return err
		}
		header.Uname, header.Gname = "", ""
		if err := w.WriteHeader(header); err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
	if err := errors.Join(err, w.Close(), zipped.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	in, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	zipped, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(zipped); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+header.Name))
		if header.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, header.FileInfo().Mode().Perm())
		} else {
			var text []byte
			if text, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, text, header.FileInfo().Mode().Perm())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

package notify_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/processor/notify"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// required are the members that OCSF 1.5 asks for in a Detection Finding and its
// objects, and the values that an enumeration has
// (https://schema.ocsf.io/1.5.0/classes/detection_finding).
var required = map[string][]any{
	"activity_id":                   {0, 1, 2, 3, 99},
	"category_uid":                  {2},
	"class_uid":                     {2004},
	"type_uid":                      {200400, 200401, 200402, 200403, 200499},
	"severity_id":                   {0, 1, 2, 3, 4, 5, 6, 99},
	"status_id":                     {0, 1, 2, 3, 4, 5, 6, 99},
	"time":                          nil,
	"metadata.version":              nil,
	"metadata.product.name":         nil,
	"metadata.product.vendor_name":  nil,
	"finding_info.uid":              nil,
	"finding_info.title":            nil,
	"finding_info.analytic.type_id": {0, 1, 2, 3, 4, 99},
	"finding_info.analytic.uid":     nil,
}

// checkOCSF reports what a line lacks.
func checkOCSF(line string) error {
	var doc map[string]any
	if err := json.Unmarshal([]byte(line), &doc); err != nil {
		return err
	}
	for path, allowed := range required {
		value := any(doc)
		for member := range strings.SplitSeq(path, ".") {
			object, _ := value.(map[string]any)
			value = object[member]
		}
		number, isNumber := value.(float64)
		switch {
		case value == nil || value == "":
			return fmt.Errorf("%s is missing", path)
		case isNumber && number != float64(int64(number)):
			return fmt.Errorf("%s is %v, want a whole number", path, number)
		case allowed != nil && (!isNumber || !slices.Contains(allowed, any(int(number)))):
			return fmt.Errorf("%s is %v, want one of %v", path, value, allowed)
		}
	}
	if doc["type_uid"].(float64) != doc["class_uid"].(float64)*100+doc["activity_id"].(float64) {
		return fmt.Errorf("type_uid %v does not fit", doc["type_uid"])
	}
	return nil
}

func ocsfLines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func newOCSF(t *testing.T, path string) *notify.OCSF {
	t.Helper()
	o, err := notify.NewOCSF(notify.OCSFConfig{Name: "siem", Path: path, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

func deliver(t *testing.T, c notify.Channel, alerts ...schemas.Alert) {
	t.Helper()
	for _, a := range alerts {
		if err := c.Deliver(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOCSFLinesHaveWhatTheSchemaAsksFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "findings.jsonl")
	o := newOCSF(t, path)
	var sent []schemas.Alert
	for _, level := range []schemas.Level{"informational", "low", "medium", "high", "critical"} {
		a := full()
		a.Finding.Level = level
		sent = append(sent, a, withdrawn(a))
	}
	deliver(t, o, sent...)
	type numbers struct {
		ActivityID int `json:"activity_id"`
		TypeUID    int `json:"type_uid"`
		SeverityID int `json:"severity_id"`
		StatusID   int `json:"status_id"`
	}
	var got []numbers
	for _, line := range ocsfLines(t, path) {
		if err := checkOCSF(line); err != nil {
			t.Errorf("%v in %s", err, line)
		}
		var n numbers
		if err := json.Unmarshal([]byte(line), &n); err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	var want []numbers
	for severity := range 5 {
		want = append(want, numbers{1, 200401, severity + 1, 1}, numbers{3, 200403, severity + 1, 4})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if err := checkOCSF(`{"activity_id":1}`); err == nil {
		t.Error("the check lets anything through")
	}
}

func TestOCSFFileThatWasMovedIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "findings.jsonl"), filepath.Join(dir, "findings.1")
	o := newOCSF(t, path)
	deliver(t, o, alert(1), alert(2))
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	deliver(t, o, alert(3))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	deliver(t, o, alert(4))
	if old, now := ocsfLines(t, moved), ocsfLines(t, path); len(old) != 2 || len(now) != 1 || !strings.Contains(now[0], "finding4") {
		t.Errorf("%d lines in the file that was moved and %d in the last: %q", len(old), len(now), now)
	}
}

func TestOCSFLineThatACrashHasCutSpoilsNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "findings.jsonl")
	if err := os.WriteFile(path, []byte(`{"activity_id":1,"cat`), 0o600); err != nil {
		t.Fatal(err)
	}
	deliver(t, newOCSF(t, path), full())
	lines := ocsfLines(t, path)
	if len(lines) != 2 || checkOCSF(lines[1]) != nil {
		t.Errorf("lines %q, want a whole one behind the cut one", lines)
	}
}

func TestOCSFFileThatCannotBeWrittenIsAFailure(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	o := newOCSF(t, filepath.Join(dir, "findings.jsonl"))
	if err := o.Deliver(t.Context(), alert(1)); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v, want one that names the path", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	deliver(t, o, alert(1))
}

func TestOCSFPageThatComesAgainIsAnUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "findings.jsonl")
	again := full()
	again.Told.Paged = true
	deliver(t, newOCSF(t, path), again)
	line := ocsfLines(t, path)[0]
	if err := checkOCSF(line); err != nil || !strings.Contains(line, `"activity_id":2,"activity_name":"Update"`) {
		t.Errorf("%v in %s, want an update", err, line)
	}
}

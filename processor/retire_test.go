package processor_test

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// grantsBut loads grantWidened with a file beside it.
func grantsBut(t *testing.T, beside string) *detect.Set {
	t.Helper()
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: fstest.MapFS{
		"a.yml": {Data: []byte(grantWidened)}, "b.yml": {Data: []byte(beside)},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// What a rule has found goes with it, and with an exception what that is for:
// people hear of it, and its history says why.
func TestFindingsGoWithTheirRule(t *testing.T) {
	t.Parallel()
	b := aloneBench(t)
	b.insert(grantChange("ci", 1, moment, 1, "Update client grant"), grantChange("ops", 2, moment, 1, "Update client grant"))
	b.correlateAll()
	open := func() (keys []string) {
		for _, f := range b.findings("acme") {
			if f.State == schemas.StateOpen {
				keys = append(keys, f.Key)
			}
		}
		return keys
	}
	if got := open(); len(got) != 2 {
		t.Fatalf("open: %q", got)
	}
	for _, step := range []struct {
		beside, gone string
		left         int
		reason       schemas.Reason
	}{
		{"exception: {rule: 00000000-0000-4000-8000-0000000000a1, match: {identity: 'app:ci'}, owner: me, reason: pipeline, review: 2027-01-01}", "app:ci", 1, schemas.ReasonExcepted},
		{"disabled: [00000000-0000-4000-8000-0000000000a1]", "app:ops", 0, schemas.ReasonRuleGone},
	} {
		b.rules = grantsBut(t, step.beside)
		stop := b.start(nil)
		natstest.Eventually(b.t, "the findings are taken back", func() bool { return len(open()) == step.left })
		// The correlator finds nothing of what comes for them, either.
		b.insert(grantChange(step.gone[len("app:"):], 9, moment.Add(time.Hour), 1, "Update client grant"))
		b.settle()
		stop()
		if got := open(); len(got) != step.left {
			t.Errorf("%s: open: %q", step.reason, got)
		}
		for _, f := range b.findings("acme") {
			if f.Key != step.gone {
				continue
			}
			if h := b.history(f); len(h) != 2 || h[1].State != schemas.StateWithdrawn || h[1].Reason != step.reason {
				t.Errorf("%s: history %+v", f.Key, h)
			}
		}
	}
	if n := len(b.alerts()); n != 4 {
		t.Errorf("%d alerts, want two that open and two that withdraw", n)
	}
}

package doctor

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEveryCheckRunsWhateverBecameOfTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		defer close(hang)
		checks := []Check{
			{Name: "hangs", Timeout: time.Minute, Run: func(context.Context) Result { <-hang; return Result{} }},
			{Name: "fails", Run: func(context.Context) (r Result) { r.ok("a"); r.fail("do", "b"); r.warn("do", "c"); return r }},
			{Name: "nothing", Run: func(context.Context) Result { return Result{} }},
		}
		var told []string
		begin := time.Now()
		Run(t.Context(), checks, func(r Report) { told = append(told, r.Name+" "+string(r.State)) })
		if diff := cmp.Diff([]string{"hangs fail", "fails fail", "nothing skip"}, told); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(begin); took != time.Minute+grace {
			t.Errorf("took %s", took)
		}
	})
}

func TestNoCheckRunsOnceItIsStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	checks := []Check{
		{Name: "stopped", Run: func(context.Context) (r Result) { stop(); r.fail("", "context canceled"); return r }},
		{Name: "never", Run: func(context.Context) Result { t.Error("it runs"); return Result{} }},
	}
	if reports := Run(ctx, checks, func(r Report) { t.Errorf("told %+v", r) }); len(reports) > 0 {
		t.Errorf("reported %+v", reports)
	}
}

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

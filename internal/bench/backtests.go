package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// backtests runs the rules over the month, one after the other, and tells how long
// each took.
func (l *live) backtests(ctx context.Context) ([]Measurement, error) {
	var all []Measurement
	for _, rule := range l.config.Backtests {
		l.say("backtest of %s", rule)
		began := time.Now()
		job, err := l.backtest(ctx, rule)
		if err != nil {
			return nil, fmt.Errorf("backtest of %s: %w", rule, err)
		}
		all = append(all, Measurement{
			fmt.Sprintf("backtest of %s over %d events: %d findings", rule, job.Total, job.Result.Findings),
			time.Since(began).Round(100 * time.Millisecond).String(), "1m",
		})
	}
	return all, nil
}

func (l *live) backtest(ctx context.Context, rule string) (job schemas.Backtest, err error) {
	p, err := readProgress(l.config.Dir)
	if err != nil {
		return job, err
	}
	g := p.generator()
	body, err := json.Marshal(schemas.BacktestRequest{
		BacktestRule: schemas.BacktestRule{Rule: rule},
		From:         g.From().Format(time.RFC3339), To: g.To.Format(time.RFC3339),
	})
	if err != nil {
		return job, err
	}
	status, err := l.ask(ctx, http.MethodPost, "/v1/backtests", "Bearer "+liveToken, body, &job)
	for err == nil && status/100 == 2 && !job.Over() {
		if err := sleepUntil(ctx, time.Now().Add(askAgain)); err != nil {
			return job, err
		}
		status, err = l.ask(ctx, http.MethodGet, "/v1/backtests/"+job.ID, "Bearer "+liveToken, nil, &job)
	}
	switch {
	case err != nil:
		return job, err
	case status/100 != 2:
		return job, fmt.Errorf("/v1/backtests answered %d", status)
	case job.Result == nil:
		return job, fmt.Errorf("it is %s: %s", job.State, job.Error)
	}
	return job, nil
}

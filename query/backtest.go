package query

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Backtests is the table by which this stage hands backtests to the processor,
// which is never called. internal/clickhouse has the one for ClickHouse. Reads see
// every insert that has returned. An error that wraps schemas.ErrNotFound means
// that the named job is not there.
type Backtests interface {
	AddBacktest(ctx context.Context, job schemas.Backtest) error
	Backtest(ctx context.Context, id string) (schemas.Backtest, error)
	// CancelBacktest asks to cancel a job; asked once more it changes nothing.
	CancelBacktest(ctx context.Context, id string) error
}

type startBacktestInput struct {
	Body schemas.BacktestRequest
}

type backtestInput struct {
	ID string `path:"id" maxLength:"64" example:"k3v5q2m7x4a6b8cd"`
}

type backtestOutput struct {
	Body schemas.Backtest
}

func (a *API) registerBacktests(api huma.API) {
	start := operation("start-backtest", "/backtests", "Run a rule over stored events",
		"Hands a job to the processor: run a rule, one that is loaded or one that is sent along, over the stored events of a range of times. It leaves no trace in what is found or alerted. Findings are told as they would be if the rule had been in force.")
	start.Method, start.DefaultStatus = http.MethodPost, http.StatusAccepted
	start.MaxBodyBytes = 4 << 20
	huma.Register(api, start, a.startBacktest)
	huma.Register(api, operation("get-backtest", "/backtests/{id}", "Show one backtest",
		"How far it is, and what it found.", http.StatusNotFound), a.backtest)
	cancel := operation("cancel-backtest", "/backtests/{id}", "Cancel a backtest",
		"Asks the processor to end it. It leaves nothing behind. The answer is the job as it is now; one that is over stays so.", http.StatusNotFound)
	cancel.Method, cancel.DefaultStatus = http.MethodDelete, http.StatusAccepted
	huma.Register(api, cancel, a.cancelBacktest)
}

func (a *API) cancelBacktest(ctx context.Context, in *backtestInput) (*backtestOutput, error) {
	job, err := a.backtest(ctx, in)
	if err != nil || job.Body.Over() {
		return job, err
	}
	_, err = ask(ctx, a, "store", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, a.cfg.Backtests.CancelBacktest(ctx, in.ID)
	})
	return job, err
}

// defaultBacktest is how far back a backtest begins that does not say.
const defaultBacktest = 30 * 24 * time.Hour

func (a *API) startBacktest(ctx context.Context, in *startBacktestInput) (*backtestOutput, error) {
	now := a.cfg.Now().UTC().Truncate(time.Millisecond)
	from, to, err := Period{From: in.Body.From, To: in.Body.To}.resolve(now)
	if err != nil {
		return nil, err
	}
	if to.IsZero() || to.After(now) { // what is to come is not known
		to = now
	}
	if from.IsZero() {
		from = to.Add(-defaultBacktest)
	}
	switch {
	case !from.Before(to):
		return nil, invalid(fmt.Sprintf("from: %s is not before %s, the end", from.Format(timeFormat), to.Format(timeFormat)))
	case in.Body.Rule == "" && in.Body.Text == "":
		return nil, invalid("rule: want the code, id or name of a rule, or the text of a rule file")
	}
	job := schemas.Backtest{
		ID: strings.ToLower(rand.Text()[:16]), Rule: in.Body.BacktestRule, Against: in.Body.Against, Tenant: in.Body.Tenant, From: from, To: to,
		State: schemas.BacktestPending, CreatedAt: now, UpdatedAt: now,
	}
	_, err = ask(ctx, a, "store", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, a.cfg.Backtests.AddBacktest(ctx, job)
	})
	if err != nil {
		return nil, err
	}
	return &backtestOutput{Body: told(job)}, nil
}

func (a *API) backtest(ctx context.Context, in *backtestInput) (*backtestOutput, error) {
	job, err := ask(ctx, a, "store", func(ctx context.Context) (schemas.Backtest, error) {
		return a.cfg.Backtests.Backtest(ctx, in.ID)
	})
	if err != nil {
		return nil, named(err, fmt.Sprintf("No backtest has the id %s.", in.ID))
	}
	return &backtestOutput{Body: told(job)}, nil
}

// told is a job without the texts of its rules, which whoever asked has.
func told(job schemas.Backtest) schemas.Backtest {
	job.Rule.Text = ""
	if job.Against != nil {
		against := *job.Against
		against.Text, job.Against = "", &against
	}
	return job
}

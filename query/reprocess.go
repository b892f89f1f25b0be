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

// Jobs is the table by which this stage hands jobs to the processor, which is
// never called. internal/clickhouse has the one for ClickHouse. Reads see every
// insert that has returned. An error that wraps schemas.ErrNotFound means that
// the named job is not there.
type Jobs interface {
	AddReprocess(ctx context.Context, job schemas.Reprocess) error
	// CancelReprocess asks to cancel a job; asked once more it changes nothing.
	CancelReprocess(ctx context.Context, id string) error
	Reprocess(ctx context.Context, id string) (schemas.Reprocess, error)
	// ReprocessList is the newest jobs of a tenant, or of all, the newest first.
	ReprocessList(ctx context.Context, tenant string, limit int) ([]schemas.Reprocess, error)
	// OpenReprocess are the jobs that are not over, the oldest first.
	OpenReprocess(ctx context.Context) ([]schemas.Reprocess, error)
}

type startReprocessInput struct {
	Body schemas.ReprocessRequest
}

type reprocessesInput struct {
	Tenant string `query:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type reprocessesOutput struct {
	Body schemas.ReprocessPage
}

type reprocessInput struct {
	ID string `path:"id" maxLength:"64" example:"k3v5q2m7x4a6b8cd"`
}

type reprocessOutput struct {
	Body schemas.Reprocess
}

func (a *API) registerReprocess(api huma.API) {
	start := operation("start-reprocess", "/reprocess", "Normalize stored records again",
		"Hands a job to the processor: normalize a tenant's stored records of a range of times again, after a change of the normalizer, the catalogue of event types or the rules. Asked for in the same words as a job that is not over, it is that job.")
	start.Method, start.DefaultStatus = http.MethodPost, http.StatusAccepted
	huma.Register(api, start, a.startReprocess)
	huma.Register(api, operation("list-reprocess", "/reprocess", "List jobs of reprocessing", "The newest first."), a.reprocesses)
	huma.Register(api, operation("get-reprocess", "/reprocess/{id}", "Show one job of reprocessing",
		"How far it is.", http.StatusNotFound), a.reprocess)
	cancel := operation("cancel-reprocess", "/reprocess/{id}", "Cancel a job of reprocessing",
		"Asks the processor to end a job before its next records. What it has done stays. The answer is the job as it is now; one that is over stays so.", http.StatusNotFound)
	cancel.Method, cancel.DefaultStatus = http.MethodDelete, http.StatusAccepted
	huma.Register(api, cancel, a.cancelReprocess)
}

func (a *API) startReprocess(ctx context.Context, in *startReprocessInput) (*reprocessOutput, error) {
	job, err := a.newReprocess(&in.Body)
	if err != nil {
		return nil, err
	}
	job, err = ask(ctx, a, "store", func(ctx context.Context) (schemas.Reprocess, error) {
		open, err := a.cfg.Jobs.OpenReprocess(ctx)
		if err != nil {
			return job, err
		}
		for _, other := range open {
			if other.Tenant == job.Tenant && other.Asked == job.Asked && other.DryRun == job.DryRun {
				return other, nil
			}
		}
		// Two that ask at once make two jobs: the second finds nothing to do.
		return job, a.cfg.Jobs.AddReprocess(ctx, job)
	})
	if err != nil {
		return nil, err
	}
	return &reprocessOutput{Body: job}, nil
}

// newReprocess reads what is asked for. The end is fixed now: what comes later
// is normalized as it comes.
func (a *API) newReprocess(in *schemas.ReprocessRequest) (schemas.Reprocess, error) {
	now := a.cfg.Now().UTC().Truncate(time.Millisecond)
	from, to, err := Period{From: in.From, To: in.To}.resolve(now)
	if err != nil {
		return schemas.Reprocess{}, err
	}
	if from.IsZero() {
		from = firstTime
	}
	if latest := now.Add(24 * time.Hour); to.IsZero() || to.After(latest) { // no record is later
		to = latest
	}
	switch {
	case from.Before(to):
	case in.From == "":
		return schemas.Reprocess{}, invalid(fmt.Sprintf("to: no record is before %s", to.Format(timeFormat)))
	default:
		return schemas.Reprocess{}, invalid(fmt.Sprintf("from: %s is in the future", from.Format(timeFormat)))
	}
	return schemas.Reprocess{
		ID: strings.ToLower(rand.Text()[:16]), Tenant: in.Tenant, From: from, To: to, Asked: in.From + " " + in.To, DryRun: in.DryRun,
		State: schemas.ReprocessPending, CreatedAt: now, UpdatedAt: now,
	}, nil
}

func (a *API) reprocesses(ctx context.Context, in *reprocessesInput) (*reprocessesOutput, error) {
	jobs, err := ask(ctx, a, "store", func(ctx context.Context) ([]schemas.Reprocess, error) {
		return a.cfg.Jobs.ReprocessList(ctx, in.Tenant, in.Limit)
	})
	if err != nil {
		return nil, err
	}
	return &reprocessesOutput{Body: schemas.ReprocessPage{Jobs: jobs}}, nil
}

func (a *API) reprocess(ctx context.Context, in *reprocessInput) (*reprocessOutput, error) {
	job, err := ask(ctx, a, "store", func(ctx context.Context) (schemas.Reprocess, error) {
		return a.cfg.Jobs.Reprocess(ctx, in.ID)
	})
	if err != nil {
		return nil, named(err, fmt.Sprintf("No job has the id %s.", in.ID))
	}
	return &reprocessOutput{Body: job}, nil
}

func (a *API) cancelReprocess(ctx context.Context, in *reprocessInput) (*reprocessOutput, error) {
	job, err := a.reprocess(ctx, in)
	if err != nil || job.Body.Over() {
		return job, err
	}
	_, err = ask(ctx, a, "store", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, a.cfg.Jobs.CancelReprocess(ctx, in.ID)
	})
	return job, err
}

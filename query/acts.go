package query

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// Acts keeps what people do about findings. internal/clickhouse has the one for
// ClickHouse. RecordAct returns when the act is on disk; the correlator carries it out.
type Acts interface {
	RecordAct(ctx context.Context, a schemas.FindingAct) error
	// Acts are those of one finding, the first first.
	Acts(ctx context.Context, tenant, findingID string) ([]schemas.FindingAct, error)
}

type actInput struct {
	ID   string `path:"id" maxLength:"64" example:"7c1e5a0b9d3f42e68a1c0b7d"`
	Body schemas.FindingActRequest
}

type actOutput struct {
	Body schemas.FindingAct
}

type actsOutput struct {
	Body schemas.FindingActs
}

func (a *API) registerActs(api huma.API) {
	record := operation("act-on-finding", "/findings/{id}/acts", "Do something about a finding",
		"Acknowledge a finding, resolve it, open it again, or leave a note. The answer comes when the act is on disk; the processor carries it out soon after, and tells those who were paged where it is over. A resolve holds until an event comes that is later than it.",
		http.StatusNotFound, http.StatusConflict)
	record.Method, record.DefaultStatus = http.MethodPost, http.StatusAccepted
	huma.Register(api, record, a.act)
	huma.Register(api, operation("list-finding-acts", "/findings/{id}/acts", "List what people did about a finding",
		"The first first. Nothing takes an act back but another one.", http.StatusNotFound), a.acts)
}

func (a *API) act(ctx context.Context, in *actInput) (*actOutput, error) {
	if in.Body.Act == schemas.ActNote && strings.TrimSpace(in.Body.Reason) == "" {
		return nil, invalid("reason: a note needs one")
	}
	f, err := ask(ctx, a, "store", func(ctx context.Context) (schemas.Finding, error) {
		return a.cfg.Store.Finding(ctx, in.ID)
	})
	if err != nil {
		return nil, named(err, fmt.Sprintf("No finding has the id %s.", in.ID))
	}
	if f.State == schemas.StateWithdrawn && in.Body.Act != schemas.ActNote {
		return nil, &httpserver.Error{
			Status: http.StatusConflict, Code: "finding_withdrawn",
			Message: "The finding is withdrawn: events that came late took its ground away. Nothing is left to do about it but to leave a note.",
		}
	}
	if f.State == schemas.StateResolved && in.Body.Act == schemas.ActAck {
		return nil, &httpserver.Error{
			Status: http.StatusConflict, Code: "finding_resolved",
			Message: "The finding is resolved, and opens again by itself when it goes on. To look after it now, reopen it first.",
		}
	}
	act := schemas.FindingAct{
		ID: newID(), At: a.cfg.Now().UTC().Truncate(time.Millisecond), Act: in.Body.Act, Who: in.Body.By, Reason: in.Body.Reason,
		FindingID: f.ID, Tenant: f.Tenant, RuleID: f.RuleID, Key: f.Key, Period: f.Period,
	}
	_, err = ask(ctx, a, "store", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, a.cfg.Acts.RecordAct(ctx, act)
	})
	if err != nil {
		return nil, err
	}
	return &actOutput{Body: act}, nil
}

func (a *API) acts(ctx context.Context, in *findingInput) (*actsOutput, error) {
	acts, err := ask(ctx, a, "store", func(ctx context.Context) ([]schemas.FindingAct, error) {
		f, err := a.cfg.Store.Finding(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return a.cfg.Acts.Acts(ctx, f.Tenant, f.ID)
	})
	if err != nil {
		return nil, named(err, fmt.Sprintf("No finding has the id %s.", in.ID))
	}
	return &actsOutput{Body: schemas.FindingActs{Acts: acts}}, nil
}

// newID is the id of what somebody asks for.
func newID() string { return strings.ToLower(rand.Text()[:16]) }

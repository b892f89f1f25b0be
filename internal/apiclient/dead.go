package apiclient

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// DeadQuery selects dead logs; what is empty does not narrow. From and To are
// in the forms of EventQuery.
type DeadQuery struct {
	Tenant, Reason string
	From, To       string
	Limit          int
	Cursor         string
}

// Values are the parameters of the question.
func (q DeadQuery) Values() url.Values {
	return setParams("tenant", q.Tenant, "reason", q.Reason, "from", q.From, "to", q.To, "limit", number(q.Limit), "cursor", q.Cursor)
}

// DeadPath is of a listing, for CSV.
const DeadPath = "/v1/dead"

// DeadLogs lists dead logs, newest first, without their bytes. A page may be
// short while there is a next one.
func (c *Client) DeadLogs(ctx context.Context, q DeadQuery) (schemas.DeadPage, error) {
	var page schemas.DeadPage
	err := c.get(ctx, DeadPath, q.Values(), &page)
	return page, err
}

// DeadLog is one dead log with its bytes.
func (c *Client) DeadLog(ctx context.Context, id uint64) (schemas.DeadDetail, error) {
	var d schemas.DeadDetail
	err := c.get(ctx, deadPath(id), nil, &d)
	return d, err
}

// WriteDeadLog writes the bytes of a dead log, of any size.
func (c *Client) WriteDeadLog(ctx context.Context, id uint64, w io.Writer) error {
	resp, err := c.send(ctx, http.MethodGet, deadPath(id)+"?raw=true", nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

func deadPath(id uint64) string { return DeadPath + "/" + strconv.FormatUint(id, 10) }

// DeadVerb is what can be done to dead logs.
type DeadVerb string

// The verbs.
const (
	DeadVerbReplay  DeadVerb = "replay"
	DeadVerbDiscard DeadVerb = "discard"
)

// ChangeDead does one part of what q selects, of what was there when the first
// part was asked for: the cursor of the answer leads to the next part. through
// is of an answer, or 0.
func (c *Client) ChangeDead(ctx context.Context, verb DeadVerb, q DeadQuery, through uint64, dryRun bool) (schemas.DeadChange, error) {
	params := q.Values()
	if through > 0 {
		params.Set("through", strconv.FormatUint(through, 10))
	}
	return c.changeDead(ctx, DeadPath+"/"+string(verb), params, dryRun)
}

// ChangeDeadLog does it to one dead log.
func (c *Client) ChangeDeadLog(ctx context.Context, verb DeadVerb, id uint64, dryRun bool) (schemas.DeadChange, error) {
	return c.changeDead(ctx, deadPath(id)+"/"+string(verb), url.Values{}, dryRun)
}

func (c *Client) changeDead(ctx context.Context, path string, params url.Values, dryRun bool) (schemas.DeadChange, error) {
	var change schemas.DeadChange
	if dryRun {
		params.Set("dry_run", "true")
	}
	if len(params) > 0 {
		path += "?" + params.Encode()
	}
	b, err := c.do(ctx, http.MethodPost, path, "", nil)
	if err != nil {
		return change, err
	}
	return change, decode(b, &change)
}

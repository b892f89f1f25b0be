package apiclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// ProvisionPath is of a listing, for CSV.
const ProvisionPath = "/v1/provision-log"

// ProvisionQuery selects recorded calls; what is empty does not narrow. From and To
// are in the forms of EventQuery.
type ProvisionQuery struct {
	Domain, ClientID string
	From, To         string
	Limit            int
	Cursor           string
}

// Values are the parameters of the question.
func (q ProvisionQuery) Values() url.Values {
	return setParams("domain", q.Domain, "client_id", q.ClientID, "from", q.From, "to", q.To, "limit", number(q.Limit), "cursor", q.Cursor)
}

// ProvisionCalls lists recorded calls, the newest first.
func (c *Client) ProvisionCalls(ctx context.Context, q ProvisionQuery) (schemas.ProvisionPage, error) {
	var page schemas.ProvisionPage
	err := c.get(ctx, ProvisionPath, q.Values(), &page)
	return page, err
}

// MaxRecorded is how many calls are recorded at once.
const MaxRecorded = 1000

// RecordCalls returns when calls, at most MaxRecorded, are on disk. Recording one
// again does no harm.
func (c *Client) RecordCalls(ctx context.Context, calls []schemas.ProvisionCall) error {
	body, err := json.Marshal(schemas.ProvisionCalls{Calls: calls})
	if err != nil {
		return fmt.Errorf("write the calls: %w", err)
	}
	_, err = c.do(ctx, http.MethodPost, ProvisionPath, "application/json", bytes.NewReader(body))
	return err
}

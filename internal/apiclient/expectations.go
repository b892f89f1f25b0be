package apiclient

import (
	"context"
	"net/http"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const expectationsPath = "/v1/expectations"

// MaxDeclared is of how many identities something is declared at once.
const MaxDeclared = 1000

// Declare declares what is normal for identities, at most MaxDeclared, and returns when
// that is on disk. Declaring it again does no harm.
func (c *Client) Declare(ctx context.Context, d schemas.Declaration) (schemas.Declared, error) {
	var declared schemas.Declared
	err := c.sendJSON(ctx, http.MethodPost, expectationsPath, d, &declared)
	return declared, err
}

// Expectations are those of the tenant of a domain, or, of "", of all.
func (c *Client) Expectations(ctx context.Context, domain string) ([]schemas.Expectation, error) {
	var list schemas.Expectations
	err := c.get(ctx, expectationsPath, setParams("domain", domain), &list)
	return list.Expectations, err
}

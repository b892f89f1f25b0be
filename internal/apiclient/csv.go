package apiclient

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// CSV is one page of an answer in columns, its header first, and the parameters
// of the next page, nil at the end.
func (c *Client) CSV(ctx context.Context, path string, params url.Values) (page []byte, next url.Values, err error) {
	resp, err := c.send(ctx, http.MethodGet, path+"?"+params.Encode(), http.Header{"Accept": {"text/csv"}}, nil)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if page, err = readAnswer(resp); err != nil {
		return nil, nil, err
	}
	return page, nextPage(resp.Header.Get("Link")), nil
}

// nextPage are the parameters of a link to the next page (RFC 8288), as the API
// writes it.
func nextPage(link string) url.Values {
	target, ok := strings.CutSuffix(link, `>; rel="next"`)
	if !ok {
		return nil
	}
	u, err := url.Parse(strings.TrimPrefix(target, "<"))
	if err != nil {
		return nil
	}
	return u.Query()
}

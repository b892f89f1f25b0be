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

// Act does something about a finding; the processor carries it out soon after.
func (c *Client) Act(ctx context.Context, findingID string, r schemas.FindingActRequest) (schemas.FindingAct, error) {
	var act schemas.FindingAct
	err := c.sendJSON(ctx, http.MethodPost, FindingsPath+"/"+url.PathEscape(findingID)+"/acts", r, &act)
	return act, err
}

// SilencesPath is where silences are.
const SilencesPath = "/v1/silences"

// AddSilence silences findings.
func (c *Client) AddSilence(ctx context.Context, r schemas.SilenceRequest) (schemas.Silence, error) {
	var s schemas.Silence
	err := c.sendJSON(ctx, http.MethodPost, SilencesPath, r, &s)
	return s, err
}

// Silences are those in force and to come, with all those that have ended, too.
func (c *Client) Silences(ctx context.Context, all bool, limit int) (schemas.SilencePage, error) {
	var page schemas.SilencePage
	text := ""
	if all {
		text = "true"
	}
	err := c.get(ctx, SilencesPath, setParams("all", text, "limit", number(limit)), &page)
	return page, err
}

// ExpireSilence ends a silence now.
func (c *Client) ExpireSilence(ctx context.Context, id, by string) (schemas.Silence, error) {
	var s schemas.Silence
	b, err := c.do(ctx, http.MethodDelete, SilencesPath+"/"+url.PathEscape(id)+"?"+setParams("by", by).Encode(), "", nil)
	if err != nil {
		return s, err
	}
	return s, decode(b, &s)
}

// sendJSON sends a request with a body and reads the answer into out.
func (c *Client) sendJSON(ctx context.Context, method, path string, body, out any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	b, err := c.do(ctx, method, path, "application/json", bytes.NewReader(text))
	if err != nil {
		return err
	}
	return decode(b, out)
}

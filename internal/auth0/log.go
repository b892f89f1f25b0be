package auth0

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Logs returns the logs behind a checkpoint, oldest first, at most 100 and one, as
// they were answered. from is the log_id of the last that is known, or "" for the
// oldest that the tenant keeps. next is the checkpoint to go on from: what is not
// there yet comes behind it, so that it never is a date.
//
// A log_id that Auth0 no longer keeps is no error: logs are in the order of their
// ids, and what comes is what follows it.
//
// Source: Management API, GET /api/v2/logs by checkpoint; every other parameter is
// ignored. It needs a log_id to begin from, so the oldest is searched for.
func (c *Client) Logs(ctx context.Context, from string) (logs []json.RawMessage, next string, err error) {
	if from != "" {
		return c.logsFrom(ctx, from)
	}
	logs, oldest, err := c.endOfLogs(ctx, "date:1")
	if err != nil || oldest == "" {
		return nil, "", err
	}
	more, next, err := c.logsFrom(ctx, oldest)
	return append(logs, more...), next, err
}

// OldestLog is the log_id of the oldest log that a search finds, "" where there is
// none.
func (c *Client) OldestLog(ctx context.Context) (string, error) {
	_, id, err := c.endOfLogs(ctx, "date:1")
	return id, err
}

// NewestLog is the log_id of the newest log that a search finds, "" where there is
// none.
func (c *Client) NewestLog(ctx context.Context) (string, error) {
	_, id, err := c.endOfLogs(ctx, "date:-1")
	return id, err
}

// endOfLogs searches for the first log in an order.
func (c *Client) endOfLogs(ctx context.Context, order string) (logs []json.RawMessage, id string, err error) {
	raw, _, err := c.call(ctx, http.MethodGet, Path{"logs"}, url.Values{"sort": {order}, "page": {"0"}, "per_page": {"1"}}, nil)
	if err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal(raw, &logs); err != nil {
		return nil, "", fmt.Errorf("read the logs: %w", err)
	}
	if len(logs) == 0 {
		return nil, "", nil
	}
	id, err = logID(logs[0])
	return logs[:1], id, err
}

func (c *Client) logsFrom(ctx context.Context, from string) (logs []json.RawMessage, next string, err error) {
	raw, header, err := c.call(ctx, http.MethodGet, Path{"logs"}, url.Values{"take": {strconv.Itoa(pageSize)}, "from": {from}}, nil)
	if err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal(raw, &logs); err != nil {
		return nil, "", fmt.Errorf("read the logs: %w", err)
	}
	if len(logs) == 0 {
		return nil, from, nil
	}
	if next = nextOf(header); next != "" {
		return logs, next, nil
	}
	next, err = logID(logs[len(logs)-1])
	return logs, next, err
}

// Checkpoint is one that lies before all logs that Auth0 took in at a time or later.
//
// Source: log_ids begin with 900 and the time to the second; Elastic's integration
// for Auth0 begins with a checkpoint that it makes so.
func Checkpoint(at time.Time) string {
	return "900" + at.UTC().Format("20060102150405") + strings.Repeat("0", 39)
}

func logID(raw json.RawMessage) (string, error) {
	var log struct {
		LogID string `json:"log_id"`
		ID    string `json:"_id"`
	}
	if err := json.Unmarshal(raw, &log); err != nil {
		return "", fmt.Errorf("read the logs: %w", err)
	}
	if log.LogID == "" {
		log.LogID = log.ID
	}
	if log.LogID == "" {
		return "", fmt.Errorf("read the logs: the last has no log_id")
	}
	return log.LogID, nil
}

// nextOf reads the checkpoint from Link: <…?from=…>; rel="next" (RFC 8288).
func nextOf(h http.Header) string {
	for _, value := range h.Values("Link") {
		for link := range strings.SplitSeq(value, ",") {
			target, params, ok := strings.Cut(link, ";")
			if !ok || !strings.Contains(params, `rel="next"`) && !strings.Contains(params, "rel=next") {
				continue
			}
			u, err := url.Parse(strings.Trim(strings.TrimSpace(target), "<>"))
			if err == nil {
				return u.Query().Get("from")
			}
		}
	}
	return ""
}

package auth0sim

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
)

func logOperations() []operation {
	read := []string{"read:logs", "read:logs_users"}
	return []operation{
		{"GET", "/logs", read, false, "Search log events", nil, listLogs},
		{"GET", "/logs/{id}", read, false, "Get a log event", nil, showLog},
		{"GET", "/users/{id}/logs", read, false, "Get a user's log events", nil, listUserLogs},
	}
}

func listLogs(c *apiCall) (reply, error) {
	p, err := readPaging(c.query)
	if err != nil {
		return reply{}, err
	}
	if p.checkpoint {
		return c.logsFrom(p)
	}
	return c.searchLogs(p, mayBeOfType(c.query.Get("q")), func(document) bool { return true })
}

// logsFrom answers what follows a checkpoint, in the order of the ids, and
// where to go on; every other parameter is passed over. Who has caught up gets
// nothing and the same checkpoint.
func (c *apiCall) logsFrom(p paging) (reply, error) {
	kept := c.t.keptLogs()
	start := sort.Search(len(kept), func(i int) bool { return kept[i].id > p.from })
	page := kept[start:min(start+p.take, len(kept))]
	list, next := make([]any, 0, len(page)), p.from
	for _, l := range page {
		list, next = append(list, l.document()), l.id
	}
	query := url.Values{"take": {strconv.Itoa(p.take)}}
	if next != "" {
		query.Set("from", next)
	}
	c.answers.Set("Link", "<"+c.t.issuer()+"api/v2/logs?"+query.Encode()+`>; rel="next"`)
	return reply{http.StatusOK, list}, nil
}

// mayBeOfType leaves logs unread that a search for a type alone cannot find.
func mayBeOfType(q string) func(raw []byte) bool {
	code, ok := strings.CutPrefix(q, "type:")
	if code = strings.Trim(code, `"`); !ok || strings.ContainsAny(code, ` "*()`) {
		return func([]byte) bool { return true }
	}
	return func(raw []byte) bool { return strings.EqualFold(typeIn(raw), code) }
}

// searchLogs answers a page of a search, the newest first. may tells what need
// not be read.
func (c *apiCall) searchLogs(p paging, may func([]byte) bool, also func(document) bool) (reply, error) {
	if (p.page+1)*p.perPage > searchMax {
		return reply{}, badRequest("invalid_paging", "You can only page through the first 1000 records.")
	}
	q, err := parseQuery(c.query.Get("q"))
	if err != nil {
		return reply{}, err
	}
	kept := c.t.keptLogs()
	if c.query.Get("sort") != "date:1" {
		slices.Reverse(kept)
	}
	whole := c.query.Get("q") == "" && c.params["id"] == ""
	found, total := make([]document, 0, p.perPage), 0
	for i, l := range kept {
		start := p.page * p.perPage
		if inPage := i >= start && i < start+p.perPage; whole && !inPage { // without reading it
			total++
			continue
		}
		if !may(l.raw) {
			continue
		}
		if d := l.document(); q(d) && also(d) {
			if total >= start && len(found) < p.perPage {
				found = append(found, d)
			}
			total++
		}
	}
	if !p.totals {
		return reply{http.StatusOK, c.selected(found)}, nil
	}
	return reply{http.StatusOK, document{
		"logs": c.selected(found), "start": p.page * p.perPage, "limit": p.perPage, "length": len(found), "total": total,
	}}, nil
}

func showLog(c *apiCall) (reply, error) {
	for _, l := range c.t.keptLogs() {
		if l.id == c.params["id"] {
			return reply{http.StatusOK, l.document()}, nil
		}
	}
	return reply{}, notFound("inexistent_log", "The log event does not exist.")
}

func listUserLogs(c *apiCall) (reply, error) {
	p, err := readPaging(c.query)
	if err != nil {
		return reply{}, err
	}
	id := []byte(quote(c.params["id"]))
	return c.searchLogs(p, func(raw []byte) bool { return bytes.Contains(raw, id) }, having("user_id", c.params["id"]))
}

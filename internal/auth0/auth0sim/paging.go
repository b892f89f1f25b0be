package auth0sim

import (
	"cmp"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	perPageDefault = 50
	perPageMax     = 100
	searchMax      = 1000 // records that a search pages through
)

// paging is what a list was asked for.
type paging struct {
	page, perPage int
	totals        bool
	take          int
	from          string
	checkpoint    bool
}

func readPaging(q url.Values) (paging, error) {
	p := paging{totals: q.Get("include_totals") == "true", from: q.Get("from"), checkpoint: q.Has("from") || q.Has("take")}
	for _, number := range []struct {
		name           string
		value          *int
		fallback, most int
	}{{"page", &p.page, 0, 1 << 30}, {"per_page", &p.perPage, perPageDefault, perPageMax}, {"take", &p.take, perPageDefault, perPageMax}} {
		*number.value = number.fallback
		s := q.Get(number.name)
		if s == "" {
			continue
		}
		n, err := strconv.Atoi(s)
		switch {
		case err != nil || n < 0:
			return p, badRequest("invalid_query_string", "Query validation error: 'Expected type integer but found type string' on property %s.", number.name)
		case n > number.most:
			return p, badRequest("invalid_query_string", "Query validation error: 'Value %d is greater than maximum %d' on property %s.", n, number.most, number.name)
		}
		*number.value = n
	}
	return p, nil
}

// listing answers a list as it was asked for: by page, with or without totals,
// or from a checkpoint on where the list has checkpoints.
func (c *apiCall) listing(name string, docs []document, checkpoints bool) (reply, error) {
	p, err := readPaging(c.query)
	if err != nil {
		return reply{}, err
	}
	if p.checkpoint && checkpoints {
		return c.checkpointed(name, docs, p)
	}
	list := c.selected(slicePage(docs, p.page*p.perPage, p.perPage))
	if !p.totals {
		return reply{200, list}, nil
	}
	return reply{200, document{name: list, "start": p.page * p.perPage, "limit": p.perPage, "total": len(docs)}}, nil
}

func slicePage(docs []document, start, n int) []document {
	start = min(max(start, 0), len(docs))
	return docs[start:min(start+n, len(docs))]
}

// checkpointed answers what follows a cursor, and the next one after a full
// page, whether or not there is more; of members after any that is not empty.
func (c *apiCall) checkpointed(name string, docs []document, p paging) (reply, error) {
	start := 0
	if p.from != "" {
		raw, err := base64.RawURLEncoding.DecodeString(p.from)
		position, id, _ := strings.Cut(strings.TrimPrefix(string(raw), "after:"), ":")
		n, failed := strconv.Atoi(position)
		if err != nil || failed != nil {
			return reply{}, badRequest("invalid_query_string", "Query validation error: invalid cursor on property from.")
		}
		start = startAfter(docs, id, n, p.take)
	}
	page := slicePage(docs, start, p.take)
	body := document{name: c.selected(page)}
	end := start + len(page)
	if full := len(page) == p.take; len(page) > 0 && (full || name == "members") {
		body["next"] = base64.RawURLEncoding.EncodeToString([]byte("after:" + strconv.Itoa(end) + ":" + idOf(page[len(page)-1])))
	}
	return reply{200, body}, nil
}

// startAfter is behind the document of an id, wherever it has moved since a cursor
// was made of it and its position; where it is gone, a page earlier: rather twice
// than never.
func startAfter(docs []document, id string, position, page int) int {
	if i := slices.IndexFunc(docs, func(d document) bool { return idOf(d) == id }); i >= 0 {
		return i + 1
	}
	return max(position-page, 0)
}

// idOf is by what a document of a list is known.
func idOf(d document) string {
	return cmp.Or(d.text("id"), d.text("client_id"), d.text("user_id"))
}

// selected leaves of each document what `fields` and `include_fields` ask for.
func (c *apiCall) selected(docs []document) []any {
	list := make([]any, 0, len(docs))
	for _, d := range docs {
		list = append(list, c.fieldsOf(d))
	}
	return list
}

func (c *apiCall) fieldsOf(d document) document {
	asked := c.query.Get("fields")
	if asked == "" {
		return d
	}
	names := strings.Split(asked, ",")
	if c.query.Get("include_fields") == "false" {
		return d.without(names...)
	}
	for _, always := range []string{"tenant", "is_domain_connection"} { // whatever is asked of a client or a connection
		if _, ok := d[always]; ok {
			names = append(names, always)
		}
	}
	return d.only(names...)
}

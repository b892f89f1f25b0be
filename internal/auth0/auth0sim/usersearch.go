package auth0sim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// staleUser is a user as it was before a change that searches do not see yet;
// nil where there was none.
type staleUser struct {
	before document
	until  time.Time
}

// beforeChange keeps a user as it is for searches in the time to come.
func (s *store) beforeChange(id string) {
	if s.lag > 0 {
		s.stale[id] = append(s.stale[id], staleUser{s.users.get(id).clone(), s.now().Add(s.lag)})
	}
}

// searchable are the users as searches see them now.
func (s *store) searchable() []document {
	at := s.now()
	ids := slices.Clone(s.users.ids)
	for id, list := range s.stale {
		list = slices.DeleteFunc(list, func(old staleUser) bool { return !old.until.After(at) })
		if s.stale[id] = list; len(list) == 0 {
			delete(s.stale, id)
		} else if s.users.get(id) == nil {
			ids = append(ids, id)
		}
	}
	docs := make([]document, 0, len(ids))
	for _, id := range ids {
		d := s.users.get(id)
		if list := s.stale[id]; len(list) > 0 {
			d = list[0].before
		}
		if d != nil {
			docs = append(docs, d)
		}
	}
	return docs
}

func searchUsers(c *apiCall) (reply, error) {
	p, err := readPaging(c.query)
	if err != nil {
		return reply{}, err
	}
	if (p.page+1)*p.perPage > searchMax {
		return reply{}, badRequest("invalid_paging", "You can only page through the first 1000 records. See https://auth0.com/docs/users/search/v3/view-search-results-by-page#limitation")
	}
	q, err := parseQuery(c.query.Get("q"))
	if err != nil {
		return reply{}, err
	}
	connection := c.query.Get("connection")
	found := slices.DeleteFunc(c.searchable(), func(d document) bool { return !q(d) || connection != "" && connectionOf(d) != connection })
	sortDocuments(found, c.query.Get("sort"))
	page := slicePage(found, p.page*p.perPage, p.perPage)
	if !p.totals {
		return reply{http.StatusOK, c.selected(page)}, nil
	}
	return reply{http.StatusOK, document{
		"users": c.selected(page), "start": p.page * p.perPage, "limit": p.perPage, "length": len(page), "total": len(found),
	}}, nil
}

// sortDocuments sorts by `field:1` or `field:-1`.
func sortDocuments(docs []document, by string) {
	path, order, ok := strings.Cut(by, ":")
	if !ok {
		return
	}
	first := func(d document) string {
		if values := d.valuesAt(path); len(values) > 0 {
			return values[0]
		}
		return ""
	}
	slices.SortStableFunc(docs, func(a, b document) int {
		if order == "-1" {
			a, b = b, a
		}
		return strings.Compare(first(a), first(b))
	})
}

// usersByEmail finds users at once, not as searches do, and by the address as it
// is written.
func usersByEmail(c *apiCall) (reply, error) {
	email := c.query.Get("email")
	if email == "" {
		return reply{}, badRequest("invalid_query_string", "Query validation error: 'Missing required property: email'.")
	}
	docs := c.users.all(having("email", email))
	return reply{http.StatusOK, c.selected(docs)}, nil
}

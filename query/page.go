package query

import (
	"net/url"

	"github.com/danielgtaylor/huma/v2"
)

// Page is the parameters of a listing that comes in pages. It is exported because
// huma does not see into what is not.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" maxLength:"1024" doc:"The value of next of the page before."`

	asked url.URL
}

// Resolve keeps what was asked, for the link to the next page.
func (p *Page) Resolve(ctx huma.Context) []error {
	p.asked = ctx.URL()
	return nil
}

// Next is the header that leads to the next page (RFC 8288), for formats whose
// body has no place for a cursor.
type Next struct {
	Link string `header:"Link" doc:"The next page, as rel=next; absent at the end."`
}

// next is the header for a cursor, which is empty at the end.
func (p *Page) next(cursor string) Next {
	if cursor == "" {
		return Next{}
	}
	q := p.asked.Query()
	q.Set("cursor", cursor)
	return Next{Link: "<" + p.asked.EscapedPath() + "?" + q.Encode() + `>; rel="next"`}
}

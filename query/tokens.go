package query

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

type tokenInput struct {
	Tenant string `path:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
	ID     string `path:"id" maxLength:"256" doc:"The token's jti." example:"4iwSUFZKRWzH1yWPhWzXcv"`
}

type tokenOutput struct {
	Body schemas.TokenView
}

func (a *API) registerTokens(api huma.API) {
	huma.Register(api, operation("get-token", "/tokens/{tenant}/{id}", "Show one token",
		"Who got an access token, from where and for what, and the events that used it.", http.StatusNotFound), a.token)
}

func (a *API) token(ctx context.Context, in *tokenInput) (*tokenOutput, error) {
	token, err := ask(ctx, a, "store", func(ctx context.Context) (schemas.Token, error) {
		return a.cfg.Store.Token(ctx, in.Tenant, in.ID)
	})
	if err != nil {
		return nil, named(err, fmt.Sprintf("No event that is stored for the tenant %s names a token %s.", in.Tenant, in.ID))
	}
	return &tokenOutput{Body: viewToken(&token)}, nil
}

func viewToken(t *schemas.Token) schemas.TokenView {
	v := schemas.TokenView{ID: t.ID, Tenant: t.Tenant, UseCount: t.UseCount, Uses: make([]schemas.EventView, len(t.Uses)), Places: make([]schemas.TokenPlace, len(t.Places))}
	copy(v.Places, t.Places)
	if t.Issue != nil {
		issue, expires := viewEvent(t.Issue), t.Issue.Time.Add(schemas.TokenLifetime)
		v.Issue, v.Expires, v.ExpiresEstimated = &issue, &expires, true
	}
	for i := range t.Uses {
		v.Uses[i] = viewEvent(&t.Uses[i])
	}
	return v
}

// Package query answers questions about what is stored, over HTTP.
package query

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// prefix is where the API is served; the paths of the operations follow it.
const prefix = "/v1"

// Config says what an API answers from.
type Config struct {
	// Store has the events and the findings. It must be set.
	Store Store
	// Jobs takes what the processor is to do. It must be set.
	Jobs Jobs
	// Backtests takes the backtests that are asked for. It must be set.
	Backtests Backtests
	// Provision keeps what provisioning commands change. It must be set.
	Provision ProvisionLog
	// Acts keeps what people do about findings, and Silences what they do not want
	// to be paged for. Both must be set.
	Acts     Acts
	Silences Silences
	// Expectations keeps what is declared to be normal. It must be set.
	Expectations Expectations
	// TenantAt is the tenant that has a domain at Auth0, "" where none has. Nil: none.
	TenantAt func(domain string) string
	// Syncs takes the syncs of the inventory that are asked for. It must be set.
	Syncs Syncs
	// Explain adds to a finding's evidence what is known when it is looked at: whose
	// it is, how to contain it. Nil adds nothing.
	Explain func(context.Context, *schemas.Finding) error
	// RulesOf are the codes of the rules in force that look at what a selector
	// selects. Nil where this process has no rules: the status then tells of none
	// that warms up.
	RulesOf func(selector string) []string
	// Channels are the types of the channels that alerts go to, by name.
	Channels map[string]string
	// Backlog tells what is accepted and not yet stored. Nil means that this
	// process has no broker: the status then says null.
	Backlog Backlog
	// Pulls tells how far tenants have been pulled. Nil, as of Backlog.
	Pulls Pulls
	// Dead has the logs that could not be read. Nil, as of Backlog: questions
	// for them are refused with what to do.
	Dead DeadLetters
	// Catalogue has the event types. Default: schemas.EventTypes().
	Catalogue *schemas.Catalogue
	// Logger may be nil.
	Logger *slog.Logger
	// Now is the clock that relative times count back from; nil means time.Now.
	Now func() time.Time
	// Delay is the time from arrival to store, lately, and false where none is
	// known; nil means never known.
	Delay func() (time.Duration, bool)
	// Timeout bounds each question to the store and the broker. Default 10 s.
	Timeout time.Duration
	// Poll is how often a stream of events looks for new ones. Default 1 s.
	Poll time.Duration
	// Version of the program, for the status.
	Version string
}

// API answers questions. Its methods may be called concurrently.
type API struct {
	cfg     Config
	streams chan struct{} // has one for each stream of events that is open
	maxSent int           // of a stream
	warm    warmth
}

// New makes an API.
func New(cfg Config) *API {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Catalogue == nil {
		cfg.Catalogue = schemas.EventTypes()
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Poll <= 0 {
		cfg.Poll = time.Second
	}
	return &API{cfg: cfg, streams: make(chan struct{}, maxStreams), maxSent: maxSent}
}

// Register serves the API under /v1 of e, behind the middlewares: a token is
// asked for there. It may be called for several servers.
func (a *API) Register(e *echo.Echo, middlewares ...echo.MiddlewareFunc) {
	g := e.Group(prefix, middlewares...)
	api := humaecho.NewWithGroup(e, g, humaConfig())
	api.UseMiddleware(catchErrors)
	a.registerEvents(api)
	a.registerStream(api)
	a.registerTokens(api)
	a.registerIdentities(api)
	a.registerStats(api)
	a.registerUsage(api)
	a.registerEventTypes(api)
	a.registerFindings(api)
	a.registerDigest(api)
	a.registerActs(api)
	a.registerSilences(api)
	a.registerExpectations(api)
	a.registerReprocess(api)
	a.registerBacktests(api)
	a.registerProvision(api)
	a.registerDead(api)
	a.registerStatus(api)
	a.registerInventory(api)
	a.registerTables(api)

	spec := describe(api.OpenAPI())
	g.GET("/openapi.json", blob("application/openapi+json", spec.json))
	g.GET("/openapi.yaml", blob("application/openapi+yaml", spec.yaml))
}

func blob(contentType string, b []byte) echo.HandlerFunc {
	return func(c echo.Context) error { return c.Blob(http.StatusOK, contentType, b) }
}

func humaConfig() huma.Config {
	cfg := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "m2mwatch",
				Version:     "1",
				Description: "What the machine users of an Auth0 tenant did, and what is wrong with it.",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token": {Type: "http", Scheme: "bearer", Description: "A token of the configuration (api.tokens). The local socket needs none."},
				},
			},
			Security: []map[string][]string{{"token": {}}},
		},
		Formats:       formats(),
		DefaultFormat: "application/json",
		// A misspelt filter must not widen the question in silence.
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{keepError},
	}
	// What a later version adds is no breach of this one.
	cfg.AllowAdditionalPropertiesByDefault = true
	return cfg
}

// operation is what all operations have in common. The error statuses are
// those beside the ones that any operation may answer.
func operation(id, path, summary, description string, errors ...int) huma.Operation {
	op := huma.Operation{
		OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Description: description,
		Responses: map[string]*huma.Response{},
	}
	always := []int{http.StatusUnauthorized, http.StatusUnprocessableEntity, http.StatusServiceUnavailable, http.StatusGatewayTimeout}
	for _, status := range append(always, errors...) {
		op.Responses[statusKey(status)] = problemResponse(errorTexts[status])
	}
	return op
}

func problemResponse(description string) *huma.Response {
	return &huma.Response{
		Description: description,
		Content: map[string]*huma.MediaType{
			schemas.ProblemType: {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}},
		},
	}
}

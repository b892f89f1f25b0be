package httpserver

import (
	"log/slog"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// Config says how one server logs and counts.
type Config struct {
	// Name tells the servers of one process apart, in the log and in the label
	// "server" of the metrics: api, webhook, socket.
	Name string
	// Logger gets one line per request; nil means none.
	Logger *slog.Logger
	// Registerer gets the metrics; servers of one process may share it. Nil
	// means that nothing is registered.
	Registerer prometheus.Registerer
	// Proxies are trusted to say who their client is; nil means that none is.
	Proxies *Proxies
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// New makes an Echo whose errors become problems, whose panics become a 500,
// and which logs and counts each request. Routes are the caller's.
func New(cfg Config) *echo.Echo {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Proxies == nil {
		cfg.Proxies = &Proxies{}
	}
	logger := cfg.Logger.With(slog.String("server", cfg.Name))

	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = writeProblem
	e.IPExtractor = cfg.Proxies.client
	e.StdLogger = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	e.Logger.SetOutput(e.StdLogger.Writer())

	o := &observer{name: cfg.Name, logger: logger, metrics: newMetrics(cfg.Registerer), now: cfg.Now}
	e.Use(o.observe, identify, catchPanic, decodeParams)
	return e
}

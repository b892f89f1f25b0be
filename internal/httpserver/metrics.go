package httpserver

import (
	"errors"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	return &metrics{
		requests: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "m2mwatch_http_requests_total",
			Help: "Requests answered, by server, route pattern and status code.",
		}, []string{"server", "route", "code"})),
		seconds: register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "m2mwatch_http_request_seconds",
			Help:    "Time from the header of a request to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"server", "route"})),
	}
}

// register returns the collector that is registered under the name of c: the
// servers of one process share a registerer and differ by label.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	var already prometheus.AlreadyRegisteredError
	if err := r.Register(c); errors.As(err, &already) {
		if same, ok := already.ExistingCollector.(C); ok {
			return same
		}
	}
	return c
}

func (m *metrics) count(server, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(server, route, codeLabel(status)).Inc()
	m.seconds.WithLabelValues(server, route).Observe(took.Seconds())
}

// Metrics serves what g gathers, in the formats of Prometheus.
func Metrics(g prometheus.Gatherer) echo.HandlerFunc {
	return echo.WrapHandler(promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
}

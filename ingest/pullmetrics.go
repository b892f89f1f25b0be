package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// PullMetrics are those of all pullers of a process. Labels are bounded: tenants are
// those of the configuration.
type PullMetrics struct {
	caughtUp *prometheus.GaugeVec
	spans    *prometheus.GaugeVec
	failing  *prometheus.GaugeVec
	pages    *prometheus.CounterVec
	errors   *prometheus.CounterVec
}

// NewPullMetrics makes and registers them. reg may be nil.
func NewPullMetrics(reg prometheus.Registerer) *PullMetrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "m2mwatch_ingest_pull_" + name, Help: help}, []string{"tenant"})
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "m2mwatch_ingest_pull_" + name, Help: help}, labels)
	}
	m := &PullMetrics{
		caughtUp: gauge("caught_up_timestamp_seconds", "When a tenant's live logs had been read to the end last, Unix time."),
		spans:    gauge("spans", "Stretches of a tenant's logs that are still to be brought in beside the live ones."),
		failing:  gauge("failing", "1 while a tenant's logs cannot be pulled."),
		pages:    counter("pages_total", "Pages of logs that were pulled and are on disk.", "tenant"),
		errors:   counter("errors_total", "Attempts to pull that failed.", "tenant", "reason"),
	}
	if reg != nil {
		reg.MustRegister(m.caughtUp, m.spans, m.failing, m.pages, m.errors)
	}
	return m
}

func (m *PullMetrics) tell(tenant string, s *schemas.PullState, failing bool) {
	if s.Followed && !s.At.IsZero() { // of a tenant whose stream delivers it would stand still
		m.caughtUp.WithLabelValues(tenant).Set(float64(s.At.UnixMilli()) / float64(time.Second/time.Millisecond))
	}
	m.spans.WithLabelValues(tenant).Set(float64(len(s.Spans)))
	m.failing.WithLabelValues(tenant).Set(map[bool]float64{true: 1}[failing])
}

// forget drops the gauges of a tenant that another process pulls, or nobody.
func (m *PullMetrics) forget(tenant string) {
	for _, g := range []*prometheus.GaugeVec{m.caughtUp, m.spans, m.failing} {
		g.DeleteLabelValues(tenant)
	}
}

package ingest

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// metrics of ingest. Labels are bounded: sources and status codes.
type metrics struct {
	records        *prometheus.CounterVec // by source: safe now, dead ones among them
	dead           *prometheus.CounterVec
	masked         *prometheus.CounterVec
	bytes          *prometheus.CounterVec
	groups         *prometheus.CounterVec
	requests       *prometheus.CounterVec // by code
	publishSeconds prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, b *budget) *metrics {
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "m2mwatch_ingest_" + name, Help: help}, []string{label})
	}
	m := &metrics{
		records:  counter("records_total", "Records that were accepted and are on disk, the dead ones among them.", "source"),
		dead:     counter("dead_total", "Records that cannot be read and went to DEAD.", "source"),
		masked:   counter("masked_total", "Records in which the values of secrets were replaced.", "source"),
		bytes:    counter("bytes_total", "Bytes of accepted records.", "source"),
		groups:   counter("groups_total", "Groups of records that were published.", "source"),
		requests: counter("requests_total", "Requests by the status of their answer.", "code"),
		publishSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "m2mwatch_ingest_publish_seconds",
			Help:    "Time until a published group was synced or refused.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
	}
	for _, v := range []*prometheus.CounterVec{m.records, m.dead, m.masked, m.bytes, m.groups} {
		v.WithLabelValues(schemas.SourceStream.String())
	}
	if reg != nil {
		reg.MustRegister(m.records, m.dead, m.masked, m.bytes, m.groups, m.requests, m.publishSeconds,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "m2mwatch_ingest_inflight_bytes",
				Help: "Bytes of the memory budget that requests hold.",
			}, func() float64 { return float64(b.inUse()) }))
	}
	return m
}

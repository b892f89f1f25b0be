package processor

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// processorMetrics are the metrics of the stage. No label takes its value from
// a record, but for unknownTypes, which bounds how many do.
type processorMetrics struct {
	records      *prometheus.CounterVec // stored, by source
	dead         *prometheus.CounterVec // given up, by the class of the reason
	odd          *prometheus.CounterVec
	unknownTypes *prometheus.CounterVec
	ackFailures  prometheus.Counter
	held         prometheus.GaugeFunc
	flushSeconds prometheus.Histogram
	flushRows    prometheus.Histogram
	delay        prometheus.Histogram
	storeUp      prometheus.Gauge
	deadUp       prometheus.Gauge
	sourceUp     prometheus.Gauge
}

func newProcessorMetrics(r prometheus.Registerer, held func() float64) (*processorMetrics, error) {
	const namespace, stage = "m2mwatch", "processor"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: stage, Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: stage, Name: name, Help: help})
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Subsystem: stage, Name: name, Help: help, Buckets: buckets})
	}
	seconds := prometheus.ExponentialBuckets(0.01, 2, 16) // 10 ms to 5 min
	m := &processorMetrics{
		records:      counter("records_total", "Records stored.", "source"),
		dead:         counter("dead_total", "Records given up and sent to DEAD.", "reason"),
		odd:          counter("odd_records_total", "Records read although something about them is odd.", "oddity"),
		unknownTypes: counter("unknown_types_total", "Records of a type that is not in the catalogue; past 50 types, (other).", "type"),
		ackFailures:  counter("ack_failures_total", "Messages stored whose ack failed: they come again.").WithLabelValues(),
		flushSeconds: histogram("flush_seconds", "Time of a flush from its first insert to its last ack.", seconds),
		flushRows:    histogram("flush_rows", "Events in a flush.", prometheus.ExponentialBuckets(1, 4, 10)),
		delay:        histogram("delay_seconds", "Time from ingest to store of the oldest record in a flush.", seconds),
		storeUp:      gauge("store_up", "0 while the store is away."),
		deadUp:       gauge("dead_letters_up", "0 while DEAD is away or full."),
		sourceUp:     gauge("source_up", "0 while the work queue is away."),
	}
	m.held = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Subsystem: stage, Name: "held_messages", Help: "Messages fetched and not yet acked.",
	}, held)
	return m, m.register(r)
}

func (m *processorMetrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.records, m.dead, m.odd, m.unknownTypes, m.ackFailures, m.held,
		m.flushSeconds, m.flushRows, m.delay, m.storeUp, m.deadUp, m.sourceUp,
	} {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}

func (m *processorMetrics) countOdd(odd oddity) {
	if odd&oddDuplicate != 0 {
		m.odd.WithLabelValues("duplicate_member").Inc()
	}
	if odd&oddLogID != 0 {
		m.odd.WithLabelValues("log_id_mismatch").Inc()
	}
}

package nats

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	reconnects prometheus.Counter
	retries    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	return &metrics{
		reconnects: counter(reg, "m2mwatch_nats_reconnects_total", "Times the connection to NATS came back after a loss."),
		retries:    counter(reg, "m2mwatch_nats_publish_retries_total", "Publishes repeated within a call because their ack did not come."),
	}
}

// counter registers a counter, or finds it: several connections of one process
// count together.
func counter(reg prometheus.Registerer, name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	if reg == nil {
		return c
	}
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](reg.Register(c)); ok {
		if existing, ok := already.ExistingCollector.(prometheus.Counter); ok {
			return existing
		}
	}
	return c
}

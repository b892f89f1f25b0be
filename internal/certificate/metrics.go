package certificate

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// registerExpiry shows when the certificate in use expires, the first where
// there are several.
func registerExpiry(r prometheus.Registerer, expiry func() time.Time) {
	if r == nil {
		return
	}
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "m2mwatch_http_certificate_expiry_seconds",
		Help: "When the certificate in use expires, in seconds since 1970; 0 while there is none.",
	}, func() float64 {
		at := expiry()
		if at.IsZero() {
			return 0
		}
		return float64(at.Unix())
	}))
}

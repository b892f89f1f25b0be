package nats

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Monitored is what one server tells of itself by its monitoring.
type Monitored struct {
	Name, Version string
	Now           time.Time
	JetStream     bool
	// SyncAlways means that each write is synced to disk before it is acked;
	// otherwise that happens once in SyncInterval.
	SyncAlways   bool
	SyncInterval time.Duration
}

// varz is what is read of the answer of /varz.
type varz struct {
	Name      string    `json:"server_name"`
	Version   string    `json:"version"`
	Now       time.Time `json:"now"`
	JetStream struct {
		Config *struct {
			SyncAlways   bool          `json:"sync_always"`
			SyncInterval time.Duration `json:"sync_interval"`
		} `json:"config"`
	} `json:"jetstream"`
}

// maxVarz bounds what is read of an answer; one is some KiB.
const maxVarz = 1 << 20

// Monitor asks the monitoring of one server (http_port in its configuration),
// given as http://host:8222. A client of JetStream cannot ask how the server
// syncs: only the system account and the monitoring are told.
func Monitor(ctx context.Context, base string) (Monitored, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return Monitored{}, fmt.Errorf("address of a NATS server's monitoring: want http://host:8222")
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + "/varz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Monitored{}, fmt.Errorf("ask the monitoring of NATS at %s: %w", u.Host, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return Monitored{}, fmt.Errorf("ask the monitoring of NATS: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxVarz))
	if err != nil {
		return Monitored{}, fmt.Errorf("ask the monitoring of NATS at %s: %w", u.Host, err)
	}
	var v varz
	if err := json.Unmarshal(b, &v); err != nil || resp.StatusCode != http.StatusOK || v.Version == "" {
		return Monitored{}, fmt.Errorf("what answers at %s is no monitoring of NATS (%s)", u.Host, resp.Status)
	}
	m := Monitored{Name: v.Name, Version: v.Version, Now: v.Now}
	if c := v.JetStream.Config; c != nil {
		m.JetStream, m.SyncAlways, m.SyncInterval = true, c.SyncAlways, c.SyncInterval
	}
	return m, nil
}

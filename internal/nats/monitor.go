package nats

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
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
	// Others are the names of the servers that it has routes to: of its cluster,
	// those that run.
	Others []string
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

// routez is what is read of the answer of /routez. There are several routes to
// each server.
type routez struct {
	Routes []struct {
		Name string `json:"remote_name"`
	} `json:"routes"`
}

// maxMonitored bounds what is read of an answer; one is some KiB.
const maxMonitored = 1 << 20

// Monitor asks the monitoring of one server (http_port in its configuration),
// given as http://host:8222. A client of JetStream cannot ask how the server
// syncs: only the system account and the monitoring are told.
func Monitor(ctx context.Context, base string) (Monitored, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return Monitored{}, fmt.Errorf("address of a NATS server's monitoring: want http://host:8222")
	}
	var v varz
	if err := monitored(ctx, u, "varz", &v); err != nil {
		return Monitored{}, err
	}
	if v.Version == "" {
		return Monitored{}, fmt.Errorf("what answers at %s is no monitoring of NATS", u.Host)
	}
	var routes routez
	if err := monitored(ctx, u, "routez", &routes); err != nil {
		return Monitored{}, err
	}
	m := Monitored{Name: v.Name, Version: v.Version, Now: v.Now}
	if c := v.JetStream.Config; c != nil {
		m.JetStream, m.SyncAlways, m.SyncInterval = true, c.SyncAlways, c.SyncInterval
	}
	for _, route := range routes.Routes {
		m.Others = append(m.Others, route.Name)
	}
	slices.Sort(m.Others)
	m.Others = slices.Compact(m.Others)
	return m, nil
}

// monitored reads one answer of a server's monitoring.
func monitored(ctx context.Context, base *url.URL, name string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath(name).String(), nil)
	if err != nil {
		return fmt.Errorf("ask the monitoring of NATS at %s: %w", base.Host, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the monitoring of NATS: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxMonitored))
	if err != nil {
		return fmt.Errorf("ask the monitoring of NATS at %s: %w", base.Host, err)
	}
	if err := json.Unmarshal(b, into); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("what answers at %s is no monitoring of NATS (%s)", base.Host, resp.Status)
	}
	return nil
}

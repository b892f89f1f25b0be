package doctor

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// ports tells whether the addresses are free, or taken by the instance that
// runs. They are not taken while one does.
func (d *Doctor) ports(ctx context.Context) Result {
	var r Result
	c := d.cfg.Settings
	d.port(ctx, &r, "listen", c.Listen)
	if c.WebhookListen != "" {
		d.port(ctx, &r, "webhook_listen", c.WebhookListen)
	}
	return r
}

func (d *Doctor) port(ctx context.Context, r *Result, key, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		r.fail("want host:port", "%s %q is no address", key, address)
		return
	}
	if port == "0" {
		r.ok("%s %s: any that is free", key, address)
		return
	}
	if d.running {
		if listens("tcp", net.JoinHostPort(reachable(host), port)) {
			r.ok("%s %s is taken while the instance runs", key, address)
			return
		}
		r.warn("restart it, or call doctor with its settings (--config, the environment)", "the instance runs and nobody listens on %s %s: it was started with another address", key, address)
		return
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		r.fail("end that process (`ss -ltnp` names it), or choose another address", "%s %s is in use by another process", key, address)
	case errors.Is(err, syscall.EACCES):
		r.fail("give the process CAP_NET_BIND_SERVICE, or choose a port from 1024 on", "%s %s: this user may not listen on a port below 1024", key, address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		r.fail("choose an address of this machine, or 0.0.0.0 for all", "%s %s is no address of this machine", key, address)
	case err != nil:
		r.fail("choose another address", "%s %s: %v", key, address, err)
	default:
		ln.Close()
		r.ok("%s %s is free", key, address)
	}
}

// reachable is where to connect to what listens on a host.
func reachable(host string) string {
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return "localhost"
	}
	return host
}

package doctor

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
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
		d.taken(ctx, r, key, address)
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

// taken tells a process of m2mwatch from others. A stage that runs alone has no
// socket by which New would have found it.
func (d *Doctor) taken(ctx context.Context, r *Result, key, address string) {
	ctx, cancel := context.WithTimeout(ctx, askListener)
	defer cancel()
	ready, err := d.askListener(ctx, address)
	ours := err == nil
	if problem, ok := errors.AsType[*apiclient.Error](err); ok {
		ours = problem.Code == "not_found" // the webhook's own listener serves no health
	}
	switch {
	case !ours:
		r.fail("end that process (`ss -ltnp` names it), or choose another address", "%s %s is in use by another process", key, address)
	case d.cfg.Settings.NATS.URL == "":
		r.fail("end it (`ss -ltnp` names it), or choose another address", "%s %s is in use by another m2mwatch, with another data directory", key, address)
	case err == nil && !ready.Ready:
		for _, c := range ready.Checks {
			if !c.OK {
				r.fail(readyAdvice[c.Name], "%s %s: m2mwatch runs there and is not ready: %s: %s", key, address, c.Name, c.Error)
			}
		}
	default:
		r.ok("%s %s is taken by m2mwatch, which runs", key, address)
	}
}

// askListener is how long a process on this machine may take to answer.
const askListener = 5 * time.Second

func (d *Doctor) askListener(ctx context.Context, address string) (schemas.Readiness, error) {
	client, err := Listener(d.cfg.Settings, address)
	if err != nil {
		return schemas.Readiness{}, err
	}
	defer client.Close()
	return client.Ready(ctx)
}
